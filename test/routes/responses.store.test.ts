// Responses that are kept: continued, fetched, followed, cancelled, deleted, listed, bounded, and never another key's.
import { describe, expect, it } from 'vitest'
import { ResponseStore } from '../../src/store.ts'
import { pause } from '../scripted.ts'
import type { Any } from './ask.ts'
import { CALL, eventsOf, responsesOver, tools, typesOf } from './events.ts'
import { faults } from './faults.ts'

const THOUGHT = '<seed:think>hm</seed:think>'
const record = (id: string, tenant = 0, live = false) => ({ id, tenant, live })

describe('the store', () => {
  it('keeps what was used last', () => {
    const store = new ResponseStore({ count: 2 })
    store.put(record('a'), 1)
    store.put(record('b'), 1)
    store.get('a', 0)
    store.put(record('c'), 1)
    expect([...store.of(0)].map(({ id }) => id)).toEqual(['a', 'c'])
    expect([store.count, store.bytes]).toEqual([2, 2])
  })

  it('is bounded by bytes, and one large thing costs the others nothing', () => {
    const store = new ResponseStore({ count: 9, bytes: 10 })
    store.put(record('a'), 6)
    store.put(record('b'), 11)
    expect(store.get('b', 0)).toBe(undefined)
    expect(store.get('a', 0)).toBeDefined()
    store.put(record('c'), 6)
    expect([store.get('a', 0), store.bytes]).toEqual([undefined, 6])
  })

  it('forgets with age', () => {
    let time = 0
    const store = new ResponseStore({ count: 9, age: 10, now: () => time })
    store.put(record('a'), 1)
    time = 10
    expect(store.get('a', 0)).toBeDefined()
    time = 21
    expect(store.get('a', 0)).toBe(undefined)
    expect(store.bytes).toBe(0)
  })

  it('never drops what is being made', () => {
    const store = new ResponseStore({ count: 1 })
    store.put(record('a', 0, true), 1)
    store.put(record('b'), 1)
    expect(store.get('a', 0)).toBeDefined()
    expect(store.get('b', 0)).toBe(undefined)
  })

  it('shows nobody what is not theirs', () => {
    const store = new ResponseStore({ count: 9 })
    store.put(record('a', 1), 1)
    expect([store.get('a', 0), store.delete('a', 0), [...store.of(0)]]).toEqual([
      undefined,
      undefined,
      [],
    ])
    expect(store.get('a', 1)).toBeDefined()
  })
})

