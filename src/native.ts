// Gives the native engine the face of engine.ts; the server, the command line and embedders open it.
import { randomBytes } from 'node:crypto'
import { loadAddon } from './addon.ts'
import type { PromptPiece } from './conversation.ts'
import {
  type Constraint,
  type Engine,
  type EngineOptions,
  EngineRefusal,
  type EngineRequest,
  type EngineStats,
  type LoadProgress,
  type ModelInfo,
  type PromptToken,
  type StepOutput,
} from './engine.ts'
import type { Token } from './events.ts'

interface NativeLogprob {
  chosen: number
  rank: number
  top: { id: number; logprob: number }[]
}

interface NativeStep {
  id: number
  tokens: number[]
  visible: number[]
  logprobs?: NativeLogprob[]
  cachedTokens?: number
  promptLogprobs?: { id: number; logprob?: NativeLogprob }[]
  end?: {
    reason: string
    stopString?: string
    stopToken?: number
    error?: string
    generated: number
    reasoning: number
    timing?: { queued: number; prefill: number; decode: number; preemptions: number }
  }
}

export interface NativeEvent {
  kind: 'progress' | 'loaded' | 'failed' | 'steps' | 'encoded' | 'compiled'
  phase?: string
  done?: number
  error?: string
  steps?: NativeStep[]
  ticket?: number
  tokens?: Uint32Array
  /** The kind of refusal `error` is. */
  refusal?: string
  constraint?: object
  bytes?: number
}

/** A compiled grammar as the addon hands it out. */
interface NativeConstraint extends Constraint {
  readonly handle: object
}

interface NativePiece {
  text: string
  kind: 'text' | 'control' | 'prompt'
}

interface NativeFacts extends Omit<ModelInfo, 'eosTokenIds'> {
  eos: number[]
}

export interface NativeEngine {
  facts(): NativeFacts
  stats(): Omit<EngineStats, 'dead'> & { dead?: string }
  submit(request: unknown): void
  cancel(id: number): void
  encodeNow(pieces: NativePiece[]): Uint32Array
  encodeLater(ticket: number, pieces: NativePiece[]): void
  compileConstraint(ticket: number, lark: string): void
  tokenBytes(): Uint8Array
  tokenOffsets(): Uint32Array
  controlIds(): Uint32Array
  tokenId(text: string): number | undefined | null
  close(): void
}

/** Texts up to this many characters are encoded on the event loop; it takes well under a millisecond. */
const SHORT_TEXT = 4096

/** The refusal that the addon names, if it is one. */
const refusal = (kind: string | undefined, message = ''): EngineRefusal | undefined => {
  if (kind === 'invalid') return new EngineRefusal(400, 'invalid_request_error', message)
  if (kind === 'too_long') return new EngineRefusal(400, 'context_length_exceeded', message)
  if (kind === 'busy') return new EngineRefusal(429, 'rate_limit_exceeded', message)
  if (kind === 'unavailable') return new EngineRefusal(503, 'engine_unavailable', message)
  return undefined
}

/** Outputs of one sequence on their way from the engine to its reader. */
class Outbox {
  private outputs: StepOutput[] = []
  private failure: Error | undefined
  private wake: (() => void) | undefined
  ended = false

  push(output: StepOutput): void {
    this.outputs.push(output)
    if (output.finish) this.ended = true
    this.wake?.()
  }

  fail(error: Error): void {
    this.failure = error
    this.ended = true
    this.wake?.()
  }

  /** All outputs that are there, waiting for the first; undefined after the last. */
  async take(): Promise<StepOutput[] | undefined> {
    while (this.outputs.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    if (this.outputs.length > 0) return this.outputs.splice(0)
    if (this.failure) throw this.failure
    return undefined
  }
}

class AddonEngine implements Engine {
  info!: ModelInfo
  private native!: NativeEngine
  private bytes!: Uint8Array
  private offsets!: Uint32Array
  private outboxes = new Map<number, Outbox>()
  /** Who waits for an answer that comes under a ticket. */
  private tickets = new Map<
    number,
    { resolve: (event: NativeEvent) => void; reject: (error: Error) => void }
  >()
  private lastId = 0
  private alive: NodeJS.Timeout | undefined
  private closed = false

