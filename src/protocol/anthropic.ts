// Checks an Anthropic Messages body and tells it as a chat body; routes/anthropic.ts asks.
import { z } from 'zod'
import { invalid } from '../errors.ts'
import { sourceOf, sourcesOf } from '../json.ts'
import { type ChatPrompt, NAME } from './chat.ts'
import { unpacked } from './items.ts'
import { refusedPart } from './messages.ts'
import { samplingFields } from './sampling.ts'
import { check, integer } from './schema.ts'

const MAX_TOKENS = 2 ** 31 - 1
const MAX_STOPS = 16

const text = z.looseObject({ type: z.literal('text'), text: z.string() })
const image = refusedPart('image', 'images')

const document = z.looseObject({
  type: z.literal('document'),
  title: z.string().nullish(),
  context: z.string().nullish(),
  source: z.discriminatedUnion(
    'type',
    [
      z.looseObject({ type: z.literal('text'), data: z.string() }),
      z.looseObject({ type: z.literal('content'), content: z.union([z.string(), z.array(text)]) }),
    ],
    { error: `must be of type 'text' or 'content': this model reads text only` }
  ),
})

const searchResult = z.looseObject({
  type: z.literal('search_result'),
  title: z.string(),
  source: z.string(),
  content: z.array(text),
})

const known = (...kinds: string[]) => ({ error: `must be one of ${kinds.join(', ')}` })

const told = z.discriminatedUnion(
  'type',
  [text, document, searchResult, image],
  known('text', 'document', 'search_result')
)

const toolResult = z.looseObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(told)]).nullish(),
  is_error: z.boolean().nullish(),
})

const userBlock = z.discriminatedUnion(
  'type',
  [text, document, searchResult, image, toolResult],
  known('text', 'document', 'search_result', 'tool_result')
)

const assistantBlock = z.discriminatedUnion(
  'type',
  [
    text,
    z.looseObject({
      type: z.literal('thinking'),
      thinking: z.string(),
      signature: z.string().nullish(),
    }),
    z.looseObject({ type: z.literal('redacted_thinking'), data: z.string() }),
    z.looseObject({
      type: z.literal('tool_use'),
      id: z.string(),
      name: z.string().min(1, 'must not be empty'),
      input: z.record(z.string(), z.unknown()),
    }),
  ],
  known('text', 'thinking', 'redacted_thinking', 'tool_use')
)

const messageSchema = z.discriminatedUnion(
  'role',
  [
    z.looseObject({
      role: z.literal('user'),
      content: z.union([z.string(), z.array(userBlock)]),
    }),
    z.looseObject({
      role: z.literal('assistant'),
      content: z.union([z.string(), z.array(assistantBlock)]),
    }),
    z.looseObject({ role: z.literal('system'), content: z.union([z.string(), z.array(text)]) }),
  ],
  { error: `must be 'user' or 'assistant'; instructions go into 'system'` }
)

const toolSchema = z.looseObject({
  type: z
    .literal('custom', {
      error: `must be 'custom': tools that Anthropic defines are not offered here`,
    })
    .nullish(),
  name: z.string().regex(NAME, 'must be 1 to 64 letters, digits, _ or -'),
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()),
  strict: z.boolean().nullish(),
})

const parallel = { disable_parallel_tool_use: z.boolean().nullish() }
const choiceSchema = z.discriminatedUnion(
  'type',
  [
    z.looseObject({ type: z.literal('auto'), ...parallel }),
    z.looseObject({ type: z.literal('any'), ...parallel }),
    z.looseObject({ type: z.literal('tool'), name: z.string(), ...parallel }),
    z.looseObject({ type: z.literal('none') }),
  ],
  known('auto', 'any', 'tool', 'none')
)

const formatSchema = z.looseObject({
  type: z.literal('json_schema', { error: `must be 'json_schema'` }),
  schema: z.record(z.string(), z.unknown()),
})

const thinkingSchema = z.looseObject({
  type: z.enum(['enabled', 'disabled', 'adaptive'], known('enabled', 'disabled', 'adaptive')),
  budget_tokens: integer(1, MAX_TOKENS).nullish(),
  display: z.string().nullish(),
})

