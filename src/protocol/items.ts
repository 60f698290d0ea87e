// The items of a Responses body: their schema by type, the whole form they are kept in, and the messages they tell.
import { z } from 'zod'
import { ApiError, invalid } from '../errors.ts'
import type { ChatPrompt } from './chat.ts'
import { partError, refusal, refusedPart } from './messages.ts'

const textPart = z.looseObject({
  type: z.literal(['input_text', 'output_text', 'text']),
  text: z.string(),
})

const part = z.discriminatedUnion(
  'type',
  [
    textPart,
    refusal,
    refusedPart('input_image', 'images'),
    refusedPart('input_file', 'files'),
    refusedPart('input_audio', 'audio parts'),
  ],
  partError
)

const content = z.union([z.string(), z.array(part)]).nullish()
const texts = z.array(z.looseObject({ text: z.string() })).nullish()
const name = z.string().min(1, 'must not be empty')

const of = <Type extends string, Shape extends z.ZodRawShape>(type: Type, shape: Shape) =>
  z.looseObject({ type: z.literal(type), id: z.string().nullish(), ...shape })

/** Items of tools that others run; what they told another model is nothing this one can read. */
const FOREIGN = [
  'web_search_call',
  'file_search_call',
  'computer_call',
  'computer_call_output',
  'image_generation_call',
  'code_interpreter_call',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'mcp_list_tools',
  'mcp_approval_request',
  'mcp_approval_response',
  'mcp_call',
  'tool_search_call',
  'tool_search_output',
  'additional_tools',
  'compaction',
  'compaction_trigger',
  'program',
  'program_output',
] as const

const itemSchema = z.discriminatedUnion(
  'type',
  [
    of('message', { role: z.enum(['user', 'assistant', 'system', 'developer']), content }),
    of('reasoning', {
      content: texts,
      summary: texts,
      encrypted_content: z.string().nullish(),
    }),
    of('function_call', {
      call_id: name,
      name,
      arguments: z.string().nullish(),
      namespace: z.string().nullish(),
    }),
    of('function_call_output', { call_id: name, output: content }),
    of('custom_tool_call', { call_id: name, name, input: z.string().nullish() }),
    of('custom_tool_call_output', { call_id: name, output: content }),
    z.looseObject({ type: z.literal('item_reference'), id: name }),
    z.looseObject({ type: z.literal(FOREIGN) }),
  ],
  { error: 'is no type of item known here' }
)

export const inputSchema = z.union([z.string(), z.array(itemSchema)])

type InputItem = z.output<typeof itemSchema>
export type Input = z.output<typeof inputSchema>

/** SDKs leave out the type of messages and of references. */
export const withTypes = (input: unknown): unknown => {
  if (!Array.isArray(input)) return input
  return input.map((item: unknown) => {
    if (typeof item !== 'object' || item === null) return item
    const { type, role, id } = item as { type?: unknown; role?: unknown; id?: unknown }
    if (type !== undefined && type !== null) return item
    if (role !== undefined) return { ...item, type: 'message' }
    return id === undefined ? item : { ...item, type: 'item_reference' }
  })
}

type Status = 'in_progress' | 'completed' | 'incomplete'

type Part =
  | { type: 'input_text'; text: string }
  | { type: 'output_text'; text: string; annotations: unknown[]; logprobs: unknown[] }
  | { type: 'refusal'; refusal: string }

type Role = 'user' | 'assistant' | 'system' | 'developer'
export type MessageItem = { type: 'message'; id: string; role: Role; status: Status } & {
  content: Part[]
}
export interface ReasoningItem {
  type: 'reasoning'
  id: string
  summary: { type: 'summary_text'; text: string }[]
  content: { type: 'reasoning_text'; text: string }[]
  encrypted_content?: string | null
  status: Status
}
interface CallItem {
  type: 'function_call'
  id: string
  call_id: string
  name: string
  namespace?: string
  arguments: string
  status: Status
}
interface CustomCallItem {
  type: 'custom_tool_call'
  id: string
  call_id: string
  name: string
  input: string
  status: Status
}
interface OutputItem {
  type: 'function_call_output' | 'custom_tool_call_output'
  id: string
  call_id: string
  output: string
  status: Status
}

