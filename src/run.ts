// Runs the sequences of one request on the engine and merges what they say into one stream of events; routes start it.
import type {
  Beams,
  Constraint,
  Engine,
  PromptToken,
  Sampling,
  StepOutput,
  Thought,
} from './engine.ts'
import { searching } from './run/beams.ts'
import { meterOf } from './run/meter.ts'
import { type Prefill, prefillsOf } from './run/prefill.ts'
import type { GenerationEvent, OutputParser, ParsedEvent, Token, Usage } from './events.ts'

/** One choice to come. */
export interface Sequence {
  prompt: Uint32Array
  sampling: Sampling
}

export interface Run {
  engine: Engine
  /** Their order is the index their events carry. */
  sequences: Sequence[]
  parser: () => OutputParser
  thought?: Thought
  /** What every choice must follow. */
  constraint?: Constraint
  cacheSalt?: string
  priority: number
  tenant: number
  promptLogprobs?: number
  /** Its choices are the best that a beam search finds, best first. */
  beams?: Beams
  /** End a choice when its first call is complete. */
  oneCall?: boolean
  /** Tokens that are dropped from the text, such as control tokens where plain text is wanted. */
  isHidden?: (id: number) => boolean
  /** Names of the control tokens that the parser hears of by themselves, if it listens. */
  controlName?: (id: number) => string | undefined
}

export interface RunEvent {
  index: number
  event: GenerationEvent
  /** On the first event of a choice, where asked for. */
  promptLogprobs?: PromptToken[]
}

/** Output that is nothing but text. */
export const plainParser = (): OutputParser => ({
  push: (text) => (text === '' ? [] : [{ type: 'text', text }]),
  finish: () => [],
})

/** `n` sequences of one prompt; each has a seed of its own, the same ones each time. */
export const choicesOf = (prompt: Uint32Array, sampling: Sampling, n: number): Sequence[] =>
  Array.from({ length: n }, (_, i) => {
    const { seed } = sampling
    if (seed === undefined) return { prompt, sampling }
    return {
      prompt,
      sampling: { ...sampling, seed: i === 0 ? seed : BigInt.asIntN(64, BigInt(seed) + BigInt(i)) },
    }
  })

/** Turns one sequence's steps into events; knows its text so far only as far as it is undecided. */
class Choice {
  private decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  private parser: OutputParser
  private job: Run
  /** Tokens whose text has not come out yet. */
  private riding: Token[] = []
  private cachedTokens = 0
  private promptTokens: number
  /** Tokens of the thought, where the parser is the one to tell. */
  private thoughtTokens = 0
  private seen = 0
  /** Set once the first call is complete and no other is wanted. */
  done = false

  constructor(job: Run, promptTokens: number) {
    this.job = job
    this.promptTokens = promptTokens
    this.parser = job.parser()
  }

  /** Text goes to the parser as long as it is, control tokens by name where the parser knows them so. */
  private feed(tokens: Token[]): ParsedEvent[] {
    const { parser, job } = this
    const events: ParsedEvent[] = []
    let text = ''
    for (const { id, bytes, visible } of tokens) {
      if (visible === 0 || job.isHidden?.(id)) continue
      const control = parser.pushControl ? job.controlName?.(id) : undefined
      if (control === undefined) {
        if (parser.thinking) this.thoughtTokens += 1
        text += this.decoder.decode(bytes.subarray(0, visible), { stream: true })
        continue
      }
      // Half a character before it never becomes whole.
      text += this.decoder.decode()
      if (text !== '') events.push(...parser.push(text))
      if (parser.pushControl) events.push(...parser.pushControl(control))
      text = ''
    }
    if (text !== '') events.push(...parser.push(text))
    return events
  }

  private ride<Event extends GenerationEvent>(events: Event[]): Event[] {
    const [first] = events
    if (first && this.riding.length > 0) {
      first.tokens = this.riding
      this.riding = []
    }
    return events
  }

