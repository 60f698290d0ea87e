// Renders events as Responses stream events and builds the response object from the same; routes/responses.ts asks.
import type { ApiError } from '../errors.ts'
import type { GenerationEvent, Token, Usage } from '../events.ts'
import { randomId } from './chat.ts'
import { type ChatLogprob, chatLogprobs } from './logprobs.ts'

type Status = 'in_progress' | 'completed' | 'incomplete'

interface TextPart {
  type: 'output_text'
  text: string
  annotations: []
  logprobs: ChatLogprob[]
}

interface ThoughtPart {
  type: 'reasoning_text'
  text: string
}

interface MessageOutput {
  id: string
  type: 'message'
  role: 'assistant'
  status: Status
  content: TextPart[]
}

interface ReasoningOutput {
  id: string
  type: 'reasoning'
  summary: []
  content: ThoughtPart[]
  encrypted_content?: string
  status: Status
}

interface CallOutput {
  id: string
  type: 'function_call'
  call_id: string
  name: string
  namespace?: string
  arguments: string
  status: Status
}

interface CustomCallOutput {
  id: string
  type: 'custom_tool_call'
  call_id: string
  name: string
  input: string
  status: Status
}

export type ResponseOutput = MessageOutput | ReasoningOutput | CallOutput | CustomCallOutput

export interface WireResponse {
  id: string
  object: 'response'
  created_at: number
  status: 'queued' | Status | 'failed' | 'cancelled'
  completed_at: number | null
  error: { code: string; message: string } | null
  incomplete_details: { reason: 'max_output_tokens' } | null
  output: ResponseOutput[]
  usage: ResponsesUsage | null
  [echoed: string]: unknown
}

interface ResponsesUsage {
  input_tokens: number
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number }
  output_tokens: number
  output_tokens_details: { reasoning_tokens: number }
  total_tokens: number
}

export interface ResponseShape {
  /** False generates the thought and does not show it. */
  includeReasoning: boolean
  /** Makes the text a thought carries for clients that keep none; undefined where nobody wants it. */
  pack?: (thought: string) => string
  /** Undefined without logprobs; else how many candidates. */
  logprobs?: number
  tokensAsIds: boolean
  /** How calls are shown, by the name the model used; one it made up is a function. */
  calls: Map<string, { name: string; namespace?: string; custom: boolean }>
  now: () => number
  /** Nobody reads the frames, so none are written. */
  silent?: boolean
}

const usageOf = (usage: Usage): ResponsesUsage => ({
  input_tokens: usage.promptTokens,
  input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: 0 },
  output_tokens: usage.completionTokens,
  output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  total_tokens: usage.promptTokens + usage.completionTokens,
})

/** A custom tool's text out of the one argument its function has. */
const freeText = (args: string): string => {
  try {
    const { input } = JSON.parse(args) as { input?: unknown }
    return typeof input === 'string' ? input : args
  } catch {
    return args
  }
}

const errorCode = (status: number): string => {
  if (status === 429) return 'rate_limit_exceeded'
  return status < 500 ? 'invalid_prompt' : 'server_error'
}

type Open = { item: ResponseOutput; index: number; args: string }

/** Writes one response: each call gives the frames to send, and `response` is what they add up to. */
export class ResponseWriter {
  readonly response: WireResponse
  /** Why it failed, where it did. */
  failure: ApiError | undefined
  private shape: ResponseShape
  private open: Open | undefined
  private sequence = 0
  private frames: string[] = []
  /** White space that shows only if text follows. */
  private blank = ''
  private blankTokens: Token[] = []

  constructor(id: string, echo: { [field: string]: unknown }, shape: ResponseShape) {
    this.shape = shape
    this.response = {
      id,
      object: 'response',
      created_at: shape.now(),
      status: 'in_progress',
      completed_at: null,
      error: null,
      incomplete_details: null,
      output: [],
      usage: null,
      ...echo,
    }
  }

  get ended(): boolean {
    return !['queued', 'in_progress'].includes(this.response.status)
  }

  /** The frames since the last call, one an event. */
  private taken(): string[] {
    const { frames } = this
    this.frames = []
    return frames
  }

