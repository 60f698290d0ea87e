// What surrounds every route: keys, bodies, phases, ids, paths and origins.
import { describe, expect, it } from 'vitest'
import { appOver } from './ask.ts'

const script = { steps: ['ok'] }
const chatBody = { messages: [{ role: 'user', content: 'Hi' }] }
const FOUR = ['message', 'type', 'param', 'code']

const bearing = (key: string): RequestInit => ({ headers: { authorization: `Bearer ${key}` } })

const preflight = (app: ReturnType<typeof appOver>['app'], origin: string) =>
  app.request('/v1/chat/completions', {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST' },
  })

describe('keys', () => {
  const { get, post, send, engine } = appOver(script, { apiKeys: ['one', 'two'] })

  it('guard everything but the probes', async () => {
    for (const path of [
      '/v1/models',
      '/version',
      '/v1/nothing',
      '/health/../v1/models',
      '/metrics',
    ]) {
      // oxlint-disable-next-line no-await-in-loop
      const { status, body, headers } = await get(path)
      expect(status).toBe(401)
      expect(body.error).toMatchObject({ code: 'invalid_api_key' })
      expect(headers.get('www-authenticate')).toBe('Bearer')
      expect(headers.get('x-request-id')).toBeTruthy()
    }
    for (const path of ['/health', '/readyz', '/ping', '/livez'])
      // oxlint-disable-next-line no-await-in-loop
      expect((await get(path)).status).toBe(200)
  })

  it('are taken in any case of bearer, and no other is', async () => {
    for (const authorization of ['Bearer one', 'bearer two', 'BEARER  two'])
      // oxlint-disable-next-line no-await-in-loop
      expect((await get('/v1/models', { headers: { authorization } })).status).toBe(200)
    for (const authorization of ['Bearer three', 'Bearer', 'Basic one', 'one', 'Bearer one two'])
      // oxlint-disable-next-line no-await-in-loop
      expect((await get('/v1/models', { headers: { authorization } })).status).toBe(401)
  })

  it('are asked for before the body is read', async () => {
    let pulled = false
    const body = new ReadableStream(
      {
        pull(controller) {
          pulled = true
          controller.error(new Error('read'))
        },
      },
      { highWaterMark: 0 }
    )
    const response = await send('/v1/chat/completions', '', { body, duplex: 'half' } as RequestInit)
    expect(response.status).toBe(401)
    expect(pulled).toBe(false)
  })

  it('keep tenants and their caches apart', async () => {
    await post('/v1/chat/completions', chatBody, bearing('one'))
    await post('/v1/chat/completions', { ...chatBody, cache_salt: 's' }, bearing('two'))
    expect(engine.requests.map(({ request }) => [request.tenant, request.cacheSalt])).toEqual([
      [0, '0:'],
      [1, '1:s'],
    ])
  })
})

describe('bodies', () => {
  const { post, send } = appOver(script, { maxBody: 5000 })
  const path = '/v1/chat/completions'
  const bad: [name: string, body: string | Uint8Array, message: RegExp][] = [
    ['empty', '', /empty/],
    ['broken', '{"messages": [', /not valid JSON/],
    ['trailing', '{} {}', /not valid JSON/],
    ['NaN', '{"temperature": NaN}', /not valid JSON/],
    ['an array', '[]', /must be an object/],
    ['null', 'null', /must be an object/],
    ['deep', `{"a":${'['.repeat(200)}${']'.repeat(200)}}`, /64 levels/],
    ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /UTF-8/],
    ['with a BOM', '\uFEFF{}', /not valid JSON/],
    ['UTF-16', new Uint8Array(Buffer.from('{}', 'utf16le')), /not valid JSON/],
  ]
  it.each(bad)('%s are 400', async (_, body, message) => {
    const response = await send(path, '', { body } as RequestInit)
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as { error: { message: string } }
    expect(error.message).toMatch(message)
    expect(Object.keys(error)).toEqual(FOUR)
  })

  it('of another type are 415; one of no type is let through', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
      // oxlint-disable-next-line no-await-in-loop
      expect((await post(path, chatBody, { headers: { 'content-type': type } })).status).toBe(415)
    for (const type of ['application/json; charset=utf-8', 'Application/JSON'])
      // oxlint-disable-next-line no-await-in-loop
      expect((await post(path, chatBody, { headers: { 'content-type': type } })).status).toBe(200)
    expect((await post(path, chatBody, { headers: { 'content-encoding': 'gzip' } })).status).toBe(
      415
    )
  })

  it('too large are 413, declared or counted', async () => {
    const { status, body } = await post(path, { ...chatBody, user: 'x'.repeat(6000) })
    expect(status).toBe(413)
    expect(body.error.code).toBe('request_too_large')
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1000).fill(32)),
    })
    const response = await send(path, '', { body: endless, duplex: 'half' } as RequestInit)
    expect(response.status).toBe(413)
  })

  it('of endless wrong values are refused before each is looked at', async () => {
    const { post: take } = appOver(script, { maxBody: 1 << 25 })
    const begun = performance.now()
    const messages = Array.from({ length: 300_000 }, () => 1)
    const { status, body } = await take(path, { messages })
    expect(status).toBe(400)
    expect(body.error.message).toContain('250000 values')
    expect((await take('/detokenize', { tokens: messages })).body.error.param).toBe('tokens')
    expect(performance.now() - begun).toBeLessThan(5000)
  })

  it('never come back by the megabyte', async () => {
    const { body } = await post(path, { ...chatBody, reasoning_effort: 7, model: 'm'.repeat(4000) })
    expect(JSON.stringify(body).length).toBeLessThan(1500)
  })
})

