// Renders events as Anthropic's message stream events and builds the message from the same; routes/anthropic.ts asks.
import { createHash } from 'node:crypto'
import type { GenerationEvent, Usage } from '../events.ts'
import { randomId } from './chat.ts'

interface ThinkingBlock {
  type: 'thinking'
  thinking: string
  signature: string
}

interface TextBlock {
  type: 'text'
  text: string
  citations: null
}

interface ToolUseBlock {
  type: 'tool_use'
  id: string
  name: string
  input: object
}

type Block = ThinkingBlock | TextBlock | ToolUseBlock

type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use'

interface MessageUsage {
  /** Tokens of the prompt that no cache had. */
  input_tokens: number
  cache_creation_input_tokens: number
  cache_read_input_tokens: number
  output_tokens: number
}

export interface WireMessage {
  id: string
  type: 'message'
  role: 'assistant'
  model: string
  content: Block[]
  stop_reason: StopReason | null
  stop_sequence: string | null
  usage: MessageUsage
}

export interface MessageShape {
  model: string
  promptTokens: number
  /** Undefined shows the thought; else it goes into the block's signature, packed by this. */
  pack?: (thought: string) => string
}

const eventFrame = (event: { type: string; [member: string]: unknown }): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

/** An error as a frame of the stream. */
export const errorFrame = (body: object): string =>
  `event: error\ndata: ${JSON.stringify(body)}\n\n`

const usageOf = ({ promptTokens, cachedTokens, completionTokens }: Usage): MessageUsage => ({
  input_tokens: promptTokens - cachedTokens,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: cachedTokens,
  output_tokens: completionTokens,
})

/** Arguments as an object; what the model wrote that is none is kept as Anthropic's tools keep it. */
const inputOf = (written: string): object => {
  if (written.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(written)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // As it is, then.
  }
  return { INVALID_JSON: written }
}

/** Writes one message; each block is whole before the next begins. */
export class MessageWriter {
  readonly message: WireMessage
  private shape: MessageShape
  /** What the last block has been given so far. */
  private written: string[] = []
  private open: Block | undefined

  constructor(shape: MessageShape) {
    this.shape = shape
    this.message = {
      id: randomId('msg_', 24),
      type: 'message',
      role: 'assistant',
      model: shape.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: usageOf({
        promptTokens: shape.promptTokens,
        cachedTokens: 0,
        completionTokens: 0,
        reasoningTokens: 0,
      }),
    }
  }

  begin(): string {
    return eventFrame({ type: 'message_start', message: this.message })
  }

  private get index(): number {
    return this.message.content.length - 1
  }

  private delta(delta: object): string {
    return eventFrame({ type: 'content_block_delta', index: this.index, delta })
  }

  private start(block: Block): string[] {
    const frames = this.stop()
    this.open = block
    this.written = []
    this.message.content.push(block)
    const event = { type: 'content_block_start', index: this.index, content_block: block }
    return [...frames, eventFrame(event)]
  }

  /** Ends the open block, which then has all that was written to it. */
  private stop(): string[] {
    const block = this.open
    if (!block) return []
    this.open = undefined
    const written = this.written.join('')
    const frames: string[] = []
    if (block.type === 'thinking') {
      const { pack } = this.shape
      block.signature = pack?.(written) ?? createHash('sha256').update(written).digest('base64')
      if (!pack) block.thinking = written
      frames.push(this.delta({ type: 'signature_delta', signature: block.signature }))
    } else if (block.type === 'text') block.text = written
    else block.input = inputOf(written)
    const event = { type: 'content_block_stop', index: this.index }
    return [...frames, eventFrame(event)]
  }

  private write(text: string, delta: object | undefined): string[] {
    this.written.push(text)
    return delta ? [this.delta(delta)] : []
  }

  private said(event: { type: 'reasoning' | 'text'; text: string }): string[] {
    const { type, text } = event
    if (text === '') return []
    if (type === 'text') {
      const begun =
        this.open?.type === 'text' ? [] : this.start({ type, text: '', citations: null })
      return [...begun, ...this.write(text, { type: 'text_delta', text })]
    }
    const empty = { type: 'thinking', thinking: '', signature: '' } as const
    const begun = this.open?.type === 'thinking' ? [] : this.start({ ...empty })
    const shown = this.shape.pack ? undefined : { type: 'thinking_delta', thinking: text }
    return [...begun, ...this.write(text, shown)]
  }

  private finished(event: Extract<GenerationEvent, { type: 'finish' }>): string[] {
    const { message } = this
    const frames = this.stop()
    message.usage = usageOf(event.usage)
    message.stop_sequence = typeof event.stop === 'string' ? event.stop : null
    message.stop_reason = this.stopReason(event.reason === 'length')
    const { stop_reason, stop_sequence, usage } = message
    const end = { type: 'message_delta', delta: { stop_reason, stop_sequence }, usage }
    return [...frames, eventFrame(end), eventFrame({ type: 'message_stop' })]
  }

  private stopReason(cut: boolean): StopReason {
    const { content, stop_sequence: stop } = this.message
    if (cut) return 'max_tokens'
    if (stop !== null) return 'stop_sequence'
    return content.some((block) => block.type === 'tool_use') ? 'tool_use' : 'end_turn'
  }

  /** The frames of one event. */
  push(event: GenerationEvent): string[] {
    switch (event.type) {
      case 'text':
      case 'reasoning':
        return this.said(event)
      case 'tool-start': {
        const { name } = event
        return this.start({ type: 'tool_use', id: randomId('toolu_', 24), name, input: {} })
      }
      case 'tool-args':
        if (event.text === '') return []
        return this.write(event.text, { type: 'input_json_delta', partial_json: event.text })
      case 'tool-end':
        return this.stop()
      default:
        return this.finished(event)
    }
  }
}
