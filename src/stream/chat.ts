// Renders events as Chat Completions chunks, and folds the same chunks into the plain answer; routes/chat.ts asks.
import { randomBytes } from 'node:crypto'
import type { FinishReason, GenerationEvent, Token } from '../events.ts'
import { type ChatLogprobs, chatLogprobs } from './logprobs.ts'

export interface ToolCallDelta {
  index: number
  id?: string
  type?: 'function'
  function: { name?: string; arguments?: string }
}

export interface ChatDelta {
  role?: 'assistant'
  content?: string | null
  reasoning?: string
  reasoning_content?: string
  tool_calls?: ToolCallDelta[]
}

export interface ChatMessage {
  role: 'assistant'
  content: string | null
  refusal: null
  annotations: []
  reasoning?: string
  reasoning_content?: string
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[]
}

export type ChatFinish = 'stop' | 'length' | 'tool_calls'

/** One chunk's part for one choice, still without its envelope. */
export interface ChatPart {
  delta: ChatDelta
  tokens: Token[]
  finish: ChatFinish | null
  /** What stopped it, where that was not the model's own end. */
  stop: string | number | null
}

export interface ChatShape {
  /** False generates the thought and does not show it. */
  includeReasoning: boolean
  /** A call the caller named ends with `stop`, as OpenAI's does. */
  namedCall: boolean
  /** Stands before the answer's own content. */
  echo?: string
  /** Undefined without logprobs; else how many candidates. */
  logprobs?: number
  tokensAsIds: boolean
  tokenIds: boolean
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Random letters and digits, each equally likely: bytes from 248 = 4 * 62 on are drawn again. */
export const randomId = (prefix: string, length: number): string => {
  let id = prefix
  while (id.length < prefix.length + length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && id.length < prefix.length + length) id += ALPHABET[byte % 62]
    }
  }
  return id
}

/** Renders the events of one choice; state is what the next delta's form depends on. */
export class ChatChoice {
  private shape: Pick<ChatShape, 'includeReasoning' | 'namedCall' | 'echo'>
  private started = false
  private calls = 0
  /** Calls whose arguments have begun; a call ends with a document even if the model wrote none. */
  private argued = new Set<number>()

  constructor(shape: Pick<ChatShape, 'includeReasoning' | 'namedCall' | 'echo'>) {
    this.shape = shape
  }

  private finishReason(reason: FinishReason): ChatFinish {
    if (reason === 'length') return 'length'
    return this.calls > 0 && !this.shape.namedCall ? 'tool_calls' : 'stop'
  }

  private deltaOf(event: Exclude<GenerationEvent, { type: 'finish' }>): ChatDelta {
    switch (event.type) {
      case 'text':
        return event.text === '' ? {} : { content: event.text }
      case 'reasoning': {
        const { text } = event
        const shown = this.shape.includeReasoning && text !== ''
        return shown ? { reasoning: text, reasoning_content: text } : {}
      }
      case 'tool-start': {
        const { index, name } = event
        this.calls += 1
        const call = { name, arguments: '' }
        const id = randomId('call_', 24)
        return { tool_calls: [{ index, id, type: 'function', function: call }] }
      }
      case 'tool-args':
        if (event.text === '') return {}
        this.argued.add(event.index)
        return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] }
      case 'tool-end':
        if (this.argued.has(event.index)) return {}
        return { tool_calls: [{ index: event.index, function: { arguments: '{}' } }] }
    }
  }

  /** The parts an event becomes; a part without delta, finish or wanted tokens need not be sent. */
  push(event: GenerationEvent): ChatPart[] {
    const hidden = event.type === 'reasoning' && !this.shape.includeReasoning
    const tokens = hidden ? [] : (event.tokens ?? [])
    const parts: ChatPart[] = []
    if (!this.started) {
      this.started = true
      const content = event.type === 'tool-start' ? null : ''
      parts.push({ delta: { role: 'assistant', content }, tokens: [], finish: null, stop: null })
      const { echo } = this.shape
      if (echo) parts.push({ delta: { content: echo }, tokens: [], finish: null, stop: null })
    }
    if (event.type === 'finish') {
      const finish = this.finishReason(event.reason)
      parts.push({ delta: {}, tokens, finish, stop: event.stop })
    } else parts.push({ delta: this.deltaOf(event), tokens, finish: null, stop: null })
    return parts
  }
}

export const isEmptyDelta = (delta: ChatDelta): boolean => {
  for (const _ in delta) return false
  return true
}