describe('phases', () => {
  it('while loading, draining and dead, work is 503 with Retry-After', async () => {
    for (const phase of ['loading', 'draining', 'dead'] as const) {
      const { get, chat } = appOver(script, {}, { phase, progress: 0.5, detail: 'why' })
      // oxlint-disable-next-line no-await-in-loop
      const [health, answer, models] = await Promise.all([
        get('/health'),
        chat(),
        get('/v1/models'),
      ])
      expect(health.status).toBe(503)
      expect(health.body.status).toBe(phase)
      expect(answer.status).toBe(503)
      expect(answer.headers.get('retry-after')).toBe('5')
      expect(Object.keys(answer.body.error)).toEqual(FOUR)
      expect(models.status).toBe(503)
      // oxlint-disable-next-line no-await-in-loop
      expect((await get('/livez')).status).toBe(phase === 'dead' ? 503 : 200)
    }
  })

  it('an engine that died is not ready and not alive', async () => {
    const { get, chat, engine } = appOver(script)
    engine.dead = 'panicked'
    expect((await get('/health')).body).toMatchObject({ status: 'dead', detail: 'panicked' })
    expect((await get('/livez')).status).toBe(503)
    expect((await chat()).status).toBe(503)
  })
})

describe('paths', () => {
  const { app, get } = appOver(script, { rootPath: '/seed' })

  it('answer with and without the root path', async () => {
    expect((await get('/seed/v1/models')).status).toBe(200)
    expect((await get('/seed/v1/models/')).status).toBe(200)
    expect((await get('/v1/models')).status).toBe(200)
    expect((await get('/seedy/v1/models')).status).toBe(404)
  })

  it('unknown are 404, known with another method 405', async () => {
    const unknown = await get('/v1/nothing')
    expect(unknown.body.error).toMatchObject({ code: 'not_found', param: null })
    const wrong = await get('/v1/chat/completions')
    expect(wrong.status).toBe(405)
    expect(wrong.headers.get('allow')).toBe('POST')
    expect((await app.request('/v1/models', { method: 'DELETE' })).status).toBe(405)
    expect((await app.request('/v1/models', { method: 'HEAD' })).status).toBe(200)
  })

  it('of models hold slashes, raw and encoded', async () => {
    for (const path of ['/v1/models/seed/toy', '/v1/models/seed%2Ftoy', '/v1/models/toy']) {
      // oxlint-disable-next-line no-await-in-loop
      const { status, body } = await get(path)
      expect(status).toBe(200)
      expect(body).toMatchObject({ object: 'model', created: 1_750_000_000, max_model_len: 4096 })
    }
    const { status, body } = await get('/v1/models/no/such')
    expect(status).toBe(404)
    expect(body.error).toMatchObject({ code: 'model_not_found', param: 'model' })
  })

  it('tell the models and the version', async () => {
    expect((await get('/v1/models')).body).toMatchObject({
      object: 'list',
      data: [{ id: 'seed/toy' }, { id: 'toy' }],
    })
    expect((await get('/version')).body).toEqual({ version: '0.0.0-test' })
  })
})

describe('a request', () => {
  it('for a model not served is 404, by any of its names 200', async () => {
    const { chat } = appOver(script)
    const { status, body } = await chat({ model: 'gpt-5' })
    expect(status).toBe(404)
    expect(body.error).toMatchObject({ code: 'model_not_found', param: 'model' })
    expect((await chat({ model: 'toy' })).body.model).toBe('toy')
  })

  it('keeps its id where it is one', async () => {
    const { get } = appOver(script)
    const id = async (given: string) =>
      (await get('/version', { headers: { 'x-request-id': given } })).headers.get('x-request-id')
    expect(await id('abc-1.2:3')).toBe('abc-1.2:3')
    expect(await id('a b"c')).toMatch(/^req_/)
    expect(await id('x'.repeat(200))).toMatch(/^req_/)
  })

  it('from another origin is allowed only where configured', async () => {
    const closed = appOver(script).app
    const open = appOver(script, { allowedOrigins: ['http://a.example'], apiKeys: ['k'] }).app
    const allowed = 'access-control-allow-origin'
    expect((await preflight(closed, 'http://a.example')).headers.get(allowed)).toBe(null)
    const answer = await preflight(open, 'http://a.example')
    expect(answer.status).toBe(204)
    expect(answer.headers.get(allowed)).toBe('http://a.example')
    expect((await preflight(open, 'http://b.example')).headers.get(allowed)).toBe(null)
  })

  it('that hits a bug of ours is a 500 that tells nothing', async () => {
    const { chat, engine } = appOver(script)
    engine.encodePieces = () => Promise.reject(new Error('secret'))
    const { status, body } = await chat()
    expect(status).toBe(500)
    expect(JSON.stringify(body)).not.toContain('secret')
    expect(body.error).toMatchObject({ type: 'server_error', param: null })
  })
})
