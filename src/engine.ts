// The typed face of the native engine: what run.ts asks of it and what it answers. Knows no OpenAI.
import type { Token } from './events.ts'
import type { PromptPiece } from './conversation.ts'

/** What to load, and under which bounds. */
export interface EngineOptions {
  /** Folder of a Hugging Face checkpoint, or a GGUF file. */
  path: string
  dtype: 'auto' | 'bfloat16' | 'float16' | 'float32'
  /** Blocks that plain matrices are rounded to. */
  quantize?: string
  /** Activations are rounded: to eight bits for quantised matrices, to bfloat16 for those and a cache of it, where the CPU is faster so. */
  roundsActivations: boolean
  /** Folder in which the weights' tiled form is kept, so that later loads map it. */
  tiles?: string
  maxModelLen?: number
  maxSequences: number
  maxBatchedTokens: number
  kvCacheBytes?: number
  /** What keys and values are kept as; absent, as precisely as the weights. */
  kvCacheDtype?: 'float32' | 'bfloat16' | 'q8_0'
  pageSize: number
  /** Bytes to plan with, of several models to be parted by shareMemory; absent, all that is free. */
  memory?: number
  threads?: number
  /** Threads that no other engine of this process uses. */
  ownThreads: boolean
  prefixCache: boolean
  /** Guess what comes next by what came before, and check the guess in the same pass. */
  promptLookup: boolean
  maxQueue: number
  maxQueuedTokens: number
  /** Control tokens the family needs, by string. */
  controlTokens: string[]
  /** Control tokens that always end a generation, by string. */
  stopTokens: string[]
}

export interface LoadProgress {
  phase: string
  /** 0..1 within the phase. */
  done: number
}

/** Sampling of one sequence; every field already validated. */
export interface Sampling {
  temperature: number
  /** 0 = off. */
  topK: number
  topP: number
  minP: number
  repetitionPenalty: number
  presencePenalty: number
  frequencyPenalty: number
  logitBias: [id: number, bias: number][]
  /** Seed of this choice; undefined draws one. */
  seed?: number | bigint
  minTokens: number
  maxTokens: number
  ignoreEos: boolean
  stopTokenIds: number[]
  stopStrings: string[]
  includeStop: boolean
  /** Undefined = none; n = the chosen token and the n best. */
  logprobs?: number
  /** These and the chosen token in place of the best, with `logprobs`. */
  logprobTokenIds?: number[]
  badWords: number[][]
  allowedTokenIds?: number[]
  /**
   * After the token `after`, which else ends it, a constrained generation goes on for as long as the model itself writes
   * what its grammar admits; from the token `until` on the grammar holds it again.
   */
  goesOn?: { after: number; until: number }
}

/** How the engine counts and bounds a thought; token ids, see ThoughtMarkers for the strings. */
export interface Thought {
  /** These tokens in a row open a thought. */
  start: number[]
  /** Index in `start` of the token that is banned where there may be none. */
  choice: number
  end: number
  reflectStart?: number
  reflectEnd?: number
  callStart?: number
  callEnd?: number
  openInPrompt: boolean
  /** Undefined = unlimited, 0 = no thought. */
  budget?: number
  closing: number[]
  closingInReflection: number[]
  /** Forced after a forced closing; with budget 0 also where the prompt ends inside it. */
  afterClosing: number[]
  /** Under a budget, a closed thought is not opened again. */
  once: boolean
  /** Where answers are messages: the token that begins their content, and those that end it. */
  content?: number
  contentEnds: number[]
}

/** How the likeliest continuations are searched for, where they are not sampled. */
export interface Beams {
  /** Continuations that are followed at once. */
  width: number
  /** Exponent of the length by which a sum is divided (Wu et al. 2016, without its constant); 0 compares sums. */
  lengthPenalty: number
  /** Tokens that end a continuation. */
  ends: ReadonlySet<number>
}

/** A compiled grammar over the whole generation; opaque, and good for any number of requests to its engine. */
export interface Constraint {
  /** Roughly what it takes in memory. */
  readonly bytes: number
}

