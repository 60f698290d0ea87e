// Checks a Chat Completions body and turns it into a conversation and options; routes/chat.ts and routes/tokenize.ts ask.
import { z } from 'zod'
import type { Conversation, Json, Message, Tool, ToolChoice } from '../conversation.ts'
import { invalid } from '../errors.ts'
import { sourcesOf } from '../json.ts'
import type { ModelSettings } from '../served.ts'
import { messageSchema, messagesOf } from './messages.ts'
import { MAX_LOGPROBS, refuseUnsupported, samplingFields } from './sampling.ts'
import { check, integer } from './schema.ts'
import type { Asked } from './shape.ts'
import { budgetOf, effortOf } from './thinking.ts'

const MAX_TOKENS = 2 ** 31 - 1
/** What a function may be called. */
export const NAME = /^[a-zA-Z0-9_-]{1,64}$/

const toolSchema = z.looseObject({
  type: z.literal('function', { error: `must be 'function', the only kind of tool served here` }),
  function: z.looseObject({
    name: z.string().regex(NAME, 'must be 1 to 64 letters, digits, _ or -'),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
})

const allowedSchema = z.object({
  allowed_tools: z.looseObject({
    mode: z.enum(['auto', 'required']),
    tools: z
      .array(z.looseObject({ function: z.looseObject({ name: z.string() }) }))
      .min(1, 'must not be empty'),
  }),
})

/** What makes a prompt: chat, render and tokenize take it alike. */
const promptFields = {
  model: z.string().nullish(),
  messages: z.array(messageSchema).min(1, 'must have at least one message'),
  tools: z
    .array(toolSchema)
    .min(1, 'must not be an empty array')
    .max(1024, 'has too many tools')
    .nullish(),
  tool_choice: z.unknown().optional(),
  parallel_tool_calls: z.boolean().nullish(),
  chat_template: z.string().nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  add_generation_prompt: z.boolean().nullish(),
  continue_final_message: z.boolean().nullish(),
  documents: z.array(z.record(z.string(), z.unknown())).nullish(),
  thinking: z.looseObject({}).nullish(),
  reasoning: z.looseObject({}).nullish(),
}

export const chatSchema = z.looseObject({
  ...samplingFields,
  ...promptFields,
  max_tokens: integer(1, MAX_TOKENS).nullish(),
  max_completion_tokens: integer(1, MAX_TOKENS).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: integer(0, MAX_LOGPROBS).nullish(),
  include_reasoning: z.boolean().nullish(),
  return_prompt_text: z.boolean().nullish(),
  modalities: z.array(z.string()).nullish(),
  echo: z.boolean().nullish(),
})

export const promptSchema = z.looseObject(promptFields)

export type ChatRequest = z.output<typeof chatSchema>
export type ChatPrompt = z.output<typeof promptSchema>
type Body = { [key: string]: unknown }

const refuse = (request: ChatRequest): void => {
  refuseUnsupported(request)
  if (request.functions || request.function_call)
    throw invalid(
      request.functions ? 'functions' : 'function_call',
      `'functions' and 'function_call' were replaced by 'tools' and 'tool_choice'; use those`
    )
  if (request.modalities?.some((kind) => kind !== 'text') || request.audio)
    throw invalid(
      request.audio ? 'audio' : 'modalities',
      'This model answers in text only; ask for no other modality'
    )
  if (typeof request.top_logprobs === 'number' && !request.logprobs)
    throw invalid('top_logprobs', `'top_logprobs' is only allowed when 'logprobs' is true`)
}

export const checkChat = (body: Body): ChatRequest => {
  const request = check(chatSchema, body)
  refuse(request)
  return request
}

export const checkChatPrompt = (body: Body): ChatPrompt => check(promptSchema, body)

/** The model's own token allowance is `undefined`: as much as the context leaves. */
export const maxTokensOf = (request: ChatRequest): number | undefined =>
  request.max_completion_tokens ?? request.max_tokens ?? undefined

/** What `echo` puts before the answer: the last message, where it is the assistant's. */
export const echoedOf = (request: ChatRequest): string => {
  const last = request.echo ? messagesOf(request.messages).at(-1) : undefined
  return last?.role === 'assistant' ? (last.content ?? '') : ''
}

/** Undefined without logprobs; how many candidates otherwise. */
export const logprobsOf = (request: ChatRequest): number | undefined =>
  request.logprobs ? (request.top_logprobs ?? 0) : undefined

const choiceOf = (choice: unknown, tools: Tool[]): ToolChoice => {
  if (choice === undefined || choice === null) return tools.length > 0 ? 'auto' : 'none'
  if (choice === 'none') return choice
  if (tools.length === 0) {
    throw invalid('tool_choice', `'tool_choice' is only allowed when 'tools' are given`)
  }
  if (choice === 'auto' || choice === 'required') return choice
  const named = choice as { type?: unknown; function?: { name?: unknown } }
  if (typeof choice === 'object' && named.type === 'function') {
    const name = named.function?.name
    if (typeof name !== 'string' || !tools.some((tool) => tool.name === name))
      throw invalid('tool_choice', `'tool_choice' names a function that is not among 'tools'`)
    return { name }
  }
  throw invalid(
    'tool_choice',
    `'tool_choice' must be none, auto, required, a named function or allowed_tools`
  )
}

/** `allowed_tools` narrows what is offered; every other choice leaves it. */
const narrowed = (choice: unknown, tools: Tool[]): { choice: unknown; tools: Tool[] } => {
  const { type, allowed_tools: allowed } = (
    typeof choice === 'object' && choice ? choice : {}
  ) as Body
  if (type !== 'allowed_tools') return { choice, tools }
  const { mode, tools: listed } = check(allowedSchema, { allowed_tools: allowed }).allowed_tools
  const names = new Set(listed.map((tool) => tool.function.name))
  const unknown = [...names].find((name) => !tools.some((tool) => tool.name === name))
  if (unknown !== undefined)
    throw invalid('tool_choice', `'tool_choice' allows '${unknown}', which is not among 'tools'`)
  return { choice: mode, tools: tools.filter((tool) => names.has(tool.name)) }
}

const toolsOf = (request: ChatPrompt, text: string): Tool[] => {
  if (!request.tools) return []
  const outer = sourcesOf(text, ['tools'])
  const inner = sourcesOf(text, ['extra_body', 'tools'])
  const sources = inner.length > 0 ? inner : outer
  return request.tools.map((tool, n) => {
    const { name, description, parameters, strict } = tool.function
    return {
      name,
      ...(typeof description === 'string' ? { description } : {}),
      ...(parameters ? { parameters: parameters as { [key: string]: Json } } : {}),
      ...(typeof strict === 'boolean' ? { strict } : {}),
      param: `tools[${n}].function.parameters`,
      source: sources[n] ?? JSON.stringify(tool),
    }
  })
}

/** Names of the template's own variables, which a request sets by fields of its own. */
const RESERVED = new Set([
  'messages',
  'tools',
  'chat_template',
  'tokenize',
  'add_generation_prompt',
  'continue_final_message',
  'conversation',
  'return_dict',
  'return_tensors',
  'documents',
])

const variablesOf = (
  request: ChatPrompt,
  effort: string | undefined,
  defaults: { [key: string]: Json }
): { [key: string]: Json } => {
  const given = request.chat_template_kwargs ?? {}
  const taken = Object.keys(given).find((key) => RESERVED.has(key))
  if (taken !== undefined)
    throw invalid(
      `chat_template_kwargs.${taken}`,
      `'${taken}' cannot be set by 'chat_template_kwargs'; use the request's own field`
    )
  const variables = Object.entries({
    ...defaults,
    ...(request.documents ? { documents: request.documents } : {}),
    ...(effort === undefined ? {} : { reasoning_effort: effort }),
    ...given,
  }).filter(([key]) => key !== 'thinking_budget')
  return Object.fromEntries(variables) as { [key: string]: Json }
}

/** The conversation a checked body tells; `text` is the body as it was sent. */
export const conversationOf = (
  request: ChatPrompt,
  text: string,
  settings: Pick<ModelSettings, 'defaultTemplateVariables'>,
  maxModelLen: number,
  asked: Asked | null = null
): Conversation => {
  const continues = request.continue_final_message ?? false
  if (continues && request.add_generation_prompt)
    throw invalid(
      'continue_final_message',
      `'continue_final_message' and 'add_generation_prompt' cannot both be true`
    )
  const { choice, tools } = narrowed(request.tool_choice, toolsOf(request, text))
  const messages: Message[] = messagesOf(request.messages)
  if (continues && messages.at(-1)?.role !== 'assistant')
    throw invalid(
      'continue_final_message',
      'The last message must be the assistant message to continue'
    )
  return {
    messages,
    tools,
    toolChoice: choiceOf(choice, tools),
    ...(typeof request.parallel_tool_calls === 'boolean'
      ? { parallelToolCalls: request.parallel_tool_calls }
      : {}),
    budget: budgetOf(request, settings.defaultTemplateVariables, maxModelLen),
    templateVariables: variablesOf(request, effortOf(request), settings.defaultTemplateVariables),
    addGenerationPrompt: request.add_generation_prompt ?? !continues,
    continueFinalMessage: continues,
    ...(asked ? { answer: asked.shape } : {}),
    ...(asked?.format ? { responseFormat: asked.format } : {}),
  }
}
