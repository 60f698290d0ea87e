// Checks a Responses body and tells it as the chat body that means the same; routes/responses.ts asks.
import { z } from 'zod'
import { invalid, unsupported } from '../errors.ts'
import type { ChatPrompt } from './chat.ts'
import { inputSchema, withTypes } from './items.ts'
import { MAX_LOGPROBS, refuseUnsupported, samplingFields } from './sampling.ts'
import { check, integer } from './schema.ts'
import { effortOf } from './thinking.ts'
import { toolSchema } from './tools.ts'

const MAX_TOKENS = 2 ** 31 - 1
const MAX_METADATA = 16

export const responsesSchema = z.looseObject({
  ...samplingFields,
  model: z.string().nullish(),
  input: inputSchema,
  instructions: z.string().nullish(),
  tools: z.array(toolSchema).max(1024, 'has too many tools').nullish(),
  tool_choice: z.unknown().optional(),
  parallel_tool_calls: z.boolean().nullish(),
  max_output_tokens: integer(1, MAX_TOKENS).nullish(),
  max_tool_calls: integer(1, MAX_TOKENS).nullish(),
  reasoning: z
    .looseObject({ summary: z.enum(['auto', 'concise', 'detailed', 'none']).nullish() })
    .nullish(),
  include_reasoning: z.boolean().nullish(),
  text: z
    .looseObject({
      format: z.looseObject({ type: z.string() }).nullish(),
      verbosity: z.enum(['low', 'medium', 'high']).nullish(),
    })
    .nullish(),
  top_logprobs: integer(0, MAX_LOGPROBS).nullish(),
  include: z.array(z.string()).nullish(),
  metadata: z
    .record(z.string().max(64, 'must have short keys'), z.string().max(512, 'must be short'))
    .refine((pairs) => Object.keys(pairs).length <= MAX_METADATA, {
      error: `must have at most ${MAX_METADATA} keys`,
    })
    .nullish(),
  store: z.boolean().nullish(),
  background: z.boolean().nullish(),
  previous_response_id: z.string().min(1, 'must not be empty').nullish(),
  truncation: z.enum(['auto', 'disabled']).nullish(),
  chat_template: z.string().nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  thinking: z.looseObject({}).nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
})

export type ResponsesRequest = z.output<typeof responsesSchema>
type Body = { [key: string]: unknown }

/** Fields that would change the answer and cannot be served, with what they are for. */
const REFUSED: { [field: string]: string } = {
  prompt: 'Stored prompts',
  conversation: 'Stored conversations',
  truncate_prompt_tokens: `Cutting a prompt by tokens (use 'truncation')`,
  prompt_logprobs: 'prompt_logprobs',
  previous_input_messages: 'Harmony messages as input',
  enable_response_messages: 'Harmony messages as output',
}

const refuse = (request: ResponsesRequest): void => {
  refuseUnsupported(request)
  for (const [field, what] of Object.entries(REFUSED))
    if (request[field]) throw unsupported(field, what)
  if ((request.n ?? 1) !== 1)
    throw invalid('n', `'n' is not part of the Responses API; leave it out`)
  if (request.background && request.store === false)
    throw invalid('background', `'background' needs 'store', or nobody could fetch the answer`)
}

export const checkResponses = (body: Body): ResponsesRequest => {
  const request = check(responsesSchema, { ...body, input: withTypes(body.input) })
  refuse(request)
  return request
}

/** Undefined without logprobs; how many candidates otherwise. */
export const responseLogprobsOf = ({ top_logprobs, include }: ResponsesRequest) =>
  top_logprobs || include?.includes('message.output_text.logprobs')
    ? (top_logprobs ?? 0)
    : undefined

/** The chat body that says the same; instructions are this request's alone. */
export const chatBodyOf = (
  request: ResponsesRequest,
  messages: ChatPrompt['messages'],
  tools: Pick<ChatPrompt, 'tools' | 'tool_choice'>
): ChatPrompt => {
  const { instructions, input: _, tools: __, tool_choice: ___, ...others } = request
  const all: ChatPrompt['messages'] = instructions
    ? [{ role: 'system', content: instructions }, ...messages]
    : messages
  if (all.length === 0) throw invalid('input', `'input' must have at least one item`)
  return { ...others, ...tools, messages: all }
}

/**
 * The same without a part of its turns, the oldest, for a request that asks for truncation; undefined where all would go. What instructs the model stays.
 */
export const shortened = (body: ChatPrompt, part: number): ChatPrompt | undefined => {
  const { messages } = body
  const turns = [...messages.keys()].filter((at) => messages[at]?.role === 'user')
  const [first] = turns
  const from = turns[Math.ceil(turns.length * part)]
  if (first === undefined || from === undefined) return undefined
  const stays = ({ role }: (typeof messages)[number], at: number): boolean =>
    at < first || at >= from || role === 'system' || role === 'developer'
  return { ...body, messages: messages.filter(stays) }
}

/** `none` is how some clients say nothing. */
const summaryOf = ({ reasoning }: ResponsesRequest): string | null =>
  reasoning?.summary === 'none' ? null : (reasoning?.summary ?? null)

/** The format as OpenAI repeats it, what was left out filled in. */
const formatOf = ({ text }: ResponsesRequest): object => {
  const format = text?.format
  if (format?.type !== 'json_schema') return { type: format?.type ?? 'text' }
  return { description: null, strict: null, ...format }
}

/** What the response object repeats of its request. */
export const echoOf = (
  request: ResponsesRequest,
  chosen: { model: string; store: boolean; temperature: number; topP: number; tools: object[] }
) => ({
  background: request.background ?? false,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  max_tool_calls: request.max_tool_calls ?? null,
  metadata: request.metadata ?? {},
  model: chosen.model,
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: request.previous_response_id ?? null,
  prompt_cache_key: request.prompt_cache_key ?? null,
  reasoning: { effort: effortOf(request) ?? null, summary: summaryOf(request) },
  safety_identifier: request.safety_identifier ?? null,
  service_tier: 'default',
  store: chosen.store,
  temperature: chosen.temperature,
  text: {
    format: formatOf(request),
    ...(request.text?.verbosity ? { verbosity: request.text.verbosity } : {}),
  },
  tool_choice: request.tool_choice ?? 'auto',
  tools: chosen.tools,
  top_logprobs: request.top_logprobs ?? 0,
  top_p: chosen.topP,
  truncation: request.truncation ?? 'disabled',
  user: request.user ?? null,
})