describe('a kept response', () => {
  it('is carried on with all its items, and without its instructions', async () => {
    const seen: Any[] = []
    const over = responsesOver((prompt, nth) => {
      seen.push(prompt)
      return { steps: nth === 0 ? [THOUGHT, CALL] : ['It is sunny'] }
    })
    const first = (await over.create({ tools, instructions: 'Be brief' })).body
    const [, call] = first.output
    const output = { type: 'function_call_output', call_id: call.call_id, output: 'sunny' }
    const link = { previous_response_id: first.id }
    const second = await over.create({ ...link, tools, input: [output] })
    expect(second.status).toBe(200)
    expect(second.body.previous_response_id).toBe(first.id)
    expect(seen[1]).toMatch(/user\nHi.*assistant\n.*tool\nsunny/s)
    expect(seen[1]).not.toContain('Be brief')
    const third = await over.create({ previous_response_id: second.body.id, input: 'And?' })
    expect(third.status).toBe(200)
    expect(seen[2]).toMatch(/user\nHi.*tool\nsunny.*assistant\nIt is sunny.*user\nAnd\?/s)

    // The items of the whole conversation, and each of them by its id.
    const path = `/v1/responses/${third.body.id}/input_items`
    const { body } = await over.get(`${path}?order=asc`)
    expect(body.data.map(({ type }: Any) => type)).toEqual([
      'message',
      'reasoning',
      'function_call',
      'function_call_output',
      'message',
      'message',
    ])
    expect(faults('ResponseItemList', body)).toEqual([])
    const page = (await over.get(`${path}?limit=2`)).body
    expect(page).toMatchObject({ has_more: true, first_id: body.last_id })
    const rest = (await over.get(`${path}?limit=9&after=${page.last_id}`)).body
    expect(rest.data).toEqual(body.data.toReversed().slice(2))
    expect((await over.get(`${path}?order=up`)).status).toBe(400)
    expect((await over.get(`${path}?limit=0`)).status).toBe(400)
    expect((await over.get(`${path}?after=x`)).status).toBe(400)

    const references = body.data.map(({ id }: Any) => ({ type: 'item_reference', id }))
    expect((await over.create({ input: references })).status).toBe(200)
    expect(seen[3]).toBe(seen[2])
  })

  it('is fetched as it was answered, and deleted once', async () => {
    const { create, get, remove } = responsesOver({ steps: ['a'] })
    const { body } = await create()
    expect((await get(`/v1/responses/${body.id}`)).body).toEqual(body)
    expect((await get(`/v1/responses/${body.id}?stream=true`)).status).toBe(400)
    expect(await remove(body.id)).toEqual({
      status: 200,
      body: { id: body.id, object: 'response', deleted: true },
    })
    expect((await remove(body.id)).status).toBe(404)
    const gone = await get(`/v1/responses/${body.id}`)
    expect([gone.status, gone.body.error.code]).toEqual([404, 'response_not_found'])
    expect((await create({ previous_response_id: body.id })).status).toBe(404)
  })

  it('is what the stream said', async () => {
    const { stream, get } = responsesOver({ steps: [THOUGHT, 'a', CALL] })
    const { response } = (await stream({ tools })).at(-1)
    expect((await get(`/v1/responses/${response.id}`)).body).toEqual(response)
  })

  it('belongs to the key that asked', async () => {
    const over = responsesOver({ steps: ['a'] }, { apiKeys: ['one', 'two'] })
    const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
    const { body } = await over.create({}, as('one'))
    const path = `/v1/responses/${body.id}`
    expect((await over.get(path, as('one'))).status).toBe(200)
    expect((await over.get(path, as('two'))).status).toBe(404)
    expect((await over.get(`${path}/input_items`, as('two'))).status).toBe(404)
    expect((await over.app.request(path, { ...as('two'), method: 'DELETE' })).status).toBe(404)
    expect((await over.post(`${path}/cancel`, {}, as('two'))).status).toBe(404)
    const link = { previous_response_id: body.id }
    const { id } = body.output[0]
    expect((await over.create(link, as('two'))).status).toBe(404)
    expect((await over.create({ input: [{ id }] }, as('two'))).status).toBe(404)
    expect((await over.create(link, as('one'))).status).toBe(200)
  })

  it('is not kept where nobody wants it, or it failed', async () => {
    const { create, get, stream } = responsesOver({ steps: ['a', { fail: 'nan' }] })
    expect((await create()).status).toBe(500)
    const { response } = (await stream()).at(-1)
    expect((await get(`/v1/responses/${response.id}`)).body.status).toBe('failed')
    const fine = responsesOver({ steps: ['a'] })
    const { body } = await fine.create({ store: false })
    expect(body.store).toBe(false)
    expect((await fine.get(`/v1/responses/${body.id}`)).status).toBe(404)
  })

  it('is one of so many', async () => {
    const { create, get } = responsesOver({ steps: ['a'] }, { responseStoreMax: 1 })
    const first = (await create()).body
    const second = (await create()).body
    expect((await get(`/v1/responses/${first.id}`)).status).toBe(404)
    expect((await get(`/v1/responses/${second.id}`)).status).toBe(200)
  })

  it('takes only what its paths take', async () => {
    const { app } = responsesOver({ steps: ['a'] })
    const put = await app.request('/v1/responses/x', { method: 'PUT' })
    expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET, HEAD, DELETE'])
    const get = await app.request('/v1/responses')
    expect([get.status, get.headers.get('allow')]).toEqual([405, 'POST'])
  })
})

describe('without a store', () => {
  it('all else works, items sent back', async () => {
    const script = (_: string, nth: number) => ({ steps: nth === 0 ? [THOUGHT, CALL] : ['done'] })
    const { create, get } = responsesOver(script, { responseStore: 'off' })
    const first = (await create({ tools })).body
    expect(first).toMatchObject({ status: 'completed', store: false })
    expect((await get(`/v1/responses/${first.id}`)).status).toBe(404)
    const { call_id } = first.output[1]
    const output = { type: 'function_call_output', call_id, output: 'sunny' }
    const input = [{ role: 'user', content: 'Hi' }, ...first.output, output]
    expect((await create({ tools, input })).body.output[0].content[0].text).toBe('done')
    expect((await create({ previous_response_id: first.id })).status).toBe(404)
    expect((await create({ background: true })).status).toBe(400)
  })
})

