// Beam search: the likeliest continuations of a prompt by the sum of their log-probabilities, over the engine's own steps.
// Beams share the pages of what they have in common through the prefix cache. run.ts asks.
import type { Beams, Engine, EngineRequest, StepOutput } from '../engine.ts'
import type { Token, TokenAlternative } from '../events.ts'

interface Beam {
  tokens: Token[]
  /** Σ log p of its tokens. */
  sum: number
}

interface Ended extends Beam {
  finish: NonNullable<StepOutput['finish']>
  score: number
}

const tokenOf = (from: Token, { id, bytes, logprob }: TokenAlternative, rank: number): Token => ({
  id,
  bytes,
  visible: bytes.length,
  logprob,
  rank,
  top: from.top ?? [],
})

/** A step that failed ends the search as it would end a sequence. */
class Broken extends Error {
  readonly output: StepOutput

  constructor(output: StepOutput) {
    super(output.finish?.error)
    this.output = output
  }
}

/** The search for one prompt. */
class Search {
  private engine: Engine
  private request: EngineRequest
  private beams: Beams
  private signal: AbortSignal
  private live: Beam[] = [{ tokens: [], sum: 0 }]
  private ended: Ended[] = []
  private cachedTokens: number | undefined

  constructor(engine: Engine, request: EngineRequest, beams: Beams, signal: AbortSignal) {
    this.engine = engine
    this.request = request
    this.beams = beams
    this.signal = signal
  }

  private score(sum: number, length: number): number {
    return sum / Math.max(length, 1) ** this.beams.lengthPenalty
  }

  private end({ tokens, sum }: Beam, reason: 'stop' | 'length', stop: number | null): void {
    const said = reason === 'stop' ? tokens.length - 1 : tokens.length
    this.ended.push({
      tokens,
      sum,
      score: this.score(sum, said),
      finish: { reason, stop, reasoningTokens: 0, completionTokens: tokens.length },
    })
  }

  /** The token that follows a beam, with the likeliest beside it; undefined where the reader has left. */
  private async next({ tokens }: Beam): Promise<Token | undefined> {
    const { prompt, sampling } = this.request
    const whole = new Uint32Array(prompt.length + tokens.length)
    whole.set(prompt)
    for (const [n, { id }] of tokens.entries()) whole[prompt.length + n] = id
    const one = {
      ...sampling,
      temperature: 0,
      maxTokens: 1,
      minTokens: 0,
      logprobs: 2 * this.beams.width,
      ignoreEos: true,
      stopTokenIds: [],
    }
    let found: Token | undefined
    const request = { ...this.request, prompt: whole, sampling: one }
    for await (const output of this.engine.generate(request, this.signal)) {
      this.cachedTokens ??= output.cachedTokens
      found ??= output.tokens[0]
      if (output.finish?.reason === 'error') throw new Broken(output)
    }
    return found
  }

  /** Follows every beam by one token; false where the reader has left. */
  private async step(): Promise<boolean> {
    const followed = await Promise.all(this.live.map((beam) => this.next(beam)))
    const candidates: { beam: Beam; token: Token; sum: number }[] = []
    for (const [n, token] of followed.entries()) {
      const beam = this.live[n]
      if (!token || !beam) return false
      for (const [rank, top] of (token.top ?? []).entries())
        candidates.push({ beam, token: tokenOf(token, top, rank + 1), sum: beam.sum + top.logprob })
    }
    // Sorting is stable, so that equal sums keep the order of their beams and ids.
    candidates.sort((a, b) => b.sum - a.sum)
    this.live = []
    for (const { beam, token, sum } of candidates) {
      if (this.live.length === this.beams.width) break
      const isEnd = this.beams.ends.has(token.id)
      if (isEnd) token.visible = 0
      // Only what is kept gets its own copy of the way there.
      const next = { tokens: [...beam.tokens, token], sum }
      const named = this.request.sampling.stopTokenIds.includes(token.id)
      if (isEnd) this.end(next, 'stop', named ? token.id : null)
      else this.live.push(next)
    }
    return true
  }

  /** Whether no live beam can still reach the best that have ended: a sum only falls. */
  private isDecided(): boolean {
    const { width, lengthPenalty } = this.beams
    if (this.ended.length < width) return false
    const best = this.ended.map(({ score }) => score).toSorted((a, b) => b - a)
    const { maxTokens } = this.request.sampling
    return this.live.every(({ tokens, sum }) => {
      const length = lengthPenalty > 0 ? maxTokens : tokens.length
      return this.score(sum, length) <= best[width - 1]!
    })
  }

  async run(): Promise<Ended[]> {
    const { maxTokens } = this.request.sampling
    for (let made = 0; made < maxTokens; made += 1) {
      if (this.live.length === 0 || this.isDecided()) break
      // oxlint-disable-next-line no-await-in-loop
      if (!(await this.step())) return []
    }
    for (const beam of this.live)
      if (beam.tokens.length === maxTokens) this.end(beam, 'length', null)
    return this.ended.toSorted((a, b) => b.score - a.score)
  }

  get cached(): number {
    return this.cachedTokens ?? 0
  }
}

/** An engine that answers a prompt's requests with its best continuations, one after another; each comes as one step. */
export const searching = (engine: Engine, beams: Beams): Pick<Engine, 'generate'> => {
  const found = new Map<Uint32Array, { results: Promise<Ended[]>; taken: number; search: Search }>()
  return {
    async *generate(request, signal = new AbortController().signal) {
      let known = found.get(request.prompt)
      if (!known) {
        const search = new Search(engine, request, beams, signal)
        known = { results: search.run(), taken: 0, search }
        found.set(request.prompt, known)
      }
      const nth = known.taken
      known.taken += 1
      const results = await known.results.catch((error: unknown) => {
        if (error instanceof Broken) return error.output
        throw error
      })
      if (!Array.isArray(results)) return yield { ...results, tokens: [] }
      const best = results[nth]
      if (!best) return
      const { tokens, finish } = best
      const shown = request.sampling.logprobs ?? 0
      for (const token of tokens) token.top = token.top?.slice(0, shown) ?? []
      yield { tokens, cachedTokens: known.search.cached, finish }
    },
  }
}
