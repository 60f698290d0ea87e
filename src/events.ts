// The vocabulary in which model families and APIs meet: families emit these events, streams render them.

/** One candidate of a token's distribution: id, raw bytes and natural-log probability. */
export interface TokenAlternative {
  id: number
  bytes: Uint8Array
  logprob: number
}

/** One generated token as the engine reported it. */
export interface Token {
  id: number
  /** The token's raw bytes, which may be part of a UTF-8 sequence. A control token's are its name. */
  bytes: Uint8Array
  /** Leading bytes that belong to the answer: fewer where a stop string begins, 0 for a stop token. */
  visible: number
  /** Natural-log probability under the unmasked distribution; absent unless asked for. */
  logprob?: number
  rank?: number
  top?: TokenAlternative[]
}

/** Why a choice ended. `tool_calls` is decided by the API, not here. */
export type FinishReason = 'stop' | 'length' | 'abort' | 'error'

export interface Usage {
  promptTokens: number
  cachedTokens: number
  completionTokens: number
  reasoningTokens: number
}

interface Riding {
  /** Tokens that this event's text came from, riding on the first event they caused. */
  tokens?: Token[]
}

export type GenerationEvent =
  | ({ type: 'reasoning'; text: string } & Riding)
  | ({ type: 'text'; text: string } & Riding)
  /** A call begins; its name is complete. `index` is dense from 0 within a choice. */
  | ({ type: 'tool-start'; index: number; name: string } & Riding)
  /** A piece of the call's arguments, JSON text that concatenates to one document. */
  | ({ type: 'tool-args'; index: number; text: string } & Riding)
  | ({ type: 'tool-end'; index: number } & Riding)
  | ({
      type: 'finish'
      reason: FinishReason
      /** The stop string or stop token id that ended it, null for the model's own end. */
      stop: string | number | null
      usage: Usage
      error?: string
    } & Riding)

/** What a family's parser emits: everything but the end, which the run knows. */
export type ParsedEvent = Exclude<GenerationEvent, { type: 'finish' }>

/**
 * An incremental parser of one choice's output. It never throws and never loses text.
 * Feeding the same text in any pieces gives the same concatenated events.
 */
export interface OutputParser {
  /** Feeds one piece of output: decoded text, control tokens spelled as their names. */
  push(text: string): ParsedEvent[]
  /** With it, control tokens come here by name, and text spelled like one is only text. */
  pushControl?(name: string): ParsedEvent[]
  /** Where the engine cannot count the thought: whether the next text is part of it. */
  readonly thinking?: boolean
  /** Ends the output; `cut` tells whether the limit (length) or the model (stop) ended it. */
  finish(reason: 'stop' | 'length'): ParsedEvent[]
}
