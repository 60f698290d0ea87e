// POST /v1/chat/completions and its dry run: checks, renders, generates, and answers whole or in chunks. The front door.
import type { Conversation, RenderedPrompt } from '../conversation.ts'
import type { OutputParser } from '../events.ts'
import { type ApiError, asApiError, envelope, internal, invalid } from '../errors.ts'
import {
  type ChatPrompt,
  type ChatRequest,
  checkChat,
  checkChatPrompt,
  conversationOf,
  echoedOf,
  logprobsOf,
  maxTokensOf,
} from '../protocol/chat.ts'
import {
  beamsOf,
  type Delivery,
  deliveryOf,
  promptLogprobsOf,
  type SamplingFields,
  samplingOf,
  shownLogprobs,
} from '../protocol/sampling.ts'
import { type Asked, askedOf } from '../protocol/shape.ts'
import { choicesOf, primed, type Run, run, type RunEvent } from '../run.ts'
import { thoughtOf } from '../run/thought.ts'
import type { ServedModel } from '../served.ts'
import { ChatAnswer, ChatChunks, type ChatShape, randomId } from '../stream/chat.ts'
import { type PromptScore, UsageTally, wirePromptLogprobs } from '../stream/logprobs.ts'
import { DONE, frame, SSE_HEADERS, sseBody } from '../stream/sse.ts'
import { readBody } from './body.ts'
import { constraintOf, goesOnOf } from './constraint.ts'
import { brokenEnd, chunkFrames } from './frames.ts'
import { parserOf } from './parsers.ts'
import {
  allowance,
  type Ask,
  badWordsOf,
  cacheSaltOf,
  encodeRendered,
  fingerprint,
  headerPatience,
  type House,
  marksOf,
  modelAsked,
  now,
  truncated,
} from './request.ts'

/** A conversation rendered and tokenised for one model. */
export interface Rendered {
  conversation: Conversation
  prompt: RenderedPrompt
  ids: Uint32Array
  /** The shape its answer is to have, and who says so. */
  asked?: Asked
}

/** Renders what a checked body says; `text` is the body as sent. */
export const render = async (
  house: House,
  model: ServedModel,
  request: ChatPrompt,
  text: string,
  asked: Asked | null = askedOf(request, text) ?? null
): Promise<Rendered> => {
  const { settings } = house
  const { engine, family } = model
  if (request.chat_template && !settings.trustRequestChatTemplate)
    throw invalid(
      'chat_template',
      `'chat_template' in a request is only taken by a server started with --trust-request-chat-template`
    )
  const conversation = conversationOf(request, text, model.settings, engine.info.maxModelLen, asked)
  const template = request.chat_template ? family.template(request.chat_template) : model.template
  const prompt = template.render(conversation)
  const ids = await encodeRendered(engine, prompt)
  return { conversation, prompt, ids, ...(asked ? { asked } : {}) }
}

/** The prompt within what its request lets it keep; the turn it ends in is what the answer is read by, so it stays. */
const kept = (
  rendered: Rendered,
  { engine }: ServedModel,
  request: ChatRequest,
  maxTokens: number | undefined
): Rendered => {
  if (typeof request.truncate_prompt_tokens === 'number' && request.truncation_side === 'right')
    throw invalid(
      'truncation_side',
      `'truncation_side' cannot be right in chat, where the prompt's end is the answer's beginning`
    )
  const ids = truncated(rendered.ids, engine.info, request, maxTokens ?? 1)
  if (ids === rendered.ids) return rendered
  return { ...rendered, ids, prompt: { ...rendered.prompt, text: engine.decode(ids) } }
}

interface Plan {
  run: Run
  shape: ChatShape
  delivery: Delivery
  rendered: Rendered
  /** What each object of the answer begins with. */
  head: { id: string; created: number; model: string; system_fingerprint: string }
}