  open(options: EngineOptions, onProgress: (progress: LoadProgress) => void): Promise<Engine> {
    const { NativeEngine } = loadAddon()
    return new Promise((resolve, reject) => {
      const receive = (event: NativeEvent): void => {
        if (event.kind === 'progress')
          onProgress({ phase: event.phase ?? '', done: event.done ?? 0 })
        else if (event.kind === 'steps') this.deliver(event.steps ?? [])
        else if (event.kind === 'encoded' || event.kind === 'compiled') this.answered(event)
        else {
          this.keepAlive(-1)
          if (event.kind === 'failed') return reject(new Error(event.error))
          this.ready()
          resolve(this)
        }
      }
      this.keepAlive(1)
      this.native = new NativeEngine(withSeed(options), (event) => {
        try {
          receive(event)
        } catch (error) {
          // A throw here would end the process; nothing above can be told, so it is said aloud.
          process.emitWarning(error as Error)
        }
      })
    })
  }

  private ready(): void {
    const { eos, ...facts } = this.native.facts()
    this.info = { ...facts, eosTokenIds: eos }
    this.bytes = this.native.tokenBytes()
    this.offsets = this.native.tokenOffsets()
  }

  private pending = 0

  /** The addon's callback does not hold the event loop; a timer does while somebody waits for it. */
  private keepAlive(change: number): void {
    this.pending += change
    if (this.pending > 0) this.alive ??= setInterval(() => {}, 2 ** 30)
    else {
      clearInterval(this.alive)
      this.alive = undefined
    }
  }

  private deliver(steps: NativeStep[]): void {
    for (const step of steps) {
      const outbox = this.outboxes.get(step.id)
      if (!outbox) continue
      const refused = refusal(step.end?.reason, step.end?.error)
      if (refused) outbox.fail(refused)
      else outbox.push(this.output(step))
      if (step.end) this.forget(step.id)
    }
  }

  private forget(id: number): void {
    if (this.outboxes.delete(id)) this.keepAlive(-1)
  }

  private output(step: NativeStep): StepOutput {
    const tokens = step.tokens.map((id, n): Token => {
      const token: Token = { id, bytes: this.tokenBytes(id), visible: step.visible[n] ?? 0 }
      const logprob = step.logprobs?.[n]
      if (logprob) {
        token.logprob = logprob.chosen
        token.rank = logprob.rank
        token.top = logprob.top.map((t) => ({ ...t, bytes: this.tokenBytes(t.id) }))
      }
      return token
    })
    const output: StepOutput = { tokens }
    if (typeof step.cachedTokens === 'number') output.cachedTokens = step.cachedTokens
    if (step.promptLogprobs)
      output.promptLogprobs = step.promptLogprobs.map(({ id, logprob }): PromptToken => ({
        id,
        logprob: logprob?.chosen ?? null,
        rank: logprob?.rank ?? null,
        top: logprob?.top ?? [],
      }))
    const end = step.end
    if (end)
      output.finish = {
        reason: end.reason as 'stop' | 'length' | 'abort' | 'error',
        stop: end.stopString ?? end.stopToken ?? null,
        reasoningTokens: end.reasoning,
        completionTokens: end.generated,
        ...(end.error ? { error: end.error } : {}),
        ...(end.timing ? { timing: end.timing } : {}),
      }
    return output
  }

  private answered(event: NativeEvent): void {
    const waiting = this.tickets.get(event.ticket ?? -1)
    if (!waiting) return
    this.tickets.delete(event.ticket ?? -1)
    this.keepAlive(-1)
    if (event.error === undefined) waiting.resolve(event)
    else waiting.reject(refusal(event.refusal, event.error) ?? new Error(event.error))
  }