export interface EngineRequest {
  prompt: Uint32Array
  sampling: Sampling
  thought?: Thought
  /** What the generation must follow; from `compileConstraint` of the same engine. */
  constraint?: Constraint
  cacheSalt?: string
  /** Lower goes first. */
  priority: number
  /** Fairness key: requests of one tenant share a turn. */
  tenant: number
  /** Logprobs of every prompt token (first has none); n best of each. */
  promptLogprobs?: number
}

export interface PromptToken {
  id: number
  logprob: number | null
  rank: number | null
  top: { id: number; logprob: number }[]
}

/** What one engine step brought for one sequence. */
export interface StepOutput {
  tokens: Token[]
  /** On the first output only. */
  cachedTokens?: number
  promptLogprobs?: PromptToken[]
  /** Set on the last output. */
  finish?: {
    reason: 'stop' | 'length' | 'abort' | 'error'
    /** Stop string, stop token id, or null for the model's own end. */
    stop: string | number | null
    reasoningTokens: number
    completionTokens: number
    error?: string
    /** Where its time went, in seconds; absent where the engine does not say. */
    timing?: { queued: number; prefill: number; decode: number; preemptions: number }
  }
}

export interface ModelInfo {
  architecture: string
  /** Rows of the head; ids at or above `realVocabulary` are padding. */
  vocabulary: number
  realVocabulary: number
  maxModelLen: number
  maxSequences: number
  eosTokenIds: number[]
  parameters: number
  weightBytes: number
  kvTokens: number
  /** Tokens in a page of the cache. */
  pageSize: number
}

export interface EngineStats {
  running: number
  waiting: number
  waitingTokens: number
  pagesTotal: number
  pagesUsed: number
  pagesCached: number
  prefixQueries: number
  prefixHits: number
  preemptions: number
  promptTokens: number
  generatedTokens: number
  steps: number
  /** Steps by their rows: at most as many as the bound of the same index in `stepBounds`, the last those with more. */
  stepSizes: number[]
  stepBounds: number[]
  /** Rows of all steps. */
  stepRows: number
  /** Guesses of what comes next, the tokens in them, and how many came true by their position in the guess. */
  guesses: number
  guessedTokens: number
  rightGuesses: number[]
  /** Seconds since the engine thread last turned; grows when it hangs. */
  beatAge: number
  dead: string | null
}

/** Refused before anything ran: the HTTP status the caller deserves and a sentence. */
export class EngineRefusal extends Error {
  status: 400 | 429 | 503
  code: string
  constructor(status: 400 | 429 | 503, code: string, message: string) {
    super(message)
    this.name = 'EngineRefusal'
    this.status = status
    this.code = code
  }
}

export interface Engine {
  readonly info: ModelInfo
  /** Text in which control tokens count, as `/v1/completions` takes it. */
  encodePrompt(text: string): Promise<Uint32Array>
  /** Caller text: never becomes a control token. */
  encodeText(text: string): Promise<Uint32Array>
  /** Template output: control pieces become control tokens, text pieces stay text. */
  encodePieces(pieces: PromptPiece[]): Promise<Uint32Array>
  decode(ids: ArrayLike<number>): string
  tokenBytes(id: number): Uint8Array
  tokenId(text: string): number | undefined
  /**
   * Compiles a Lark grammar (llguidance's dialect) over the whole generation, off the event loop; cached by its text.
   * Control tokens stand in rules as `<|name|>` or `<seed:name>`, tokens by id as `<[123]>`. Throws EngineRefusal 400
   * with one short sentence for a grammar that is wrong, impossible or too large.
   */
  compileConstraint(lark: string): Promise<Constraint>
  /**
   * Queues one sequence. Throws EngineRefusal before anything ran; afterwards the iterable ends exactly once,
   * with `finish` on its last output. Returning early or aborting the signal cancels within one step.
   */
  generate(request: EngineRequest, signal?: AbortSignal): AsyncIterable<StepOutput>
  stats(): EngineStats
  close(): Promise<void>
}