/** The deltas the chat route would stream for one choice's events. */
export const chatDeltas = (events: GenerationEvent[]): ChatDelta[] => {
  const choice = new ChatChoice({ includeReasoning: true, namedCall: false })
  return events
    .flatMap((event) => choice.push(event))
    .map(({ delta }) => delta)
    .filter((delta) => !isEmptyDelta(delta))
}

/** The message that deltas add up to. */
export class ChatFold {
  private text: string[] = []
  private thought: string[] = []
  private calls: { id: string; name: string; arguments: string[] }[] = []

  add(delta: ChatDelta): void {
    if (delta.content) this.text.push(delta.content)
    if (delta.reasoning) this.thought.push(delta.reasoning)
    for (const { index, id, function: call } of delta.tool_calls ?? []) {
      const known = (this.calls[index] ??= { id: id ?? '', name: call.name ?? '', arguments: [] })
      if (call.arguments) known.arguments.push(call.arguments)
    }
  }

  get message(): ChatMessage {
    const text = this.text.join('')
    const thought = this.thought.join('')
    const alone = thought === '' && this.calls.length === 0
    const message: ChatMessage = {
      role: 'assistant',
      content: text === '' && !alone ? null : text,
      refusal: null,
      annotations: [],
    }
    if (thought !== '') {
      message.reasoning = thought
      message.reasoning_content = thought
    }
    if (this.calls.length > 0)
      message.tool_calls = this.calls.map(({ id, name, arguments: args }) => ({
        id,
        type: 'function',
        function: { name, arguments: args.join('') },
      }))
    return message
  }
}

/** The message the chat route would answer for one choice's events. */
export const chatMessage = (events: GenerationEvent[]): ChatMessage => {
  const fold = new ChatFold()
  for (const delta of chatDeltas(events)) fold.add(delta)
  return fold.message
}

export interface ChatAnswerChoice {
  index: number
  message: ChatMessage
  logprobs: ChatLogprobs | null
  finish_reason: ChatFinish
  stop_reason?: string | number
  token_ids?: number[]
}

/** One choice of the plain answer: the fold of the parts the stream would have sent. */
export class ChatAnswer {
  private choice: ChatChoice
  private fold = new ChatFold()
  private tokens: Token[] = []
  private last: ChatPart | undefined
  private shape: ChatShape

  constructor(shape: ChatShape) {
    this.shape = shape
    this.choice = new ChatChoice(shape)
  }

  push(event: GenerationEvent): void {
    for (const part of this.choice.push(event)) {
      this.fold.add(part.delta)
      this.tokens.push(...part.tokens)
      this.last = part
    }
  }

  choiceAt(index: number): ChatAnswerChoice {
    const { logprobs, tokensAsIds, tokenIds } = this.shape
    return {
      index,
      message: this.fold.message,
      logprobs: logprobs === undefined ? null : chatLogprobs(this.tokens, logprobs, tokensAsIds),
      finish_reason: this.last?.finish ?? 'stop',
      ...(this.last?.stop === null || this.last?.stop === undefined
        ? {}
        : { stop_reason: this.last.stop }),
      ...(tokenIds ? { token_ids: this.tokens.map(({ id }) => id) } : {}),
    }
  }
}

/** Writes parts as the JSON of chunks around the constant head of one response. */
export class ChatChunks {
  private choices: ChatChoice[]
  private shape: ChatShape

  constructor(shape: ChatShape, n: number) {
    this.shape = shape
    this.choices = Array.from({ length: n }, () => new ChatChoice(shape))
  }

  private choiceJson(index: number, part: ChatPart): string {
    const { logprobs, tokensAsIds, tokenIds } = this.shape
    const shown =
      logprobs === undefined || part.tokens.length === 0
        ? 'null'
        : JSON.stringify(chatLogprobs(part.tokens, logprobs, tokensAsIds))
    const finish = part.finish === null ? 'null' : `"${part.finish}"`
    const stop = part.stop === null ? '' : `,"stop_reason":${JSON.stringify(part.stop)}`
    const ids = tokenIds ? `,"token_ids":[${part.tokens.map(({ id }) => id).join(',')}]` : ''
    return `{"index":${index},"delta":${JSON.stringify(part.delta)},"logprobs":${shown},"finish_reason":${finish}${stop}${ids}}`
  }

  /** The `choices` of the chunks an event becomes, each as JSON. */
  push(index: number, event: GenerationEvent): string[] {
    const tokensWanted = this.shape.logprobs !== undefined || this.shape.tokenIds
    const parts = this.choices[index]?.push(event) ?? []
    return parts
      .filter(
        ({ delta, tokens, finish }) =>
          !isEmptyDelta(delta) || finish !== null || (tokensWanted && tokens.length > 0)
      )
      .map((part) => `[${this.choiceJson(index, part)}]`)
  }
}