const promptFields = {
  model: z.string().nullish(),
  messages: z.array(messageSchema).min(1, 'must have at least one message'),
  system: z.union([z.string(), z.array(text)]).nullish(),
  tools: z.array(toolSchema).max(1024, 'has too many tools').nullish(),
  tool_choice: choiceSchema.nullish(),
  thinking: thinkingSchema.nullish(),
  output_config: z
    .looseObject({ effort: z.string().nullish(), format: formatSchema.nullish() })
    .nullish(),
  output_format: formatSchema.nullish(),
}

const { n: _n, stop: _stop, ...sampled } = samplingFields

export const messagesSchema = z.looseObject({
  ...sampled,
  ...promptFields,
  max_tokens: integer(1, MAX_TOKENS).nullish(),
  stop_sequences: z
    .array(z.string().min(1, 'must not be empty').max(1024, 'must be at most 1024 characters'))
    .max(MAX_STOPS, `must have at most ${MAX_STOPS} strings`)
    .nullish(),
  metadata: z.looseObject({}).nullish(),
})

export const countedSchema = z.looseObject(promptFields)

export type MessagesRequest = z.output<typeof messagesSchema>
export type CountedRequest = z.output<typeof countedSchema>
type Body = { [key: string]: unknown }

/** What only Anthropic's own service can do, and whose absence would change the answer. */
const refuse = (body: Body): void => {
  for (const field of ['mcp_servers', 'container'])
    if (body[field] !== undefined && body[field] !== null && String(body[field]) !== '')
      throw invalid(field, `'${field}' is not supported here: leave it out`)
}

export const checkMessages = (body: Body): MessagesRequest => {
  const request = check(messagesSchema, body)
  refuse(request)
  return request
}

export const checkCounted = (body: Body): CountedRequest => {
  const request = check(countedSchema, body)
  refuse(request)
  return request
}

type Told = z.output<typeof told>

const toldText = (block: Told): string => {
  if (block.type === 'text') return (block as z.output<typeof text>).text
  if (block.type === 'search_result') {
    const { title, source, content } = block as z.output<typeof searchResult>
    return [`${title} (${source})`, ...content.map((one) => one.text)].join('\n')
  }
  // Images were refused.
  if (block.type !== 'document') return ''
  const { title, context, source } = block as z.output<typeof document>
  const { data, content } = source as { data?: string; content?: string | { text: string }[] }
  const said = data ?? (typeof content === 'string' ? content : content?.map((one) => one.text))
  return [title, context, said]
    .flat()
    .filter((part) => typeof part === 'string' && part !== '')
    .join('\n')
}

const textOf = (content: string | Told[] | null | undefined): string =>
  typeof content === 'string' ? content : (content ?? []).map(toldText).join('\n')

type Messages = ChatPrompt['messages']
type Message = z.output<typeof messageSchema>

/** Results of tools are messages of their own, in the order in which they are told. */
const userMessages = (blocks: z.output<typeof userBlock>[]): Messages => {
  const out: Messages = []
  let said: Told[] = []
  const flush = (): void => {
    if (said.length > 0) out.push({ role: 'user', content: textOf(said) })
    said = []
  }
  for (const block of blocks) {
    if (block.type === 'tool_result') {
      flush()
      const { tool_use_id: id, content } = block as z.output<typeof toolResult>
      out.push({ role: 'tool', tool_call_id: id, content: textOf(content) })
    } else said.push(block as Told)
  }
  flush()
  return out
}

type AssistantBlock = z.output<typeof assistantBlock>

const thoughtOf = (block: AssistantBlock): string[] => {
  if (block.type === 'redacted_thinking') return [unpacked(block.data)]
  if (block.type !== 'thinking') return []
  return [block.thinking === '' ? unpacked(block.signature) : block.thinking]
}