  /** Cuts what follows the first complete call where only one is wanted. */
  private bounded(events: ParsedEvent[]): ParsedEvent[] {
    const end = this.job.oneCall ? events.findIndex((event) => event.type === 'tool-end') : -1
    if (end < 0) return events
    this.done = true
    return events.slice(0, end + 1)
  }

  step(output: StepOutput): GenerationEvent[] {
    this.cachedTokens = output.cachedTokens ?? this.cachedTokens
    const events: GenerationEvent[] = []
    // What the engine makes before it hears of the cut is nobody's; a cut falls between two tokens, not two steps.
    const portions = this.job.oneCall ? output.tokens.map((token) => [token]) : [output.tokens]
    for (const tokens of portions) {
      if (this.done) break
      this.seen += tokens.length
      this.riding.push(...tokens)
      events.push(...this.ride(this.bounded(this.feed(tokens))))
    }
    return events
  }

  private usage(finish: NonNullable<StepOutput['finish']>): Usage {
    const completionTokens = this.done ? this.seen : finish.completionTokens
    const { promptTokens, cachedTokens, parser } = this
    const reasoningTokens =
      parser.thinking === undefined ? finish.reasoningTokens : this.thoughtTokens
    return { promptTokens, cachedTokens, completionTokens, reasoningTokens }
  }

  finish(finish: NonNullable<StepOutput['finish']>): GenerationEvent[] {
    const events: GenerationEvent[] = []
    const cut = this.done && (finish.reason === 'abort' || finish.completionTokens > this.seen)
    const reason = cut ? 'stop' : finish.reason
    if (!this.done) {
      const how = reason === 'stop' ? 'stop' : 'length'
      // A character that never became whole shows as U+FFFD, once, in stream and plain alike.
      const tail = this.decoder.decode()
      if (tail !== '') events.push(...this.bounded(this.parser.push(tail)))
      if (!this.done) events.push(...this.bounded(this.parser.finish(how)))
    }
    events.push({
      type: 'finish',
      reason,
      stop: this.done ? null : finish.stop,
      usage: this.usage(finish),
      ...(finish.error === undefined ? {} : { error: finish.error }),
    })
    return this.ride(events)
  }
}

/** Events and tokens that may wait for a reader; the engine does not wait for one, so who falls behind is given up. */
const MAX_BEHIND = 1 << 17

/** Events on their way from many choices to one reader. */
class Confluence {
  private events: RunEvent[] = []
  private weight = 0
  private failure: { error: unknown } | undefined
  private open: number
  private wake: (() => void) | undefined
  /** Stops the choices when one failed. */
  private stop: () => void

  constructor(open: number, stop: () => void) {
    this.open = open
    this.stop = stop
  }

  push(events: RunEvent[]): void {
    if (events.length === 0 || this.failure) return
    this.events.push(...events)
    for (const { event } of events) this.weight += 1 + (event.tokens?.length ?? 0)
    if (this.weight > MAX_BEHIND) this.fail(new Error('the client reads too slowly'))
    this.wake?.()
  }

  close(): void {
    this.open -= 1
    this.wake?.()
  }

  fail(error: unknown): void {
    if (this.failure) return
    this.failure = { error }
    this.events = []
    this.stop()
    this.wake?.()
  }

  /** All that is there, waiting for something to be; undefined after the last choice's end. */
  async take(): Promise<RunEvent[] | undefined> {
    while (this.events.length === 0 && this.open > 0 && !this.failure) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    if (this.failure) throw this.failure.error
    this.weight = 0
    return this.events.length > 0 ? this.events.splice(0) : undefined
  }
}

const endless = (): StepOutput['finish'] => ({
  reason: 'error',
  stop: null,
  reasoningTokens: 0,
  completionTokens: 0,
  error: 'the engine stopped without an end',
})

const scoresEvent = (index: number, promptLogprobs: PromptToken[]): RunEvent => ({
  index,
  event: { type: 'text', text: '' },
  promptLogprobs,
})

