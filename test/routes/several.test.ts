// Several models in one app: each request finds its own, by the name it gives, whatever the others are doing.
import { expect, test } from 'vitest'
import { createApp } from '../../src/app.ts'
import type { Lifecycle } from '../../src/served.ts'
import { ready, ScriptedEngine, silentLog, someSettings } from '../scripted.ts'
import { type Any, framesOf } from './ask.ts'

const says = (text: string, context = 4096) =>
  new ScriptedEngine({ steps: [text, { end: 'stop' }] }, context)

const two = () => {
  const engines = [says('one here', 1000), says('two here', 2000)] as const
  const lives: Lifecycle[] = [ready(engines[0], ['one', 'org/one']), ready(engines[1], ['two'])]
  const app = createApp(lives, someSettings, silentLog)
  const ask = async (path: string, body?: object) => {
    const init = { method: 'POST', body: JSON.stringify(body) }
    const headers = { 'content-type': 'application/json' }
    const response = await app.request(path, body ? { ...init, headers } : {})
    return { status: response.status, body: (await response.json()) as Any }
  }
  const chat = (model: string | null, more: object = {}) =>
    ask('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'Hi' }], ...more })
  return { engines, lives, app, ask, chat }
}

const HI = [{ role: 'user', content: 'Hi' }]

test('a request gets the model it names, by any of its names; the first where it names none', async () => {
  const { chat } = two()
  const said = async (model: string | null) => {
    const { body } = await chat(model)
    return [body.model, body.choices[0].message.content]
  }
  expect(await said('one')).toEqual(['one', 'one here'])
  expect(await said('org/one')).toEqual(['org/one', 'one here'])
  expect(await said('two')).toEqual(['two', 'two here'])
  expect(await said(null)).toEqual(['one', 'one here'])
  expect(await said('')).toEqual(['one', 'one here'])
})

test('an unknown model is 404, on every route that takes one', async () => {
  const { ask } = two()
  const bodies: [string, object][] = [
    ['/v1/chat/completions', { messages: HI }],
    ['/v1/chat/completions/render', { messages: HI }],
    ['/v1/completions', { prompt: 'Hi' }],
    ['/v1/responses', { input: 'Hi' }],
    ['/v1/responses/input_tokens', { input: 'Hi' }],
    ['/tokenize', { prompt: 'Hi' }],
    ['/detokenize', { tokens: [72] }],
  ]
  for (const [path, body] of bodies) {
    const answer = await ask(path, { model: 'three', ...body })
    expect([path, answer.status]).toEqual([path, 404])
    expect(answer.body.error).toMatchObject({ param: 'model', code: 'model_not_found' })
    expect([path, (await ask(path, { model: 'two', ...body })).status]).toEqual([path, 200])
  }
})

test('every route asks the engine of its model', async () => {
  const { ask, engines, app } = two()
  const asked = () => engines.map(({ requests }) => requests.length)
  await ask('/v1/completions', { model: 'two', prompt: 'Hi' })
  expect(asked()).toEqual([0, 1])
  await ask('/v1/responses', { model: 'one', input: 'Hi' })
  expect(asked()).toEqual([1, 1])
  const streamed = await framesOf(
    await app.request('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'two', messages: HI, stream: true }),
    })
  )
  expect(asked()).toEqual([1, 2])
  expect(new Set(streamed.chunks.map((chunk) => chunk.model))).toEqual(new Set(['two']))
  const { body } = await ask('/tokenize', { model: 'two', prompt: 'Hi' })
  expect(body.max_model_len).toBe(2000)
})

test('all are listed with their facts, and found by name', async () => {
  const { ask } = two()
  const { body } = await ask('/v1/models')
  expect(body.data.map((one: Any) => [one.id, one.root, one.max_model_len])).toEqual([
    ['one', 'one', 1000],
    ['org/one', 'one', 1000],
    ['two', 'two', 2000],
  ])
  expect((await ask('/v1/models/org/one')).body).toMatchObject({ id: 'org/one', root: 'one' })
  expect((await ask('/v1/models/two')).body.max_model_len).toBe(2000)
  expect((await ask('/v1/models/three')).status).toBe(404)
})

test('what one is going through is told of it alone', async () => {
  const { engines, lives, chat, ask } = two()
  const second = lives[1]!
  const { model } = second
  delete second.model
  Object.assign(second, { phase: 'loading', progress: 0.25 })
  expect((await chat('one')).status).toBe(200)
  const early = await chat('two')
  expect(early.status).toBe(503)
  expect(early.body.error.message).toContain(`'two' is still loading (25 %)`)
  const health = await ask('/health')
  expect(health.status).toBe(503)
  expect(health.body).toMatchObject({
    status: 'loading',
    models: [
      { id: 'one', status: 'ready' },
      { id: 'two', status: 'loading', progress: 0.25 },
    ],
  })
  expect((await ask('/v1/models')).body.data).toHaveLength(2)

  Object.assign(second, { model, phase: 'ready' })
  expect((await ask('/health')).status).toBe(200)
  engines[0].dead = 'it panicked'
  const dead = await chat('one')
  expect(dead.status).toBe(503)
  expect(dead.body.error.message).toContain(`'one' has stopped: it panicked`)
  expect((await chat('two')).status).toBe(200)
  const sick = await ask('/health')
  expect(sick.status).toBe(503)
  expect(sick.body).toMatchObject({ status: 'dead', detail: 'it panicked' })
  // A restart would end the one that serves.
  expect((await ask('/livez')).status).toBe(200)
  engines[1].dead = 'it panicked too'
  expect((await ask('/livez')).status).toBe(503)
})

test('the log says which model a request was for', async () => {
  const lines: object[] = []
  const log = { ...silentLog, debug: (_: string, fields = {}) => void lines.push(fields) }
  const app = createApp([ready(says('x'), ['one', 'uno'])], someSettings, log)
  const headers = { 'content-type': 'application/json' }
  const body = JSON.stringify({ model: 'uno', messages: HI })
  await app.request('/v1/chat/completions', { method: 'POST', headers, body })
  await app.request('/v1/models')
  expect(lines[0]).toMatchObject({ model: 'one', status: 200, path: '/v1/chat/completions' })
  expect(lines[1]).not.toHaveProperty('model')
})

test('a stored response goes on with its model, or with the other where that is named', async () => {
  const { ask, engines } = two()
  const first = (await ask('/v1/responses', { model: 'two', input: 'Hi' })).body
  expect(first.model).toBe('two')
  const previous_response_id = first.id
  const again = (await ask('/v1/responses', { previous_response_id, input: 'More' })).body
  expect(again).toMatchObject({ model: 'two', output: [{ content: [{ text: 'two here' }] }] })
  const other = await ask('/v1/responses', { model: 'one', previous_response_id, input: 'More' })
  expect(other.body.output[0].content[0].text).toBe('one here')
  const told = engines[0].decode(engines[0].requests[0]!.request.prompt)
  expect(told).toContain('two here')
})
