// POST /v1/completions: raw prompts of text or token ids, echoed and scored where asked; logits are checked through it.
import type { OutputParser, Token } from '../events.ts'
import {
  checkCompletion,
  type CompletionRequest,
  type Prompt,
  promptsOf,
} from '../protocol/completions.ts'
import {
  beamsOf,
  type Delivery,
  deliveryOf,
  promptLogprobsOf,
  samplingOf,
  shownLogprobs,
} from '../protocol/sampling.ts'
import { askedOf } from '../protocol/shape.ts'
import { invalid } from '../errors.ts'
import {
  choicesOf,
  plainParser,
  primed,
  type Run,
  run,
  type RunEvent,
  type Sequence,
} from '../run.ts'
import type { ServedModel } from '../served.ts'
import { randomId } from '../stream/chat.ts'
import {
  CompletionChoice,
  type CompletionPart,
  type CompletionPrompt,
  type CompletionShape,
} from '../stream/completions.ts'
import { UsageTally } from '../stream/logprobs.ts'
import { readBody } from './body.ts'
import { abandoned, leavingOf, streamed } from './chat.ts'
import { shapeConstraint } from './constraint.ts'
import { brokenEnd, chunkFrames } from './frames.ts'
import {
  allowance,
  type Ask,
  badWordsOf,
  cacheSaltOf,
  encodeWritten,
  fingerprint,
  headerPatience,
  type House,
  modelAsked,
  now,
  truncated,
} from './request.ts'

const DEFAULT_MAX_TOKENS = 16
const MAX_SEQUENCES = 2048

interface Plan {
  run: Run
  /** Choices shown of each prompt, and how many are generated to choose them from. */
  n: number
  perPrompt: number
  prompts: CompletionPrompt[]
  shape: CompletionShape
  delivery: Delivery
  head: { object: 'text_completion'; created: number; model: string; system_fingerprint: string }
  id: string
}

/** The ids of a prompt, checked against the vocabulary, and its text where it will be shown. */
const encode = async (
  { engine }: ServedModel,
  prompt: Prompt,
  param: string,
  echo: boolean
): Promise<CompletionPrompt> => {
  if (typeof prompt === 'string')
    return { text: prompt, ids: await encodeWritten(engine, prompt, param) }
  const { vocabulary } = engine.info
  const unknown = prompt.find((id) => id >= vocabulary)
  if (unknown !== undefined)
    throw invalid(
      param,
      `'${param}' holds token ${unknown}, outside the vocabulary of ${vocabulary}`
    )
  return { ids: Uint32Array.from(prompt), text: echo ? engine.decode(prompt) : '' }
}

/** Control tokens are no text unless the caller wants to see them. */
const hiddenIn = (model: ServedModel, request: CompletionRequest): Run['isHidden'] => {
  if (request.skip_special_tokens === false) return undefined
  const { engine, family } = model
  const names = [...family.controlTokens, ...family.stopTokens]
  const ids = new Set(names.map((name) => engine.tokenId(name)))
  return (id) => ids.has(id)
}

const plan = async (house: House, ask: Ask, request: CompletionRequest): Promise<Plan> => {
  const { settings } = house
  const model = modelAsked(house, ask, request.model)
  const { engine } = model
  const { info } = engine
  const delivery = deliveryOf(request, settings)
  const cut = typeof request.truncate_prompt_tokens === 'number'
  const written = promptsOf(request, cut ? Infinity : info.maxModelLen)
  const n = request.n ?? 1
  const beams = beamsOf(request, info, request.best_of ?? n)
  // A search knows the best of all that it follows.
  const perPrompt = beams ? n : (request.best_of ?? n)
  if (written.length * perPrompt > MAX_SEQUENCES)
    throw invalid('prompt', `The prompts times 'n' make more than ${MAX_SEQUENCES} completions`)
  const echo = request.echo ?? false
  const asked = askedOf(request, '')
  if (beams && (asked || request.max_tokens === 0))
    throw invalid(
      'use_beam_search',
      `'use_beam_search' needs tokens to generate, which no shape holds`
    )
  const logprobs = request.logprobs ?? undefined
  const shown = shownLogprobs(request, logprobs)
  const maxTokens = request.max_tokens ?? DEFAULT_MAX_TOKENS
  const scored = promptLogprobsOf(request)
  const promptLogprobs = scored ?? (echo ? logprobs : undefined)
  // The best are told by their log-probabilities, whether or not these are shown.
  const scoring = perPrompt > n ? (logprobs ?? 0) : logprobs
  const badWords = await badWordsOf(engine, request.bad_words)
  const prompts: CompletionPrompt[] = []
  const sequences: Sequence[] = []
  for (const [index, prompt] of written.entries()) {
    const param = written.length === 1 ? 'prompt' : `prompt[${index}]`
    const whole = await encode(model, prompt, param, echo)
    const ids = truncated(whole.ids, info, request, Math.max(maxTokens, Math.min(maxTokens, 1)))
    const encoded = ids === whole.ids ? whole : { ids, text: echo ? engine.decode(ids) : '' }
    const sampling = samplingOf(request, model.defaults, info, {
      maxTokens: allowance(encoded.ids, info, maxTokens, param, Math.min(maxTokens, 1)),
      badWords,
      ...(scoring === undefined ? {} : { logprobs: scoring }),
    })
    prompts.push(encoded)
    sequences.push(...choicesOf(encoded.ids, sampling, perPrompt))
  }
  const cacheSalt = cacheSaltOf(ask, settings, request.cache_salt)
  const isHidden = hiddenIn(model, request)
  return {
    n,
    perPrompt,
    prompts,
    delivery,
    id: randomId('cmpl-', 24),
    run: {
      engine,
      sequences,
      parser: (): OutputParser => plainParser(),
      priority: request.priority ?? 0,
      tenant: ask.get('tenant'),
      ...(cacheSalt === undefined ? {} : { cacheSalt }),
      ...(isHidden ? { isHidden } : {}),
      ...(beams ? { beams } : {}),
      ...(asked ? { constraint: await shapeConstraint(engine, asked.shape, asked.param) } : {}),
      ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
    },
    shape: {
      echo,
      promptLogprobs: scored !== undefined,
      tokensAsIds: delivery.tokensAsIds,
      tokenIds: delivery.tokenIds,
      bytesOf: (id) => engine.tokenBytes(id),
      ...(shown === undefined ? {} : { logprobs: shown }),
    },
    head: {
      object: 'text_completion',
      created: now(),
      model: request.model || (model.names[0] ?? ''),
      system_fingerprint: fingerprint(settings, model),
    },
  }
}

