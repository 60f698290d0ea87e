// POST /v1/responses: tells items as a conversation, generates, and answers whole, in events, or in the background.
import { ApiError, asApiError, internal, invalid } from '../errors.ts'
import type { ChatPrompt } from '../protocol/chat.ts'
import { itemsOf, messagesOfItems, packed, referencesOf } from '../protocol/items.ts'
import {
  chatBodyOf,
  checkResponses,
  echoOf,
  responseLogprobsOf,
  type ResponsesRequest,
  shortened,
} from '../protocol/responses.ts'
import { shownLogprobs } from '../protocol/sampling.ts'
import { type Asked, askedOfResponse } from '../protocol/shape.ts'
import { type Offered, offeredOf } from '../protocol/tools.ts'
import { primed, type Run, run, type RunEvent } from '../run.ts'
import type { ServedModel } from '../served.ts'
import { randomId } from '../stream/chat.ts'
import { ResponseWriter } from '../stream/responses.ts'
import { readBody } from './body.ts'
import { brokenEnd } from './frames.ts'
import {
  abandoned,
  leavingOf,
  render,
  type Rendered,
  runOf,
  shownPrompt,
  streamed,
} from './chat.ts'
import {
  type Ask,
  headerPatience,
  type House,
  marksOf,
  modelAsked,
  now,
  renamingBy,
} from './request.ts'
import { StoredResponse, type ToldInput } from './responses/record.ts'
import { itemsById, previousOf } from './responses/stored.ts'

/** What a request tells the model. */
interface Told {
  model: ServedModel
  /** What the caller calls it. */
  name: string
  request: ResponsesRequest
  /** Earlier turns and this one's items. */
  input: ToldInput
  offered: Offered
  rendered: Rendered
}

/** A tool's schema is called by the place it has in this API. */
const inPlace = (error: unknown, { places }: Offered): unknown => {
  const known = asApiError(error)
  const [, n, rest] = /^tools\[(\d+)\]\.function\.parameters(.*)$/s.exec(known?.param ?? '') ?? []
  if (!known || n === undefined) return error
  const { status, code, headers } = known
  const param = `${places[Number(n)]}${rest}`
  const message = known.message.replace(`tools[${n}].function.parameters`, places[Number(n)] ?? '')
  return new ApiError(status, message, { code, headers, param })
}

/** What is wrong with the messages is wrong with the input they come from. */
const asSaid = (error: unknown): unknown => {
  const known = asApiError(error)
  if (!known?.param || !/^messages\b/.test(known.param)) return error
  const { status, message, code, headers } = known
  return new ApiError(status, message, { code, headers, param: 'input' })
}

/** Renders a body, without its oldest turns where that is allowed and they leave too little room for an answer. */
const rendering = async (
  house: House,
  model: ServedModel,
  request: ResponsesRequest,
  chat: ChatPrompt,
  tools: string,
  asked: Asked | undefined
): Promise<Rendered> => {
  const { maxModelLen } = model.engine.info
  const room = Math.min(request.max_output_tokens ?? Infinity, Math.floor(maxModelLen / 4))
  const auto = request.truncation === 'auto'
  for (let body = chat; ;) {
    let fewer: ChatPrompt | undefined
    try {
      // oxlint-disable-next-line no-await-in-loop
      const rendered = await render(house, model, body, tools, asked ?? null)
      if (auto && rendered.ids.length + room > maxModelLen) fewer = shortened(body, 1 / 4)
      if (!fewer) return rendered
    } catch (error) {
      // It is so long that it was not even counted.
      const long = auto && asApiError(error)?.code === 'context_length_exceeded'
      fewer = long ? shortened(body, 1 / 2) : undefined
      if (!fewer) throw error
    }
    body = fewer
  }
}

/** The same day for all turns of a conversation, or what is cached of it would be of no use after midnight. */
const keepingDate = (body: ChatPrompt, date: string | undefined): ChatPrompt =>
  date === undefined
    ? body
    : { ...body, chat_template_kwargs: { current_date: date, ...body.chat_template_kwargs } }

const told = async (house: House, ask: Ask): Promise<Told> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = checkResponses(body.value)
  const { previous_response_id: id } = request
  const previous = id ? previousOf(house, ask, id) : undefined
  // What is said is told anew for whichever model goes on; the same one unless another is named.
  const name = request.model || previous?.response.model
  const model = modelAsked(house, ask, name)
  const known = itemsById(house, ask, referencesOf(request.input))
  const own = itemsOf(request.input, known, (prefix) => randomId(prefix, 24))
  const offered = offeredOf(request.tools ?? [], request.tool_choice, body.text)
  const items = [...(previous?.conversation ?? []), ...own.items]
  const chat = keepingDate(
    chatBodyOf(request, messagesOfItems(items), offered.fields),
    previous?.date
  )
  const left = [...own.ignored, ...offered.ignored]
  if (left.length > 0)
    house.log.info('left out of a request', {
      ...marksOf(ask),
      types: [...new Set(left)].join(', '),
    })
  const asked = askedOfResponse(request, body.text)
  const rendered = await rendering(house, model, request, chat, offered.text, asked)
  const date = rendered.prompt.date ?? previous?.date
  const bytes = (previous?.bytes ?? 0) + body.text.length
  return {
    model,
    name: typeof name === 'string' ? name : (model.names[0] ?? ''),
    request,
    input: { items, bytes, ...(date === undefined ? {} : { date }) },
    offered,
    rendered,
  }
}

