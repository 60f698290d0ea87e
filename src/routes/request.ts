// What every generating route needs of one request: the model it names, who asks, and the prompt's length checked.
import type { Context } from 'hono'
import type { PromptPiece } from '../conversation.ts'
import type { Engine, ModelInfo } from '../engine.ts'
import { ApiError, contextExceeded, invalid, unavailable } from '../errors.ts'
import type { SamplingFields } from '../protocol/sampling.ts'
import type { AppSettings, Lifecycle, Log, ServedModel } from '../served.ts'
import type { ResponseStore } from '../store.ts'
import type { StoredResponse } from './responses/record.ts'
import type { Visit, Visits } from './visits.ts'

/** What app.ts hands to each route. */
export interface House {
  /** One for each model, in the order the operator named them. */
  lifecycles: Lifecycle[]
  settings: AppSettings
  log: Log
  /** Tells of work that goes on without a connection, so that a server that ends waits for it. */
  hold: (work: Promise<void>) => void
  /** Answers that can be asked for again; undefined where none are kept. */
  store: ResponseStore<StoredResponse> | undefined
  visits: Visits
}

export type Variables = {
  requestId: string
  visit: Visit
  /** Which API key asks, 0 where there is none. */
  tenant: number
  /** The model it is for, once that is known. */
  model?: string
}

/** Which request it is, for the log. */
export const marksOf = (ask: Ask): { requestId: string; model?: string } => {
  const model = ask.get('model')
  return { requestId: ask.get('requestId'), ...(model === undefined ? {} : { model }) }
}

export type Ask = Context<{ Variables: Variables }>

/** No text of more characters than this per token of context can fit; it is refused before it is tokenised. */
const MAX_CHARACTERS_PER_TOKEN = 16

/** Names a model answers to, or will once it is loaded. */
const namesOf = ({ model, names }: Lifecycle): string[] => model?.names ?? names

/** Where a model is in its life; an engine may have died since anybody looked. */
export const stateOf = (lifecycle: Lifecycle) => {
  const { phase, progress, detail, model } = lifecycle
  const [id = ''] = namesOf(lifecycle)
  const dead = model?.engine.stats().dead ?? null
  return { id, status: dead === null ? phase : 'dead', progress, detail: dead ?? detail } as const
}

/** The model of a life; 503 while it does not serve. */
const ready = (lifecycle: Lifecycle): ServedModel => {
  const { id, status, progress, detail } = stateOf(lifecycle)
  if (status === 'loading')
    throw unavailable(
      `The model '${id}' is still loading (${Math.round(progress * 100)} %); try again soon`
    )
  if (status === 'draining') throw unavailable('The server is shutting down')
  if (status === 'dead' || !lifecycle.model)
    throw unavailable(`The engine of '${id}' has stopped: ${detail}`)
  return lifecycle.model
}

/** All that serve now. */
export const readyModels = ({ lifecycles }: House): ServedModel[] =>
  lifecycles.flatMap((one) => (one.model && stateOf(one).status === 'ready' ? [one.model] : []))

/** 503 where no model serves, whichever is meant. */
export const checkServing = (house: House): void => {
  const [first] = house.lifecycles
  if (first && readyModels(house).length === 0) ready(first)
}

const modelNotFound = (name: string): ApiError =>
  new ApiError(
    404,
    `The model '${name.slice(0, 200)}' does not exist; ask GET /v1/models for those served`,
    {
      param: 'model',
      code: 'model_not_found',
    }
  )

/** The model a body names; a body that names none, or with examples of other servers '', gets the first. */
export const modelFor = ({ lifecycles }: House, name: unknown): ServedModel => {
  const any = name === undefined || name === null || name === ''
  if (!any && typeof name !== 'string')
    throw invalid('model', `Invalid type for 'model': expected string`)
  const meant = any ? lifecycles[0] : lifecycles.find((one) => namesOf(one).includes(name))
  if (!meant) throw modelNotFound(any ? '' : name)
  return ready(meant)
}

/** The same for a route that asks it something; the log names it from then on. */
export const modelAsked = (house: House, ask: Ask, name: unknown): ServedModel => {
  const model = modelFor(house, name)
  ask.set('model', model.names[0])
  return model
}