/** An item with all that the API's objects have, as it is kept, listed and told to the model. */
export type Item = MessageItem | ReasoningItem | CallItem | CustomCallItem | OutputItem

/** What a reasoning item carries for clients that keep no plain text of it: its text, not hidden, only packed. */
const PACKED = 'seed1.'
export const packed = (thought: string): string =>
  PACKED + Buffer.from(thought, 'utf8').toString('base64url')

export const unpacked = (text: string | null | undefined): string =>
  text?.startsWith(PACKED)
    ? Buffer.from(text.slice(PACKED.length), 'base64url').toString('utf8')
    : ''

const joined = (value: z.output<typeof content>): string => {
  if (typeof value === 'string') return value
  return (value ?? [])
    .map((one) => ('text' in one ? one.text : (one as { refusal?: unknown }).refusal))
    .filter((piece) => typeof piece === 'string')
    .join('\n')
}

const partsOf = (value: z.output<typeof content>, role: Role): Part[] => {
  const written = typeof value === 'string' ? [{ type: 'text', text: value }] : (value ?? [])
  return (written as { type: string; text?: string; refusal?: string }[]).map((one): Part => {
    if (one.type === 'refusal') return { type: 'refusal', refusal: one.refusal ?? '' }
    const said = one.text ?? ''
    if (role !== 'assistant') return { type: 'input_text', text: said }
    return { type: 'output_text', text: said, annotations: [], logprobs: [] }
  })
}

const hasThought = (item: InputItem & { type: 'reasoning' }): boolean =>
  (item.content?.length ?? 0) > 0 || unpacked(item.encrypted_content) !== ''

/** Ids of items that are meant and not told: references, and thoughts sent back without their text. */
export const referencesOf = (input: Input): Set<string> => {
  const wanted = new Set<string>()
  if (typeof input === 'string') return wanted
  for (const item of input) {
    const bare = item.type === 'reasoning' && !hasThought(item)
    if ((bare || item.type === 'item_reference') && item.id) wanted.add(item.id)
  }
  return wanted
}

type Named = (prefix: string) => string
type Known = Map<string, Item>

const reasoningOf = (
  item: InputItem & { type: 'reasoning' },
  known: Known,
  newId: Named
): ReasoningItem => {
  const kept = item.id && !hasThought(item) ? known.get(item.id) : undefined
  if (kept?.type === 'reasoning') return kept
  const packedText = unpacked(item.encrypted_content)
  const told = item.content?.map((one) => one.text) ?? (packedText === '' ? [] : [packedText])
  const summary = item.summary ?? []
  return {
    type: 'reasoning',
    id: item.id ?? newId('rs_'),
    summary: summary.map((one) => ({ type: 'summary_text', text: one.text })),
    content: told.map((one) => ({ type: 'reasoning_text', text: one })),
    status: 'completed',
  }
}

const filled = (item: InputItem, at: number, known: Known, newId: Named): Item | undefined => {
  const status = item.status === 'incomplete' ? 'incomplete' : 'completed'
  switch (item.type) {
    case 'message': {
      const { role, id } = item
      const parts = partsOf(item.content, role)
      return { type: item.type, id: id ?? newId('msg_'), role, status, content: parts }
    }
    case 'reasoning':
      return reasoningOf(item, known, newId)
    case 'function_call': {
      const { id, call_id, namespace } = item
      const args = item.arguments?.trim() ? item.arguments : '{}'
      const call = { call_id, name: item.name, ...(namespace ? { namespace } : {}) }
      return { type: item.type, id: id ?? newId('fc_'), ...call, arguments: args, status }
    }
    case 'custom_tool_call': {
      const { id, call_id, input } = item
      const call = { call_id, name: item.name, input: input ?? '' }
      return { type: item.type, id: id ?? newId('ctc_'), ...call, status }
    }
    case 'function_call_output':
    case 'custom_tool_call_output': {
      const { type, id, call_id, output } = item
      return { type, id: id ?? newId('fco_'), call_id, output: joined(output), status }
    }
    case 'item_reference': {
      const found = known.get(item.id)
      if (found) return found
      throw new ApiError(404, `Item with id '${item.id.slice(0, 100)}' not found`, {
        param: `input[${at}].id`,
      })
    }
    default:
      return undefined
  }
}

