// POST /v1/messages and its count_tokens: Anthropic's Messages API, told as a conversation and answered from the same events.
import { ApiError, anthropicEnvelope, asApiError } from '../errors.ts'
import {
  chatOf,
  checkCounted,
  checkMessages,
  type CountedRequest,
  type MessagesRequest,
} from '../protocol/anthropic.ts'
import { packed } from '../protocol/items.ts'
import { primed, type Run, run, type RunEvent } from '../run.ts'
import type { ServedModel } from '../served.ts'
import { errorFrame, MessageWriter } from '../stream/anthropic.ts'
import { readBody } from './body.ts'
import { abandoned, leavingOf, render, type Rendered, runOf, streamed } from './chat.ts'
import { brokenEnd } from './frames.ts'
import { type Ask, headerPatience, type House, modelAsked, renamingBy } from './request.ts'

/** What is wrong by chat's names is told by this API's. */
const asSaid = (error: unknown): unknown => {
  const known = asApiError(error)
  if (!known) return error
  const named = (text: string): string =>
    text
      .replace(/(tools\[\d+\])\.function\.parameters/g, '$1.input_schema')
      .replace(/response_format(\.json_schema)?/g, 'output_config.format')
      .replace(/\breasoning_effort\b/g, 'output_config.effort')
  const { status, message, code, headers, param } = known
  const detail = { code, headers, param: param && named(param) }
  return new ApiError(status, named(message), detail)
}

const renaming = renamingBy(asSaid)

const renderedOf = (
  house: House,
  model: ServedModel,
  request: CountedRequest,
  text: string
): Promise<Rendered> => {
  const { body, text: told } = chatOf(request, text, model.engine.info.maxModelLen)
  return render(house, model, body, told)
}

interface Plan {
  run: Run
  writer: MessageWriter
}

const plan = async (
  house: House,
  ask: Ask,
  request: MessagesRequest,
  text: string
): Promise<Plan> => {
  const model = modelAsked(house, ask, request.model)
  const rendered = await renderedOf(house, model, request, text)
  const { stop_sequences: stop, max_tokens: maxTokens } = request
  const sampled = { ...request, ...(stop ? { stop } : {}) }
  const bounds = { maxTokens: maxTokens ?? undefined, logprobs: undefined }
  const shape = {
    model: request.model || (model.names[0] ?? ''),
    promptTokens: rendered.ids.length,
    ...(request.thinking?.display === 'omitted' ? { pack: packed } : {}),
  }
  return {
    run: await runOf(house, ask, model, rendered, sampled, bounds),
    writer: new MessageWriter(shape),
  }
}

async function* frames(
  writer: MessageWriter,
  events: AsyncIterable<RunEvent[]>
): AsyncGenerator<string, undefined> {
  yield writer.begin()
  for await (const batch of events) {
    let text = ''
    for (const { event } of batch) {
      const broken = brokenEnd(event)
      if (broken) throw broken
      text += writer.push(event).join('')
    }
    if (text !== '') yield text
  }
  return undefined
}

export const createMessage = renaming(async (house, ask) => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = checkMessages(body.value)
  const planned = await plan(house, ask, request, body.text)
  const leaving = leavingOf(ask)
  const events = run(planned.run, leaving.signal)
  const { writer } = planned
  if (request.stream) {
    const begun = await primed(events, headerPatience(house.settings))
    return streamed(house, ask, frames(writer, begun), leaving, (error) =>
      errorFrame(anthropicEnvelope(error, ask.get('requestId')))
    )
  }
  for await (const _ of frames(writer, events));
  return leaving.signal.aborted ? abandoned() : ask.json(writer.message)
})

/** How many tokens the same body would give the model, without running it. */
export const countMessage = renaming(async (house, ask) => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = checkCounted(body.value)
  const model = modelAsked(house, ask, request.model)
  const { ids } = await renderedOf(house, model, request, body.text)
  return ask.json({ input_tokens: ids.length })
})