const assistantMessage = (blocks: AssistantBlock[]): Messages[number] => {
  const said = blocks.flatMap((block) => (block.type === 'text' ? [block.text] : []))
  const reasoning = blocks.flatMap(thoughtOf).join('\n')
  const calls = blocks.flatMap((block) => {
    if (block.type !== 'tool_use') return []
    const { id, name, input } = block
    const call = { name, arguments: JSON.stringify(input) }
    return [{ id, type: 'function' as const, function: call }]
  })
  return {
    role: 'assistant',
    content: said.length > 0 || calls.length === 0 ? said.join('') : null,
    ...(reasoning === '' ? {} : { reasoning }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
  }
}

const messagesOf = (message: Message): Messages => {
  const { role, content } = message
  if (role === 'system') return [{ role, content: textOf(content) }]
  if (typeof content === 'string') return [{ role, content }]
  return role === 'user'
    ? userMessages(content as z.output<typeof userBlock>[])
    : [assistantMessage(content as AssistantBlock[])]
}

/** An answer that the caller began: the model goes on with it. */
const isBegun = ({ role, content }: Message): boolean =>
  role === 'assistant' &&
  (typeof content === 'string' || !content.some((block) => block.type === 'tool_use'))

const choiceOf = (choice: CountedRequest['tool_choice']): Body => {
  if (!choice) return {}
  const names = { auto: 'auto', none: 'none', any: 'required' } as const
  const wanted =
    choice.type === 'tool'
      ? { type: 'function', function: { name: choice.name } }
      : names[choice.type]
  const alone = 'disable_parallel_tool_use' in choice ? choice.disable_parallel_tool_use : undefined
  return {
    tool_choice: wanted,
    ...(typeof alone === 'boolean' ? { parallel_tool_calls: !alone } : {}),
  }
}

/** A budget above the context bounds nothing. */
const thinkingOf = (
  { thinking, output_config: config }: CountedRequest,
  maxModelLen: number
): Body => {
  const budget = thinking?.budget_tokens ?? -1
  const bounds = budget > 0 && budget <= maxModelLen && thinking?.type === 'enabled'
  return {
    ...(thinking
      ? { thinking: { type: thinking.type, ...(bounds ? { budget_tokens: budget } : {}) } }
      : {}),
    ...(config?.effort ? { reasoning_effort: config.effort } : {}),
  }
}

/** A tool in chat's form; its schema keeps its source text. */
const toolSource = ({ name, description, strict }: z.output<typeof toolSchema>, source: string) => {
  const parts = [
    `"name":${JSON.stringify(name)}`,
    ...(description ? [`"description":${JSON.stringify(description)}`] : []),
    `"parameters":${sourceOf(source, ['input_schema']) ?? '{}'}`,
    ...(typeof strict === 'boolean' ? [`"strict":${strict}`] : []),
  ]
  return `{"type":"function","function":{${parts.join(',')}}}`
}

/** A body as chat takes it, with what of its text chat looks at. */
export interface ToldChat {
  body: ChatPrompt
  text: string
}

/** The chat body that says the same as a body, `sent` as it is. */
export const chatOf = (request: CountedRequest, sent: string, maxModelLen: number): ToldChat => {
  const { system, messages, tools } = request
  const sources = sourcesOf(sent, ['tools'])
  const offered = (tools ?? []).map((tool, n) => toolSource(tool, sources[n] ?? '{}'))
  const format = request.output_config?.format ?? request.output_format
  const schema =
    sourceOf(sent, ['output_config', 'format', 'schema']) ??
    sourceOf(sent, ['output_format', 'schema'])
  const parts = [
    ...(offered.length > 0 ? [`"tools":[${offered.join(',')}]`] : []),
    ...(format
      ? [
          `"response_format":{"type":"json_schema","json_schema":{"name":"output","schema":${schema}}}`,
        ]
      : []),
  ]
  const source = `{${parts.join(',')}}`
  // Clients say auto whatever they offer.
  const isIdle = offered.length === 0 && request.tool_choice?.type === 'auto'
  const all = messages.flatMap(messagesOf)
  const { tool_choice: _choice, thinking: _thinking, tools: _tools, ...others } = request
  const instructions = textOf(system)
  return {
    text: source,
    body: {
      ...others,
      ...(JSON.parse(source) as Body),
      ...choiceOf(isIdle ? undefined : request.tool_choice),
      ...thinkingOf(request, maxModelLen),
      messages:
        instructions === '' ? all : [{ role: 'system' as const, content: instructions }, ...all],
      ...(isBegun(messages.at(-1)!) ? { continue_final_message: true } : {}),
    },
  }
}