/** A checked input as whole items; `ignored` names the types of those that cannot be told to the model. */
export const itemsOf = (
  input: Input,
  known: Known,
  newId: Named
): { items: Item[]; ignored: string[] } => {
  const list: InputItem[] =
    typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input
  const all = list.map((item, at) => filled(item, at, known, newId))
  return {
    items: all.filter((item) => item !== undefined),
    ignored: list.filter((_, at) => all[at] === undefined).map(({ type }) => type),
  }
}

type ChatMessages = ChatPrompt['messages']
type ChatMessage = ChatMessages[number]
type Assistant = Extract<ChatMessage, { role: 'assistant' }>

const textOf = (parts: Part[]): string =>
  parts.map((one) => (one.type === 'refusal' ? one.refusal : one.text)).join('\n')

/** A function's name as the model knows it; a namespace is part of it. */
export const flatName = (space: string | null | undefined, given: string): string =>
  space ? `${space}__${given}` : given

/** Items in a row that one assistant turn consists of become one message. */
class Transcript {
  readonly messages: ChatMessages = []
  private turn: Assistant | undefined
  private calls = new Set<string>()

  private current(fresh: boolean): Assistant {
    if (!this.turn || fresh) {
      this.turn = { role: 'assistant', content: null }
      this.messages.push(this.turn)
    }
    return this.turn
  }

  private get spoken(): boolean {
    return this.turn?.content != null || (this.turn?.tool_calls?.length ?? 0) > 0
  }

  private call(id: string, called: string, args: string): void {
    const turn = this.current(false)
    const call = { id, type: 'function' as const, function: { name: called, arguments: args } }
    turn.tool_calls ??= []
    turn.tool_calls.push(call)
    this.calls.add(id)
  }

  private answer({ call_id, output }: OutputItem): void {
    if (!this.calls.has(call_id))
      throw invalid('input', `No tool call found for the output with call_id '${call_id}'`)
    this.turn = undefined
    this.messages.push({ role: 'tool', tool_call_id: call_id, content: output })
  }

  private say({ role, content: parts }: MessageItem): void {
    if (role === 'assistant') this.current(this.spoken).content = textOf(parts)
    else {
      this.turn = undefined
      this.messages.push({ role, content: textOf(parts) })
    }
  }

  private think({ content: parts, summary }: ReasoningItem): void {
    const thought = (parts.length > 0 ? parts : summary).map((one) => one.text).join('\n')
    if (thought === '') return
    const turn = this.current(this.spoken)
    turn.reasoning = turn.reasoning ? `${turn.reasoning}\n${thought}` : thought
  }

  add(item: Item): void {
    if (item.type === 'message') this.say(item)
    else if (item.type === 'reasoning') this.think(item)
    else if (item.type === 'function_call')
      this.call(item.call_id, flatName(item.namespace, item.name), item.arguments)
    else if (item.type === 'custom_tool_call')
      this.call(item.call_id, item.name, JSON.stringify({ input: item.input }))
    else this.answer(item)
  }
}

const isOutput = (item: Item): item is OutputItem =>
  item.type === 'function_call_output' || item.type === 'custom_tool_call_output'

const isCall = (item: Item): item is CallItem | CustomCallItem =>
  item.type === 'function_call' || item.type === 'custom_tool_call'

/** What items tell, as the messages a chat body would have. */
export const messagesOfItems = (items: Item[]): ChatMessages => {
  const transcript = new Transcript()
  const answered = new Set<string>()
  for (const item of items) if (isOutput(item)) answered.add(item.call_id)
  for (const item of items) {
    // A call that was cut and never answered is no call.
    const cut = isCall(item) && item.status === 'incomplete' && !answered.has(item.call_id)
    if (!cut) transcript.add(item)
  }
  for (const message of transcript.messages)
    if (message.role === 'assistant' && !message.tool_calls) message.content ??= ''
  return transcript.messages
}