/** How a rendered conversation is run: sampled as its request says, read by its family's parser. */
export const runOf = async (
  house: House,
  ask: Ask,
  model: ServedModel,
  rendered: Rendered,
  request: SamplingFields,
  bounds: {
    maxTokens: number | undefined
    logprobs: number | undefined
    promptLogprobs?: number | undefined
  }
): Promise<Run> => {
  const { settings } = house
  const { engine, family } = model
  const { conversation, prompt, ids } = rendered
  const { logprobs, promptLogprobs } = bounds
  const sampling = samplingOf(request, model.defaults, engine.info, {
    maxTokens: allowance(ids, engine.info, bounds.maxTokens, 'messages'),
    badWords: await badWordsOf(engine, request.bad_words),
    ...(logprobs === undefined ? {} : { logprobs }),
  })
  const cacheSalt = cacheSaltOf(ask, settings, request.cache_salt)
  const beams = beamsOf(request, engine.info, request.n ?? 1)
  const goesOn = beams ? undefined : goesOnOf(model, conversation)
  if (goesOn) sampling.goesOn = goesOn
  const constraint = await constraintOf(model, rendered, sampling, !beams)
  if (beams && constraint)
    throw invalid(
      'use_beam_search',
      `'use_beam_search' cannot go with an answer or calls that are held to a shape`
    )
  const budgeted = conversation.budget.tokens >= 0 && !conversation.budget.isEffort
  if (beams && family.thought && budgeted)
    throw invalid('use_beam_search', `'use_beam_search' cannot go with a bound on thought`)
  const silent = new Set((family.silentTokens ?? []).map((name) => engine.tokenId(name)))
  const controls = new Map(family.controlTokens.map((name) => [engine.tokenId(name), name]))
  const { tools, toolChoice, budget } = conversation
  const standing = {
    openInPrompt: prompt.start === 'reasoning',
    mayCall: tools.length > 0 && toolChoice !== 'none',
  }
  return {
    engine,
    sequences: choicesOf(ids, sampling, request.n ?? 1),
    parser: (): OutputParser => parserOf(family, conversation, prompt.start, model.settings),
    priority: request.priority ?? 0,
    tenant: ask.get('tenant'),
    oneCall: conversation.parallelToolCalls === false,
    ...(constraint ? { constraint } : {}),
    ...(beams ? { beams } : {}),
    ...(request.skip_special_tokens === false ? {} : { isHidden: (id) => silent.has(id) }),
    ...(promptLogprobs === undefined ? {} : { promptLogprobs }),
    controlName: (id) => controls.get(id),
    ...(cacheSalt === undefined ? {} : { cacheSalt }),
    ...(family.thought && !beams
      ? { thought: await thoughtOf(engine, family.thought, budget, standing) }
      : {}),
  }
}

const plan = async (house: House, ask: Ask, request: ChatRequest, text: string): Promise<Plan> => {
  const { settings } = house
  const model = modelAsked(house, ask, request.model)
  const delivery = deliveryOf(request, settings)
  const logprobs = shownLogprobs(request, logprobsOf(request))
  const maxTokens = maxTokensOf(request)
  const promptLogprobs = promptLogprobsOf(request)
  const rendered = kept(await render(house, model, request, text), model, request, maxTokens)
  return {
    rendered,
    delivery,
    run: await runOf(house, ask, model, rendered, request, { maxTokens, logprobs, promptLogprobs }),
    shape: {
      includeReasoning: request.include_reasoning ?? true,
      namedCall: typeof rendered.conversation.toolChoice === 'object',
      echo: echoedOf(request),
      tokensAsIds: delivery.tokensAsIds,
      tokenIds: delivery.tokenIds,
      ...(logprobs === undefined ? {} : { logprobs }),
    },
    head: {
      id: randomId('chatcmpl-', 24),
      created: now(),
      model: request.model || (model.names[0] ?? ''),
      system_fingerprint: fingerprint(settings, model),
    },
  }
}

/** What comes with the prompt where it was asked for. */
const promptEcho = ({ rendered, delivery }: Plan, request: ChatRequest) => ({
  ...(delivery.tokenIds ? { prompt_token_ids: [...rendered.ids] } : {}),
  ...(request.return_prompt_text ? { prompt_text: rendered.prompt.text } : {}),
})