/** Keeps cached prefixes of several API keys apart, and of one key's salts. */
export const cacheSaltOf = (
  ask: Ask,
  settings: AppSettings,
  salt: string | null | undefined
): string | undefined => {
  if (settings.apiKeys.length > 1) return `${ask.get('tenant')}:${salt ?? ''}`
  return salt ?? undefined
}

const checkCharacters = (length: number, { maxModelLen }: ModelInfo, param: string): void => {
  if (length > maxModelLen * MAX_CHARACTERS_PER_TOKEN)
    throw contextExceeded(maxModelLen, `${length} characters, which cannot fit`, param)
}

const checkTokens = (
  ids: Uint32Array,
  { maxModelLen }: ModelInfo,
  param: string,
  room: number
): void => {
  if (ids.length > maxModelLen - room)
    throw contextExceeded(maxModelLen, `${ids.length} tokens`, param)
}

export const encodeRendered = async (
  engine: Engine,
  prompt: { text: string; pieces: PromptPiece[] }
): Promise<Uint32Array> => {
  checkCharacters(prompt.text.length, engine.info, 'messages')
  return engine.encodePieces(prompt.pieces)
}

export const encodeWritten = async (
  engine: Engine,
  text: string,
  param: string
): Promise<Uint32Array> => {
  checkCharacters(text.length, engine.info, param)
  return engine.encodePrompt(text)
}

/**
 * Tokens the answer may have: as asked, or what the context leaves if that is less. An answer that could not have a
 * single token is refused; `least` is 0 where none is wanted.
 */
export const allowance = (
  ids: Uint32Array,
  info: ModelInfo,
  asked: number | undefined,
  param: string,
  least = 1
): number => {
  if (ids.length === 0) throw invalid(param, `'${param}' gives an empty prompt`)
  checkTokens(ids, info, param, least)
  const left = info.maxModelLen - ids.length
  return Math.min(asked ?? left, left)
}

/**
 * A prompt cut to what its request lets it keep: its last tokens (or first), -1 for all that fit beside the answer.
 * Nothing is cut unasked.
 */
export const truncated = (
  ids: Uint32Array,
  { maxModelLen }: ModelInfo,
  request: Pick<SamplingFields, 'truncate_prompt_tokens' | 'truncation_side'>,
  answer: number
): Uint32Array => {
  const asked = request.truncate_prompt_tokens ?? undefined
  if (asked === undefined) return ids
  const most = Math.max(maxModelLen - answer, 1)
  if (asked > most)
    throw invalid(
      'truncate_prompt_tokens',
      `'truncate_prompt_tokens' is ${asked}, but beside the answer the context leaves a prompt ${most} tokens`
    )
  const keep = asked < 0 ? most : asked
  if (ids.length <= keep) return ids
  return request.truncation_side === 'right' ? ids.slice(0, keep) : ids.slice(-keep)
}

/** Bad words as the tokens they are made of, at the start of a word and inside one. */
export const badWordsOf = async (
  engine: Engine,
  words: string[] | null | undefined
): Promise<number[][]> => {
  const spellings = new Map<string, number[]>()
  for (const word of words ?? []) {
    for (const text of [word.trimStart(), ` ${word.trimStart()}`]) {
      const ids = [...(await engine.encodeText(text))]
      if (ids.length > 0) spellings.set(ids.join(), ids)
    }
  }
  return [...spellings.values()]
}

/** Milliseconds a stream's headers wait for the first token, so that a refusal still becomes a status. */
export const headerPatience = ({ keepAliveSeconds }: AppSettings): number =>
  (keepAliveSeconds > 0 ? Math.min(keepAliveSeconds, 15) : 15) * 1000

export const now = (): number => Math.floor(Date.now() / 1000)

/** Changes when what decides about an answer's bytes changes. */
export const fingerprint = (settings: AppSettings, model: ServedModel): string =>
  `fp_${model.engine.info.architecture.toLowerCase().replace(/[^a-z0-9]+/g, '_')}_${settings.version}`

/** Makes routes whose errors are told by the names of their own API. */
export const renamingBy =
  (asSaid: (error: unknown) => unknown) =>
  (route: (house: House, ask: Ask) => Promise<Response>) =>
  async (house: House, ask: Ask): Promise<Response> => {
    try {
      return await route(house, ask)
    } catch (error) {
      throw asSaid(error)
    }
  }