  /** Starts work that the addon does on a thread of its own. */
  private later(start: (ticket: number) => void): Promise<NativeEvent> {
    const ticket = ++this.lastId
    return new Promise((resolve, reject) => {
      start(ticket)
      this.tickets.set(ticket, { resolve, reject })
      this.keepAlive(1)
    })
  }

  private async encode(pieces: NativePiece[]): Promise<Uint32Array> {
    let length = 0
    for (const piece of pieces) length += piece.text.length
    if (length <= SHORT_TEXT) return this.native.encodeNow(pieces)
    const { tokens } = await this.later((ticket) => this.native.encodeLater(ticket, pieces))
    return tokens ?? new Uint32Array()
  }

  async compileConstraint(lark: string): Promise<NativeConstraint> {
    if (this.closed) throw new EngineRefusal(503, 'engine_unavailable', 'the engine is closed')
    const event = await this.later((ticket) => this.native.compileConstraint(ticket, lark))
    return { handle: event.constraint ?? {}, bytes: event.bytes ?? 0 }
  }

  encodePrompt(text: string): Promise<Uint32Array> {
    return this.encode([{ text, kind: 'prompt' }])
  }

  encodeText(text: string): Promise<Uint32Array> {
    return this.encode([{ text, kind: 'text' }])
  }

  encodePieces(pieces: PromptPiece[]): Promise<Uint32Array> {
    return this.encode(
      pieces.map(({ text, control }) => ({ text, kind: control ? 'control' : 'text' }))
    )
  }

  tokenBytes(id: number): Uint8Array {
    return this.bytes.subarray(this.offsets[id] ?? 0, this.offsets[id + 1] ?? 0)
  }

  decode(ids: ArrayLike<number>): string {
    const parts = Array.from(ids, (id) => this.tokenBytes(id))
    return new TextDecoder().decode(Buffer.concat(parts))
  }

  tokenId(text: string): number | undefined {
    return this.native.tokenId(text) ?? undefined
  }

  async *generate(request: EngineRequest, signal?: AbortSignal): AsyncIterable<StepOutput> {
    if (this.closed) throw new EngineRefusal(503, 'engine_unavailable', 'the engine is closed')
    const { sampling } = request
    const id = ++this.lastId
    const outbox = new Outbox()
    const abort = (): void => this.native.cancel(id)
    this.outboxes.set(id, outbox)
    this.keepAlive(1)
    try {
      this.native.submit({
        ...request,
        id,
        constraint: (request.constraint as NativeConstraint | undefined)?.handle,
        sampling: {
          ...sampling,
          logitBias: sampling.logitBias.map(([token, bias]) => ({ id: token, bias })),
          seed: sampling.seed === undefined ? undefined : BigInt(sampling.seed),
        },
      })
    } catch (error) {
      this.forget(id)
      const dead = this.stats().dead !== null
      throw dead
        ? new EngineRefusal(503, 'engine_unavailable', (error as Error).message)
        : new EngineRefusal(400, 'invalid_request_error', (error as Error).message)
    }
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort)
    try {
      for (;;) {
        const outputs = await outbox.take()
        if (!outputs) return
        yield* outputs
      }
    } finally {
      signal?.removeEventListener('abort', abort)
      // A reader that stops early leaves nobody to wait: the rest of the sequence is dropped.
      if (!outbox.ended) {
        this.forget(id)
        abort()
      }
    }
  }

  stats(): EngineStats {
    const { dead, ...stats } = this.native.stats()
    return { ...stats, dead: dead ?? null }
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    this.native.close()
  }
}

/** With the root of the prefix cache's hashes, new each time. */
export const withSeed = (options: EngineOptions) => ({ ...options, seed: [...randomBytes(32)] })

/** Parts the free memory for models to be loaded one after another, bytes for each; throws one sentence. */
export const shareMemory = (models: EngineOptions[]): number[] =>
  loadAddon().shareMemory(models.map(withSeed))

/** Loads a model; rejects with one sentence where it cannot be served. */
export const openEngine = (
  options: EngineOptions,
  onProgress: (progress: LoadProgress) => void = () => {}
): Promise<Engine> => new AddonEngine().open(options, onProgress)