/** A request for nothing but its own prompt needs no engine. */
async function* echoed(sequences: Sequence[]): AsyncGenerator<RunEvent[], undefined> {
  yield sequences.map(({ prompt }, index) => ({
    index,
    event: {
      type: 'finish',
      reason: 'length',
      stop: null,
      usage: {
        promptTokens: prompt.length,
        cachedTokens: 0,
        completionTokens: 0,
        reasoningTokens: 0,
      },
    },
  }))
  return undefined
}

const start = (
  { run: request }: Plan,
  signal: AbortSignal
): AsyncGenerator<RunEvent[], undefined> => {
  const generates = request.sequences.some(({ sampling }) => sampling.maxTokens > 0)
  if (!generates && request.promptLogprobs === undefined) return echoed(request.sequences)
  return run(request, signal)
}

const choicesFor = ({ run: { sequences }, prompts, perPrompt, shape }: Plan): CompletionChoice[] =>
  sequences.map(({ prompt }, index) => {
    const source = prompts[Math.floor(index / perPrompt)] ?? { ids: prompt, text: '' }
    return new CompletionChoice(shape, source)
  })

const tallyOf = ({ prompts, perPrompt }: Plan): UsageTally =>
  new UsageTally(
    prompts.reduce((sum, { ids }) => sum + ids.length, 0),
    perPrompt
  )

/** Mean log-probability of a choice's tokens, as they come. */
class Likelihood {
  private sum = 0
  private count = 0

  add(tokens: Token[] = []): void {
    for (const { logprob = 0 } of tokens) this.sum += logprob
    this.count += tokens.length
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count
  }
}

/** Which choices are shown: of each prompt the `n` likeliest, equals in their order. */
const shownOf = ({ n, perPrompt, prompts }: Plan, likelihoods: Likelihood[]): number[] => {
  const mean = (index: number): number => likelihoods[index]?.mean ?? 0
  return prompts.flatMap((_, prompt) => {
    const all = Array.from({ length: perPrompt }, (__, i) => prompt * perPrompt + i)
    return perPrompt > n ? all.toSorted((a, b) => mean(b) - mean(a)).slice(0, n) : all
  })
}

const chunks = (
  planned: Plan,
  events: AsyncIterable<RunEvent[]>
): AsyncGenerator<string, undefined> => {
  const { id, head, delivery } = planned
  const choices = choicesFor(planned)
  const begun = new Set<number>()
  return chunkFrames(events, {
    prefix: JSON.stringify({ id, ...head }).slice(0, -1),
    usage: delivery.usage,
    tally: tallyOf(planned),
    render({ index, event, promptLogprobs }) {
      const choice = choices[index]
      return (choice?.push(event, promptLogprobs) ?? []).map((part) => {
        const first = !begun.has(index)
        begun.add(index)
        return `"choices":[${choice?.json(index, part, first)}]`
      })
    },
  })
}

const whole = async (planned: Plan, events: AsyncIterable<RunEvent[]>): Promise<object> => {
  const choices = choicesFor(planned)
  const parts: CompletionPart[][] = choices.map(() => [])
  const likelihoods = choices.map(() => new Likelihood())
  const tally = tallyOf(planned)
  for await (const batch of events) {
    for (const { index, event, promptLogprobs } of batch) {
      const broken = brokenEnd(event)
      if (broken) throw broken
      likelihoods[index]?.add(event.tokens)
      parts[index]?.push(...(choices[index]?.push(event, promptLogprobs) ?? []))
      if (event.type === 'finish') tally.finished(index, event.usage, 0)
    }
  }
  return {
    id: planned.id,
    ...planned.head,
    choices: shownOf(planned, likelihoods).map((from, index) =>
      choices[from]?.whole(index, parts[from] ?? [])
    ),
    usage: tally.wire,
  }
}

export const completions = async (house: House, ask: Ask): Promise<Response> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const planned = await plan(house, ask, checkCompletion(body.value))
  const leaving = leavingOf(ask)
  const events = start(planned, leaving.signal)
  if (planned.delivery.stream) {
    const begun = await primed(events, headerPatience(house.settings))
    return streamed(house, ask, chunks(planned, begun), leaving)
  }
  const answer = await whole(planned, events)
  return leaving.signal.aborted ? abandoned() : ask.json(answer)
}