/** Feeds one sequence's events into the confluence until its end. */
const drive = async (
  job: Run,
  source: Pick<Engine, 'generate'>,
  index: number,
  into: Confluence,
  leaving: AbortController,
  prefill: Prefill
): Promise<void> => {
  const sequence = job.sequences[index]
  if (!sequence) return
  const leads = prefill.leader === index
  if (!leads) await prefill.done
  if (!leads && leaving.signal.aborted) return
  if (!leads && prefill.scores) into.push([scoresEvent(index, prefill.scores)])
  const choice = new Choice(job, sequence.prompt.length)
  const request = {
    ...sequence,
    priority: job.priority,
    tenant: job.tenant,
    ...(job.thought ? { thought: job.thought } : {}),
    ...(job.constraint ? { constraint: job.constraint } : {}),
    ...(job.cacheSalt === undefined ? {} : { cacheSalt: job.cacheSalt }),
    ...(leads && job.promptLogprobs !== undefined ? { promptLogprobs: job.promptLogprobs } : {}),
  }
  let finish: StepOutput['finish']
  const journey = meterOf(job.engine).begin(request, prefill)
  for await (const output of source.generate(request, leaving.signal)) {
    const events: RunEvent[] = choice.step(output).map((event) => ({ index, event }))
    journey.step(output, choice.done)
    if (output.promptLogprobs) {
      prefill.scores = output.promptLogprobs
      events.unshift(scoresEvent(index, output.promptLogprobs))
    }
    into.push(events)
    if (output.tokens.length > 0 || output.finish) prefill.finish()
    if (choice.done) leaving.abort()
    finish = output.finish
    if (finish) break
  }
  finish ??= endless()
  if (finish) into.push(choice.finish(finish).map((event) => ({ index, event })))
}

/**
 * Starts all sequences and yields their events as they come, each ended by its `finish`. Throws EngineRefusal
 * if one is refused. Leaving early, or the signal, cancels what still runs; after the signal it just ends.
 */
export async function* run(
  request: Run,
  signal: AbortSignal
): AsyncGenerator<RunEvent[], undefined> {
  if (signal.aborted) return undefined
  // One for each choice: a listener each on a signal they share would look like a leak to Node.
  const leavings = request.sequences.map(() => new AbortController())
  const prefills = prefillsOf(request.sequences)
  const stop = (): void => {
    for (const leaving of leavings) leaving.abort()
    for (const prefill of prefills) prefill.finish()
  }
  const confluence = new Confluence(leavings.length, stop)
  const leave = (): void => confluence.fail(signal.reason)
  signal.addEventListener('abort', leave)
  const source = request.beams ? searching(request.engine, request.beams) : request.engine
  for (const [index, leaving] of leavings.entries()) {
    drive(request, source, index, confluence, leaving, prefills[index]!).then(
      () => confluence.close(),
      (error: unknown) => {
        confluence.fail(error)
        meterOf(request.engine).refused(error)
      }
    )
  }
  try {
    for (;;) {
      const events = await confluence.take()
      if (!events) return undefined
      yield events
    }
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  } finally {
    signal.removeEventListener('abort', leave)
    stop()
  }
}

/**
 * Waits until the first events are there, at most so long: what is refused by then is thrown and can still become
 * a status. Gives back the same events.
 */
export const primed = async <T>(
  events: AsyncGenerator<T, undefined>,
  milliseconds: number
): Promise<AsyncGenerator<T, undefined>> => {
  const first = events.next()
  let timer: NodeJS.Timeout | undefined
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  try {
    await Promise.race([first, enough])
  } finally {
    clearTimeout(timer)
  }
  first.catch(() => {})
  return rejoined(first, events)
}

async function* rejoined<T>(
  first: Promise<IteratorResult<T, undefined>>,
  rest: AsyncGenerator<T, undefined>
): AsyncGenerator<T, undefined> {
  try {
    const head = await first
    if (head.done) return undefined
    yield head.value
    yield* rest
  } finally {
    await rest.return(undefined)
  }
  return undefined
}
