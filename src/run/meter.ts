// What is measured of the sequences an engine runs, for /metrics: run.ts tells of each step, routes/metrics.ts reads.
import { type Engine, EngineRefusal, type EngineRequest, type StepOutput } from '../engine.ts'
import { Histogram } from '../metrics.ts'

// The buckets of vLLM 0.33 (v1/metrics/buckets.py), so that its dashboards draw ours.
const FIRST_TOKEN = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160, 640, 2560,
]
const BETWEEN_TOKENS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
]
const LATENCY = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
]
const CHOICES = [1, 2, 5, 10, 20]
const PREEMPTIONS = [0, 1, 2, 5, 10, 20, 50, 100]

/** 1, 2, 5, 10, … up to `most`. */
const upTo = (most: number): number[] => {
  const bounds: number[] = []
  for (let power = 1; power <= most; power *= 10)
    bounds.push(...[1, 2, 5].map((step) => step * power).filter((bound) => bound <= most))
  return bounds
}

type Finish = NonNullable<StepOutput['finish']>

/** Choices of one prompt, which count as one request where requests are counted. */
export interface Siblings {
  choices: number
  ended: number
  /** Tokens of the longest that has ended. */
  longest: number
}

/** Figures of one engine since it was loaded. */
export class Meter {
  readonly ends: { [reason in Finish['reason']]: number } = {
    stop: 0,
    length: 0,
    abort: 0,
    error: 0,
  }
  /** Refused for want of room, by code. */
  readonly rejections = new Map<string, number>()
  /** Of prompts that were started, with what the cache knew of them. */
  promptTokens = 0
  cachedTokens = 0
  readonly firstToken = new Histogram(FIRST_TOKEN)
  readonly betweenTokens = new Histogram(BETWEEN_TOKENS)
  readonly perToken = new Histogram(BETWEEN_TOKENS)
  readonly latency = new Histogram(LATENCY)
  readonly queued = new Histogram(LATENCY)
  readonly prefill = new Histogram(LATENCY)
  readonly decode = new Histogram(LATENCY)
  readonly inference = new Histogram(LATENCY)
  readonly preemptions = new Histogram(PREEMPTIONS)
  readonly choices = new Histogram(CHOICES)
  readonly prompts: Histogram
  readonly generations: Histogram
  readonly longest: Histogram
  readonly asked: Histogram

  constructor(maxModelLen: number) {
    const tokens = upTo(maxModelLen)
    this.prompts = new Histogram(tokens)
    this.generations = new Histogram(tokens)
    this.longest = new Histogram(tokens)
    this.asked = new Histogram(tokens)
  }

  /** A sequence is about to be given to the engine. */
  begin(request: EngineRequest, siblings: Siblings): Journey {
    return new Journey(this, request, siblings)
  }

  /** A sequence broke off with this; counted where the engine had no room for it. */
  refused(error: unknown): void {
    if (!(error instanceof EngineRefusal) || error.status === 400) return
    this.rejections.set(error.code, (this.rejections.get(error.code) ?? 0) + 1)
  }
}

/** One sequence on its way through the engine. */
export class Journey {
  private readonly begun = performance.now()
  private last: number | undefined
  private meter: Meter
  private request: EngineRequest
  private siblings: Siblings

  constructor(meter: Meter, request: EngineRequest, siblings: Siblings) {
    this.meter = meter
    this.request = request
    this.siblings = siblings
  }

  /** The engine has said something; `cut` where we have ended it ourselves because it was complete. */
  step({ tokens, cachedTokens, finish }: StepOutput, cut: boolean): void {
    const { meter, last } = this
    const now = performance.now()
    if (cachedTokens !== undefined) {
      meter.promptTokens += this.request.prompt.length
      meter.cachedTokens += cachedTokens
    }
    if (tokens.length > 0) {
      if (last === undefined) meter.firstToken.observe((now - this.begun) / 1000)
      else meter.betweenTokens.observe((now - last) / 1000)
      this.last = now
    }
    if (finish) this.end(finish, now, cut)
  }

  private end({ completionTokens, timing, reason }: Finish, now: number, cut: boolean): void {
    const { meter, request, siblings } = this
    meter.ends[cut && reason === 'abort' ? 'stop' : reason] += 1
    meter.latency.observe((now - this.begun) / 1000)
    meter.prompts.observe(request.prompt.length)
    meter.generations.observe(completionTokens)
    meter.asked.observe(request.sampling.maxTokens)
    if (timing) {
      const { queued, prefill, decode, preemptions } = timing
      meter.queued.observe(queued)
      meter.prefill.observe(prefill)
      meter.decode.observe(decode)
      meter.inference.observe(prefill + decode)
      meter.preemptions.observe(preemptions)
      if (completionTokens > 1) meter.perToken.observe(decode / (completionTokens - 1))
    }
    siblings.ended += 1
    siblings.longest = Math.max(siblings.longest, completionTokens)
    if (siblings.ended < siblings.choices) return
    meter.choices.observe(siblings.choices)
    meter.longest.observe(siblings.longest)
  }
}

const meters = new WeakMap<Engine, Meter>()

/** The figures of an engine; counting begins with the first who asks. */
export const meterOf = (engine: Engine): Meter => {
  const known = meters.get(engine) ?? new Meter(engine.info.maxModelLen)
  meters.set(engine, known)
  return known
}
