// What can be done with kept responses: fetch, follow, cancel, delete, list their input. app.ts has the routes.
import { ApiError, invalid } from '../../errors.ts'
import type { Item } from '../../protocol/items.ts'
import type { AppSettings } from '../../served.ts'
import { ResponseStore } from '../../store.ts'
import { streamed } from '../chat.ts'
import type { Ask, House } from '../request.ts'
import type { StoredResponse } from './record.ts'

const DEFAULT_COUNT = 1000

/** The store a server's settings ask for. */
export const storeOf = ({ responseStore, responseStoreMax }: AppSettings) =>
  responseStore === 'off'
    ? undefined
    : new ResponseStore<StoredResponse>({ count: responseStoreMax ?? DEFAULT_COUNT })

const notFound = ({ store }: House, id: string, param: string, code: string | null): ApiError =>
  new ApiError(
    404,
    store
      ? `Response with id '${id.slice(0, 100)}' not found`
      : `Response with id '${id.slice(0, 100)}' not found: this server keeps none`,
    { param, code }
  )

/** A response of the same API key, or 404. */
const keptOf = (house: House, ask: Ask): StoredResponse => {
  const id = ask.req.param('id') ?? ''
  const record = house.store?.get(id, ask.get('tenant'))
  if (record) return record
  throw notFound(house, id, 'response_id', 'response_not_found')
}

/** The response that a new one follows. */
export const previousOf = (house: House, ask: Ask, id: string): StoredResponse => {
  const record = house.store?.get(id, ask.get('tenant'))
  if (!record) throw notFound(house, id, 'previous_response_id', 'previous_response_not_found')
  if (record.live)
    throw invalid('previous_response_id', `Response '${id}' is still in progress; wait for its end`)
  return record
}

/** Kept items by their ids, as far as they are there. */
export const itemsById = (house: House, ask: Ask, wanted: Set<string>): Map<string, Item> => {
  const found = new Map<string, Item>()
  if (wanted.size === 0 || !house.store) return found
  for (const { live, conversation } of house.store.of(ask.get('tenant'))) {
    if (live) continue
    for (const item of conversation) if (wanted.has(item.id)) found.set(item.id, item)
  }
  return found
}

const count = (ask: Ask, name: string, least: number, most: number): number | undefined => {
  const text = ask.req.query(name)
  if (text === undefined || text === '') return undefined
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < least || number > most)
    throw invalid(name, `Invalid value for '${name}': must be an integer from ${least} to ${most}`)
  return number
}

export const retrieveResponse = (house: House, ask: Ask): Response => {
  const record = keptOf(house, ask)
  if (ask.req.query('stream') !== 'true') return ask.json(record.response)
  if (!record.frames)
    throw invalid('stream', `Only a response made with 'background' can be streamed again`)
  const after = count(ask, 'starting_after', 0, Number.MAX_SAFE_INTEGER)
  const from = after === undefined ? 0 : after + 1
  return streamed(house, ask, record.follow(from), new AbortController())
}

export const cancelResponse = async (house: House, ask: Ask): Promise<Response> => {
  const record = keptOf(house, ask)
  if (!record.frames)
    throw invalid(
      'response_id',
      `Only a response made with 'background' can be cancelled; end the connection of others`
    )
  await record.cancel()
  return ask.json(record.response)
}

export const deleteResponse = async (house: House, ask: Ask): Promise<Response> => {
  const { id } = keptOf(house, ask)
  const record = house.store?.delete(id, ask.get('tenant'))
  if (record?.frames) await record.cancel()
  return ask.json({ id, object: 'response', deleted: true })
}

const PAGE = 20
const MAX_PAGE = 100

export const listInputItems = (house: House, ask: Ask): Response => {
  const { input } = keptOf(house, ask)
  const order = ask.req.query('order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc')
    throw invalid('order', `Invalid value for 'order': must be asc or desc`)
  const limit = count(ask, 'limit', 1, MAX_PAGE) ?? PAGE
  const items = order === 'asc' ? input : input.toReversed()
  const after = ask.req.query('after')
  const known = after ? items.findIndex(({ id }) => id === after) : -1
  if (after && known < 0)
    throw invalid('after', `No input item has the id '${after.slice(0, 100)}'`)
  const data = items.slice(known + 1, known + 1 + limit)
  return ask.json({
    object: 'list',
    data,
    first_id: data[0]?.id ?? '',
    last_id: data.at(-1)?.id ?? '',
    has_more: known + 1 + data.length < items.length,
  })
}