const until = async (get: (path: string) => Promise<Any>, id: string, status: string) => {
  for (let tries = 0; tries < 100; tries += 1) {
    // oxlint-disable-next-line no-await-in-loop
    const { body } = await get(`/v1/responses/${id}`)
    if (body.status === status) return body
    // oxlint-disable-next-line no-await-in-loop
    await pause(5)
  }
  throw new Error(`it never was ${status}`)
}

describe('in the background', () => {
  it('is polled', async () => {
    const { create, get } = responsesOver({ steps: [{ wait: 50 }, 'a', { wait: 50 }, 'b'] })
    const { body } = await create({ background: true })
    expect(body).toMatchObject({ status: 'queued', background: true, output: [], usage: null })
    expect(faults('Response', body)).toEqual([])
    await until(get, body.id, 'in_progress')
    const early = await create({ previous_response_id: body.id })
    expect(early.status).toBe(400)
    const done = await until(get, body.id, 'completed')
    expect(done.output[0].content[0].text).toBe('ab')
  })

  it('is followed from any event on, by many, and survives its readers', async () => {
    const over = responsesOver({ steps: ['a', { wait: 40 }, 'b', { wait: 40 }, 'c'] })
    const response = await over.send('/v1/responses', {
      input: 'Hi',
      background: true,
      stream: true,
    })
    const reader = response.body!.getReader()
    const { value } = await reader.read()
    const id = /"id":"(resp_\w+)"/.exec(new TextDecoder().decode(value))![1]!
    await reader.cancel()
    const path = `/v1/responses/${id}?stream=true`
    const follow = async (query: string) => over.app.request(`${path}${query}`)
    const [all, some] = await Promise.all([follow(''), follow('&starting_after=4')])
    const events = await eventsOf(all)
    expect(typesOf(events)).toEqual([
      'created',
      'queued',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.delta',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'completed',
    ])
    for (const event of events) expect(faults('ResponseStreamEvent', event)).toEqual([])
    expect(await eventsOf(some, 5)).toEqual(events.slice(5))
    expect(await eventsOf(await follow('&starting_after=10'), 11)).toEqual(events.slice(11))
    expect(await eventsOf(await follow('&starting_after=99'))).toEqual([])
    expect((await follow('&starting_after=-1')).status).toBe(400)
  })

  it('is cancelled, and again', async () => {
    const over = responsesOver({ steps: ['a', { wait: 5000 }, 'b'] })
    const { body } = await over.create({ background: true })
    await until(over.get, body.id, 'in_progress')
    const followed = over.app.request(`/v1/responses/${body.id}?stream=true`)
    for (let n = 0; n < 2; n += 1) {
      // oxlint-disable-next-line no-await-in-loop
      const answer = await over.post(`/v1/responses/${body.id}/cancel`, {})
      expect(answer.body).toMatchObject({ id: body.id, status: 'cancelled' })
      expect(faults('Response', answer.body)).toEqual([])
    }
    expect(over.engine.running).toBe(0)
    const last = (await eventsOf(await followed)).at(-1)
    expect([last.type, last.response.status]).toEqual(['response.failed', 'cancelled'])
    const plain = (await responsesOver({ steps: ['a'] }).create()).body
    expect((await over.post(`/v1/responses/${plain.id}/cancel`, {})).status).toBe(404)
  })

  it('is cancelled only there', async () => {
    const { create, post } = responsesOver({ steps: ['a'] })
    const { body } = await create()
    expect((await post(`/v1/responses/${body.id}/cancel`, {})).status).toBe(400)
  })

  it('stops when it is deleted', async () => {
    const over = responsesOver({ steps: ['a', { wait: 5000 }, 'b'] })
    const { body } = await over.create({ background: true })
    expect((await over.remove(body.id)).status).toBe(200)
    expect(over.engine.running).toBe(0)
    expect((await over.get(`/v1/responses/${body.id}`)).status).toBe(404)
  })

  it('tells of its failure', async () => {
    const { create, get } = responsesOver({ steps: [{ wait: 40 }, { fail: 'nan' }] })
    const { body } = await create({ background: true })
    const failed = await until(get, body.id, 'failed')
    expect(failed.error.message).toContain('nan')
  })
})
