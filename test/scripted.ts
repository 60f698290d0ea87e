// An engine that follows a script, for tests of everything above it: a byte-level toy tokenizer with control tokens.
import type { PromptPiece } from '../src/conversation.ts'
import type {
  Constraint,
  Engine,
  EngineRequest,
  EngineStats,
  ModelInfo,
  StepOutput,
} from '../src/engine.ts'
import { EngineRefusal } from '../src/engine.ts'
import type { Token } from '../src/events.ts'
import type { AppSettings, Lifecycle, Log, ModelSettings, ServedModel } from '../src/served.ts'
import { toyFamily } from './toy.ts'

const encoder = new TextEncoder()

export type StepScript =
  /** One step: text as bytes, one token each; or token ids. */
  | string
  | number[]
  | { wait: number }
  | { refuse: EngineRefusal }
  | { fail: string }
  | { end: 'stop' | 'length' | 'abort'; stop?: string | number }

export interface Script {
  steps: StepScript[]
  cachedTokens?: number
  reasoningTokens?: number
}

export interface Recorded {
  request: EngineRequest
  cancelled: boolean
  ended: boolean
  steps: number
}

/** What a scripted engine compiles a grammar to: the text, for tests to look at. It does not constrain anything. */
export interface ScriptedConstraint extends Constraint {
  readonly lark: string
}

const CONTROL_FROM = 256

/** A tokenizer of bytes: id = byte, and control tokens from 256 on. */
export class ScriptedEngine implements Engine {
  readonly info: ModelInfo
  readonly requests: Recorded[] = []
  /** Grammars compiled, in order. */
  readonly grammars: string[] = []
  /** Says why a grammar is refused; undefined takes it. */
  refuseGrammar: (lark: string) => string | undefined = () => undefined
  dead: string | null = null
  running = 0
  private control: string[]
  /** Chooses the script of a request, by its prompt's text and how many came before. */
  script: (prompt: string, nth: number) => Script

  constructor(script: ScriptedEngine['script'] | Script, maxModelLen = 4096) {
    this.script = typeof script === 'function' ? script : () => script
    this.control = [...new Set([...toyFamily.controlTokens, ...toyFamily.stopTokens])]
    const vocabulary = CONTROL_FROM + this.control.length
    this.info = {
      architecture: 'ScriptedForCausalLM',
      vocabulary,
      realVocabulary: vocabulary,
      maxModelLen,
      maxSequences: 16,
      eosTokenIds: [CONTROL_FROM + this.control.indexOf('<seed:eos>')],
      parameters: 0,
      weightBytes: 0,
      kvTokens: maxModelLen,
      pageSize: 16,
    }
  }

  private bytesOfText(text: string): number[] {
    return [...encoder.encode(text)]
  }

  async encodeText(text: string): Promise<Uint32Array> {
    return Uint32Array.from(this.bytesOfText(text))
  }

  async encodePrompt(text: string): Promise<Uint32Array> {
    const pattern = new RegExp(
      `(${this.control.map((name) => name.replace(/[|\\{}()[\]^$+*?.]/g, '\\$&')).join('|')})`
    )
    const ids = text
      .split(pattern)
      .flatMap((piece) =>
        this.control.includes(piece) ? [this.tokenId(piece) ?? 0] : this.bytesOfText(piece)
      )
    return Uint32Array.from(ids)
  }

  async encodePieces(pieces: PromptPiece[]): Promise<Uint32Array> {
    return Uint32Array.from(
      pieces.flatMap(({ text, control }) =>
        control ? [this.tokenId(text) ?? 0] : this.bytesOfText(text)
      )
    )
  }

  tokenBytes(id: number): Uint8Array {
    return id < CONTROL_FROM
      ? Uint8Array.of(id)
      : encoder.encode(this.control[id - CONTROL_FROM] ?? '')
  }

  tokenId(text: string): number | undefined {
    const at = this.control.indexOf(text)
    return at < 0 ? undefined : CONTROL_FROM + at
  }

  decode(ids: ArrayLike<number>): string {
    return new TextDecoder().decode(Buffer.concat(Array.from(ids, (id) => this.tokenBytes(id))))
  }

  /** A token with made-up but constant log-probabilities. */
  token(id: number, logprobs: number | undefined, visible?: number): Token {
    const bytes = this.tokenBytes(id)
    const token: Token = { id, bytes, visible: visible ?? bytes.length }
    if (logprobs === undefined) return token
    const top = Array.from({ length: logprobs }, (_, rank) => ({
      id: rank === 0 ? id : rank,
      bytes: this.tokenBytes(rank === 0 ? id : rank),
      logprob: -0.25 - rank,
    }))
    return { ...token, logprob: -0.25, rank: 1, top }
  }

  async compileConstraint(lark: string): Promise<ScriptedConstraint> {
    this.grammars.push(lark)
    const reason = this.refuseGrammar(lark)
    if (reason) throw new EngineRefusal(400, 'invalid_request_error', reason)
    return { lark, bytes: lark.length }
  }