  private emit(type: string, fields: object): void {
    if (this.shape.silent) return
    const data = { type, sequence_number: this.sequence++, ...fields }
    this.frames.push(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  private announce(state: string): void {
    this.emit(`response.${state}`, { response: this.response })
  }

  /** The first events; one that is queued is in progress from its first output on. */
  begin(queued = false): string[] {
    if (queued) this.response.status = 'queued'
    this.announce('created')
    if (queued) this.announce('queued')
    else this.announce('in_progress')
    return this.taken()
  }

  /** Where an event belongs. */
  private at({ item, index }: Open): { item_id: string; output_index: number } {
    return { item_id: item.id, output_index: index }
  }

  private add(item: ResponseOutput): Open {
    this.close('completed')
    const index = this.response.output.push(item) - 1
    this.open = { item, index, args: '' }
    this.emit('response.output_item.added', { output_index: index, item })
    return this.open
  }

  private addPart(open: Open, part: TextPart | ThoughtPart): void {
    const { item } = open
    if (item.type === 'message' || item.type === 'reasoning')
      (item.content as (TextPart | ThoughtPart)[]).push(part)
    this.emit('response.content_part.added', { ...this.at(open), content_index: 0, part })
  }

  private thinking(): Open {
    if (this.open?.item.type === 'reasoning') return this.open
    const id = randomId('rs_', 24)
    const open = this.add({
      id,
      type: 'reasoning',
      summary: [],
      content: [],
      status: 'in_progress',
    })
    this.addPart(open, { type: 'reasoning_text', text: '' })
    return open
  }

  private speaking(): Open {
    if (this.open?.item.type === 'message') return this.open
    const id = randomId('msg_', 24)
    const status = 'in_progress'
    const open = this.add({ id, type: 'message', role: 'assistant', status, content: [] })
    this.addPart(open, { type: 'output_text', text: '', annotations: [], logprobs: [] })
    return open
  }

  private think(text: string): void {
    if (text === '' || !this.shape.includeReasoning) return
    const open = this.thinking()
    const part = (open.item as ReasoningOutput).content[0]
    if (part) part.text += text
    this.emit('response.reasoning_text.delta', { ...this.at(open), content_index: 0, delta: text })
  }

  private say(text: string, tokens: Token[]): void {
    this.blank += text
    this.blankTokens.push(...tokens)
    if (this.open?.item.type !== 'message' && this.blank.trim() === '') return
    if (this.blank !== '' || this.blankTokens.length > 0) this.speak()
  }

  private speak(): void {
    const open = this.speaking()
    const delta = this.blank
    const { logprobs: top, tokensAsIds } = this.shape
    const logprobs =
      top === undefined ? [] : chatLogprobs(this.blankTokens, top, tokensAsIds).content
    this.blank = ''
    this.blankTokens = []
    const part = (open.item as MessageOutput).content[0]
    if (part) part.text += delta
    part?.logprobs.push(...logprobs)
    const place = { ...this.at(open), content_index: 0 }
    if (delta !== '' || logprobs.length > 0)
      this.emit('response.output_text.delta', { ...place, delta, logprobs })
  }

  private call(called: string): void {
    const form = this.shape.calls.get(called) ?? { name: called, custom: false }
    const { name, namespace } = form
    const call_id = randomId('call_', 24)
    const status = 'in_progress' as const
    if (form.custom) {
      const id = randomId('ctc_', 24)
      this.add({ id, type: 'custom_tool_call', call_id, name, input: '', status })
      return
    }
    const id = randomId('fc_', 24)
    const where = namespace === undefined ? {} : { namespace }
    this.add({ id, type: 'function_call', call_id, name, ...where, arguments: '', status })
  }

  private argue(text: string): void {
    const { open } = this
    if (!open || text === '') return
    open.args += text
    if (open.item.type !== 'function_call') return
    open.item.arguments += text
    this.emit('response.function_call_arguments.delta', { ...this.at(open), delta: text })
  }

  /** Ends the item that is open, saying all of it once more. */
  private close(status: Status): void {
    const { open } = this
    if (!open) return
    const { item } = open
    const place = this.at(open)
    if (item.type === 'message' || item.type === 'reasoning') {
      const [part] = item.content
      const { text = '' } = part ?? {}
      const inside = { ...place, content_index: 0 }
      if (part?.type === 'output_text')
        this.emit('response.output_text.done', { ...inside, text, logprobs: part.logprobs })
      else this.emit('response.reasoning_text.done', { ...inside, text })
      this.emit('response.content_part.done', { ...inside, part })
      if (item.type === 'reasoning' && this.shape.pack)
        item.encrypted_content = this.shape.pack(text)
    } else if (item.type === 'function_call') {
      if (item.arguments === '' && status === 'completed') this.argue('{}')
      const { name, arguments: args } = item
      this.emit('response.function_call_arguments.done', { ...place, name, arguments: args })
    } else {
      item.input = freeText(open.args)
      const { input } = item
      if (input !== '')
        this.emit('response.custom_tool_call_input.delta', { ...place, delta: input })
      this.emit('response.custom_tool_call_input.done', { ...place, input })
    }
    item.status = status
    this.open = undefined
    this.emit('response.output_item.done', { output_index: open.index, item })
  }

  private finish(event: GenerationEvent & { type: 'finish' }): void {
    const { response } = this
    const cut = event.reason === 'length'
    const answered = response.output.some(({ type }) => type !== 'reasoning')
    const held = response.output.length === 0 && this.blank !== ''
    // An answer always has something to show, if only an empty message.
    if (held || (!cut && !answered)) this.speak()
    this.close(cut ? 'incomplete' : 'completed')
    response.usage = usageOf(event.usage)
    response.status = cut ? 'incomplete' : 'completed'
    if (cut) response.incomplete_details = { reason: 'max_output_tokens' }
    else response.completed_at = this.shape.now()
    this.announce(response.status)
  }

  /** An event that is no broken end; those are for `fail`. */
  push(event: GenerationEvent): string[] {
    if (this.response.status === 'queued') {
      this.response.status = 'in_progress'
      this.announce('in_progress')
    }
    switch (event.type) {
      case 'reasoning':
        this.dropBlank(event.text)
        this.think(event.text)
        break
      case 'text':
        this.say(event.text, event.tokens ?? [])
        break
      case 'tool-start':
        this.dropBlank(event.name)
        this.call(event.name)
        break
      case 'tool-args':
        this.argue(event.text)
        break
      case 'tool-end':
        this.close('completed')
        break
      case 'finish':
        this.finish(event)
    }
    return this.taken()
  }

  /** White space between two other things is nobody's text. */
  private dropBlank(next: string): void {
    if (next === '') return
    this.blank = ''
    this.blankTokens = []
  }

  private stop(status: 'failed' | 'cancelled'): string[] {
    if (this.open) this.open.item.status = 'incomplete'
    this.open = undefined
    this.response.status = status
    this.announce('failed')
    return this.taken()
  }

  fail(error: ApiError): string[] {
    this.failure = error
    this.response.error = { code: errorCode(error.status), message: error.message }
    return this.stop('failed')
  }

  /** Nobody wants the rest. */
  cancel(): string[] {
    return this.stop('cancelled')
  }
}