interface Plan {
  run: Run
  writer: ResponseWriter
  record: StoredResponse
  /** Whether the record is for keeping. */
  kept: boolean
}

const plan = async (house: House, ask: Ask, all: Told, leaving: AbortController): Promise<Plan> => {
  const { request, model, rendered, offered } = all
  const { settings, store } = house
  const logprobs = shownLogprobs(request, responseLogprobsOf(request))
  const maxTokens = request.max_output_tokens ?? undefined
  const job = await runOf(house, ask, model, rendered, request, { maxTokens, logprobs }).catch(
    (error: unknown) => {
      throw inPlace(error, offered)
    }
  )
  const kept = store !== undefined && request.store !== false
  const { temperature = 1, topP = 1 } = job.sequences[0]?.sampling ?? {}
  const { name } = all
  const echo = echoOf(request, {
    model: name,
    store: kept,
    temperature,
    topP,
    tools: offered.shown,
  })
  const background = request.background ?? false
  const writer = new ResponseWriter(randomId('resp_', 24), echo, {
    includeReasoning: request.include_reasoning ?? true,
    tokensAsIds: request.return_tokens_as_token_ids ?? settings.returnTokensAsTokenIds,
    calls: offered.calls,
    now,
    silent: !request.stream && !background,
    ...(request.include?.includes('reasoning.encrypted_content') ? { pack: packed } : {}),
    ...(logprobs === undefined ? {} : { logprobs }),
  })
  const { input } = all
  const stop = (): void => leaving.abort()
  const record = new StoredResponse(ask.get('tenant'), writer.response, input, background, stop)
  return { run: job, writer, record, kept }
}

/** Writes a run's events, keeping the response from its first word to its last, however it ends. */
async function* written(
  house: House,
  ask: Ask,
  { writer, record, kept }: Plan,
  events: AsyncIterable<RunEvent[]>
): AsyncGenerator<string[], undefined> {
  const { store } = house
  try {
    if (kept) store?.put(record, 0)
    yield writer.begin(record.frames !== undefined)
    for await (const batch of events) {
      const frames: string[] = []
      for (const { event } of batch) {
        const broken = brokenEnd(event)
        if (broken) throw broken
        frames.push(...writer.push(event))
      }
      yield frames
    }
    if (!writer.ended) yield writer.cancel()
  } catch (error) {
    const known = asApiError(error)
    if (!known) house.log.error('response failed', { ...marksOf(ask), error: String(error) })
    yield writer.fail(known ?? internal())
  } finally {
    // The reader left.
    if (!writer.ended) writer.cancel()
    record.end()
    // Who deleted it meanwhile meant it.
    if (kept && store?.has(record)) store.put(record, record.bytes)
  }
  return undefined
}

async function* joined(
  frames: AsyncGenerator<string[], undefined>
): AsyncGenerator<string, undefined> {
  for await (const some of frames) if (some.length > 0) yield some.join('')
  return undefined
}

const whole = async (
  house: House,
  ask: Ask,
  planned: Plan,
  events: AsyncGenerator<RunEvent[], undefined>
): Promise<Response> => {
  const { writer, record } = planned
  for await (const _ of written(house, ask, planned, events));
  const cancelled = writer.response.status === 'cancelled'
  // Nobody learns its id.
  if (cancelled || writer.failure) house.store?.delete(record.id, record.tenant)
  if (writer.failure) throw writer.failure
  return cancelled ? abandoned() : ask.json(writer.response)
}

/** Milliseconds for the engine to refuse what is to run in the background. */
const PATIENCE = 20

/** Starts a response that goes on whether or not anybody reads; readers follow what is kept of it. */
const inBackground = async (
  house: House,
  ask: Ask,
  planned: Plan,
  events: AsyncGenerator<RunEvent[], undefined>,
  stream: boolean
): Promise<Response> => {
  const { record } = planned
  const begun = await primed(events, PATIENCE)
  const pump = async (): Promise<void> => {
    for await (const frames of written(house, ask, planned, begun)) record.add(frames)
  }
  const work = pump().catch((error: unknown) => {
    house.log.error('background response failed', { ...marksOf(ask), error: String(error) })
  })
  house.hold(work)
  if (stream) return streamed(house, ask, record.follow(0), new AbortController())
  return ask.json(record.response)
}

const answer = async (house: House, ask: Ask): Promise<Response> => {
  const all = await told(house, ask)
  const { background, stream } = all.request
  if (background && !house.store)
    throw invalid('background', 'Nothing can run in the background: this server keeps no responses')
  const leaving = background ? new AbortController() : leavingOf(ask)
  const planned = await plan(house, ask, all, leaving)
  const events = run(planned.run, leaving.signal)
  if (background) return inBackground(house, ask, planned, events, stream ?? false)
  if (!stream) return whole(house, ask, planned, events)
  const begun = await primed(events, headerPatience(house.settings))
  return streamed(house, ask, joined(written(house, ask, planned, begun)), leaving)
}

const renaming = renamingBy(asSaid)

export const createResponse = renaming(answer)

/** How many tokens the same body would give the model, without running it. */
export const countInput = renaming(async (house, ask) => {
  const { rendered } = await told(house, ask)
  return ask.json({ object: 'response.input_tokens', input_tokens: rendered.ids.length })
})

/** The prompt the same body would give the model, as chat's dry run shows it. */
export const renderResponse = renaming(async (house, ask) =>
  ask.json(shownPrompt((await told(house, ask)).rendered))
)