  private async idsOf(step: string | number[]): Promise<number[]> {
    return typeof step === 'string' ? [...(await this.encodePrompt(step))] : step
  }

  async *generate(request: EngineRequest, signal?: AbortSignal): AsyncIterable<StepOutput> {
    const recorded: Recorded = { request, cancelled: false, ended: false, steps: 0 }
    const script = this.script(this.decode(request.prompt), this.requests.length)
    this.requests.push(recorded)
    this.running += 1
    signal?.addEventListener('abort', () => {
      recorded.cancelled = true
    })
    try {
      yield* this.play(request, script, recorded, signal)
    } finally {
      this.running -= 1
      if (!recorded.ended) recorded.cancelled = true
    }
  }

  private firstOutput({ prompt, promptLogprobs }: EngineRequest, script: Script): StepOutput {
    const output: StepOutput = { tokens: [], cachedTokens: script.cachedTokens ?? 0 }
    if (promptLogprobs !== undefined)
      output.promptLogprobs = Array.from(prompt, (id, n) => ({
        id,
        logprob: n === 0 ? null : -0.5 - n,
        rank: n === 0 ? null : 1,
        top: n === 0 || promptLogprobs === 0 ? [] : [{ id, logprob: -0.5 - n }],
      }))
    return output
  }

  private async *play(
    request: EngineRequest,
    script: Script,
    recorded: Recorded,
    signal?: AbortSignal
  ): AsyncIterable<StepOutput> {
    const { maxTokens, logprobs } = request.sampling
    let first: StepOutput | undefined = this.firstOutput(request, script)
    let count = 0
    const finish = (
      reason: 'stop' | 'length' | 'abort' | 'error',
      stop: string | number | null,
      error?: string
    ) => {
      recorded.ended = true
      const reasoningTokens = script.reasoningTokens ?? 0
      return {
        ...(first ?? { tokens: [] }),
        finish: {
          reason,
          stop,
          completionTokens: count,
          reasoningTokens,
          ...(error ? { error } : {}),
        },
      }
    }
    if (maxTokens === 0) return yield finish('length', null)
    for (const step of script.steps) {
      if (signal?.aborted) return yield finish('abort', null)
      if (typeof step === 'string' || Array.isArray(step)) {
        const ids = (await this.idsOf(step)).slice(0, maxTokens - count)
        count += ids.length
        recorded.steps += 1
        yield { ...first, tokens: ids.map((id) => this.token(id, logprobs)) }
        first = undefined
        if (count >= maxTokens) return yield finish('length', null)
      } else if ('wait' in step) await pause(step.wait, signal)
      else if ('refuse' in step) {
        recorded.ended = true
        throw step.refuse
      } else if ('fail' in step) return yield finish('error', null, step.fail)
      else return yield finish(step.end, step.stop ?? null)
    }
    if (signal?.aborted) return yield finish('abort', null)
    const [eos = 0] = this.info.eosTokenIds
    count += 1
    yield { ...first, tokens: [this.token(eos, logprobs, 0)] }
    first = undefined
    return yield finish('stop', null)
  }

  stats(): EngineStats {
    return {
      running: this.running,
      waiting: 0,
      waitingTokens: 0,
      pagesTotal: 1,
      pagesUsed: 0,
      pagesCached: 0,
      prefixQueries: 0,
      prefixHits: 0,
      preemptions: 0,
      promptTokens: 0,
      generatedTokens: 0,
      steps: 0,
      stepSizes: [0, 0],
      stepBounds: [1],
      stepRows: 0,
      guesses: 0,
      guessedTokens: 0,
      rightGuesses: [],
      beatAge: 0,
      dead: this.dead,
    }
  }

  async close(): Promise<void> {}
}

/** Sleeps, but not past the signal. */
export const pause = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

export const someSettings: AppSettings = {
  apiKeys: [],
  maxBody: 1 << 20,
  keepAliveSeconds: 15,
  returnTokensAsTokenIds: false,
  forceIncludeUsage: false,
  trustRequestChatTemplate: false,
  allowedOrigins: [],
  watchdog: 120,
  rootPath: '',
  version: '0.0.0-test',
}

export const modelSettings: ModelSettings = {
  reasoningParser: 'auto',
  toolCallParser: 'auto',
  harmonyGuard: true,
  defaultTemplateVariables: {},
}

export const served = (engine: Engine, names = ['seed/toy', 'toy']): ServedModel => ({
  names,
  created: 1_750_000_000,
  family: toyFamily,
  template: toyFamily.template(''),
  engine,
  defaults: {},
  settings: modelSettings,
})

export const ready = (engine: Engine, names?: string[]): Lifecycle => ({
  names: names ?? ['seed/toy', 'toy'],
  phase: 'ready',
  progress: 1,
  detail: '',
  model: served(engine, names),
})