const chunks = (
  { run: { sequences }, shape, delivery, head, rendered }: Plan,
  events: AsyncIterable<RunEvent[]>,
  echo: object
): AsyncGenerator<string, undefined> => {
  const { id, ...others } = head
  const service = { object: 'chat.completion.chunk', ...others, service_tier: 'default' }
  const renderer = new ChatChunks(shape, sequences.length)
  let extra = JSON.stringify(echo).slice(1, -1)
  return chunkFrames(events, {
    prefix: JSON.stringify({ id, ...service }).slice(0, -1),
    usage: delivery.usage,
    tally: new UsageTally(rendered.ids.length, sequences.length),
    render: ({ index, event }) =>
      renderer.push(index, event).map((choices) => {
        const first = extra && `,${extra}`
        extra = ''
        return `"choices":${choices}${first}`
      }),
  })
}

/** Joins the caller's leaving and our own giving up into the signal that cancels the engine. */
export const leavingOf = (ask: Ask): AbortController => {
  const leaving = new AbortController()
  const { signal } = ask.req.raw
  if (signal.aborted) leaving.abort()
  else signal.addEventListener('abort', () => leaving.abort(), { once: true })
  return leaving
}

/** An SSE answer of `frames`; an error on the way is a frame of its own, then the end. */
export const streamed = (
  house: House,
  ask: Ask,
  frames: AsyncGenerator<string, undefined>,
  leaving: AbortController,
  failed: (error: ApiError) => string = (error) => frame(JSON.stringify(envelope(error))) + DONE
): Response => {
  const body = sseBody(frames, {
    keepAliveSeconds: house.settings.keepAliveSeconds,
    cancel: () => leaving.abort(),
    ended: () => ask.get('visit').end(200),
    onError: (error) => {
      const known = asApiError(error)
      if (!known) house.log.error('stream failed', { ...marksOf(ask), error: String(error) })
      return failed(known ?? internal())
    },
  })
  return new Response(body, { headers: SSE_HEADERS })
}

/** Nobody reads this; it only ends the request in the log. */
export const abandoned = (): Response => new Response(null, { status: 499 })

const whole = async (
  { run: { sequences, engine }, shape, head, rendered }: Plan,
  events: AsyncIterable<RunEvent[]>,
  echo: object
): Promise<object> => {
  const answers = sequences.map(() => new ChatAnswer(shape))
  const tally = new UsageTally(rendered.ids.length, sequences.length)
  let scores: PromptScore[] | undefined
  for await (const batch of events) {
    for (const { index, event, promptLogprobs } of batch) {
      scores ??= promptLogprobs
      const broken = brokenEnd(event)
      if (broken) throw broken
      answers[index]?.push(event)
      if (event.type === 'finish') tally.finished(index, event.usage, 0)
    }
  }
  const { id, ...others } = head
  return {
    id,
    object: 'chat.completion',
    ...others,
    service_tier: 'default',
    choices: answers.map((answer, index) => answer.choiceAt(index)),
    usage: tally.wire,
    ...(scores
      ? { prompt_logprobs: wirePromptLogprobs(scores, (token) => engine.tokenBytes(token)) }
      : {}),
    ...echo,
  }
}

export const chat = async (house: House, ask: Ask): Promise<Response> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = checkChat(body.value)
  const planned = await plan(house, ask, request, body.text)
  const leaving = leavingOf(ask)
  const events = run(planned.run, leaving.signal)
  const echo = promptEcho(planned, request)
  if (planned.delivery.stream) {
    const begun = await primed(events, headerPatience(house.settings))
    return streamed(house, ask, chunks(planned, begun, echo), leaving)
  }
  const answer = await whole(planned, events, echo)
  return leaving.signal.aborted ? abandoned() : ask.json(answer)
}

/** What a dry run shows of a rendered conversation. */
export const shownPrompt = ({ prompt, ids }: Rendered): object => ({
  prompt: prompt.text,
  prompt_token_ids: [...ids],
})

/** The prompt a chat request would give the model, without running it. */
export const renderChat = async (house: House, ask: Ask): Promise<Response> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = checkChatPrompt(body.value)
  const model = modelAsked(house, ask, request.model)
  return ask.json(shownPrompt(await render(house, model, request, body.text)))
}
