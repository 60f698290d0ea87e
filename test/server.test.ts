// A server's life in this process over a scripted engine: loading, ready, draining, dead; and the public API around it.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createNodeServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { afterAll, afterEach, expect, test } from 'vitest'
import {
  createApp,
  createServer,
  loadModel,
  loadModels,
  nodeHandler,
  type Options,
  type Server,
} from '../src/index.ts'
import { isOwnHost } from '../src/hosts.ts'
import type { Engine } from '../src/engine.ts'
import type { LoadHooks, OpenEngine } from '../src/loading.ts'
import { createLog, printable } from '../src/log.ts'
import { createProgress } from '../src/progress.ts'
import { ScriptedEngine } from './scripted.ts'

const folder = mkdtempSync(join(tmpdir(), 'seed-server-'))
writeFileSync(
  join(folder, 'config.json'),
  JSON.stringify({ architectures: ['SeedOssForCausalLM'] })
)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

const start = async (open: () => Promise<Engine>, options: Options = {}): Promise<Server> => {
  const server = await createServer({ model: folder, port: 0, ...options }, { open })
  servers.push(server)
  return server
}

const chat = (url: string, body: object = {}): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }], ...body }),
  })

const hello = () => new ScriptedEngine({ steps: ['Hello', { end: 'stop' }] })
const slow = (milliseconds: number) =>
  new ScriptedEngine({ steps: ['Hel', { wait: milliseconds }, 'lo', { end: 'stop' }] })

test('the port is open while the model loads, and health says so', async () => {
  const finish: ((engine: Engine) => void)[] = []
  const server = await start(() => new Promise((resolve) => finish.push(resolve)))
  const health = await fetch(`${server.url}/health`)
  expect(health.status).toBe(503)
  expect(await health.json()).toMatchObject({ status: 'loading' })
  expect((await chat(server.url)).status).toBe(503)
  expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  finish[0]!(hello())
  await server.ready
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
  expect((await chat(server.url)).status).toBe(200)
})

test('a load that fails rejects ready with its sentence', async () => {
  const server = await start(() => Promise.reject(new Error('model.safetensors: it is cut off')))
  await expect(server.ready).rejects.toThrow('model.safetensors: it is cut off')
  const health = await fetch(`${server.url}/health`)
  expect(health.status).toBe(503)
  expect(await health.json()).toMatchObject({ status: 'dead' })
})

const another = mkdtempSync(join(tmpdir(), 'seed-server-'))
cpSync(folder, another, { recursive: true })
afterAll(() => rmSync(another, { recursive: true, force: true }))

const both = {
  models: [
    { model: folder, servedModelName: ['one'] },
    { model: another, servedModelName: ['two'] },
  ],
}

test('models are loaded one after another, and each answers once it can', async () => {
  const finish: ((engine: Engine) => void)[] = []
  const loading: string[] = []
  const open: OpenEngine = (_, onProgress) => {
    onProgress({ phase: 'weights', done: 0.5 })
    return new Promise((resolve) => finish.push(resolve))
  }
  const onProgress: LoadHooks['onProgress'] = ({ phase }, name) => loading.push(`${name} ${phase}`)
  const server = await createServer({ ...both, port: 0 }, { open, onProgress })
  servers.push(server)
  await pause(20)
  expect(loading).toEqual(['one weights'])
  finish[0]!(hello())
  await pause(20)
  expect(loading).toEqual(['one weights', 'two weights'])
  expect((await chat(server.url, { model: 'one' })).status).toBe(200)
  expect((await chat(server.url, { model: 'two' })).status).toBe(503)
  expect((await fetch(`${server.url}/health`)).status).toBe(503)
  finish[1]!(hello())
  expect((await server.ready).map(({ names }) => names)).toEqual([['one'], ['two']])
  expect((await chat(server.url, { model: 'two' })).status).toBe(200)
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

test('a server that is closed while it loads one model serves what another has begun', async () => {
  const engines = [slow(300)]
  const open = (): Promise<Engine> => {
    const engine = engines.shift()
    return engine ? Promise.resolve(engine) : new Promise(() => {})
  }
  const server = await createServer({ ...both, port: 0 }, { open })
  await pause(20)
  const running = await chat(server.url, { model: 'one', stream: true })
  const closed = server.close({ drainMs: 5000 })
  expect(await running.text()).toContain('data: [DONE]')
  await closed
  await expect(fetch(`${server.url}/health`)).rejects.toThrow()
})

test('the death of one engine leaves the other serving, that of the last is the end', async () => {
  const engines = [hello(), hello()]
  let opened = 0
  const open = async (): Promise<Engine> => engines[opened++]!
  const server = await createServer({ ...both, port: 0 }, { open })
  servers.push(server)
  await server.ready
  let end: string | undefined
  void server.died.then((reason) => (end = reason))
  engines[0]!.dead = 'the first panicked'
  await pause(700)
  expect(end).toBeUndefined()
  expect((await chat(server.url, { model: 'one' })).status).toBe(503)
  expect((await chat(server.url, { model: 'two' })).status).toBe(200)
  engines[1]!.dead = 'the second panicked'
  expect(await server.died).toBe('the second panicked')
})

test('where one of several cannot be loaded, those before it are closed', async () => {
  const first = hello()
  let closed = 0
  first.close = async () => void (closed += 1)
  let opened = 0
  const open = async () => {
    opened += 1
    if (opened === 2) throw new Error('two is cut off')
    return first
  }
  await expect(loadModels(both, { open })).rejects.toThrow('two is cut off')
  expect(closed).toBe(1)
})

test('loaded models are one app', async () => {
  await using models = await loadModels(both, { open: async () => hello() })
  const app = createApp(models)
  const body = (await (await app.request('/v1/models')).json()) as { data: { id: string }[] }
  expect(body.data.map(({ id }) => id)).toEqual(['one', 'two'])
  await expect(loadModel(both, { open: async () => hello() })).rejects.toThrow('loadModels')
  expect(() => createApp([models[0]!, models[0]!])).toThrow(`two models answer to 'one'`)
  expect(() => createApp([])).toThrow('no model')
})

test('a taken port is told in one sentence', async () => {
  const first = await start(async () => hello())
  const port = Number(new URL(first.url).port)
  await expect(start(async () => hello(), { port })).rejects.toThrow(
    `port ${port} on 127.0.0.1 is taken; choose another with --port`
  )
  await expect(start(async () => hello(), { host: '203.0.113.7' })).rejects.toThrow('--host')
})

test('a drain answers what runs, refuses what comes, then closes', async () => {
  const server = await start(async () => slow(400))
  await server.ready
  const running = await chat(server.url, { stream: true })
  const closed = server.close({ drainMs: 5000 })
  await pause(50)
  const health = await fetch(`${server.url}/health`)
  expect(health.status).toBe(503)
  expect(await health.json()).toMatchObject({ status: 'draining' })
  expect((await chat(server.url)).status).toBe(503)
  const text = await running.text()
  expect(text).toContain('"lo"')
  expect(text).toContain('data: [DONE]')
  await closed
  await expect(fetch(`${server.url}/health`)).rejects.toThrow()
})

test('a drain ends at its time', async () => {
  const server = await start(async () => slow(60_000))
  await server.ready
  const running = await chat(server.url, { stream: true })
  const reading = running.text().catch(() => 'cut')
  const began = Date.now()
  await server.close({ drainMs: 200 })
  expect(Date.now() - began).toBeLessThan(3000)
  await reading
})

test('a dead engine is told', async () => {
  const engine = hello()
  const server = await start(async () => engine)
  await server.ready
  engine.dead = 'it panicked'
  expect(await server.died).toBe('it panicked')
  expect((await fetch(`${server.url}/health`)).status).toBe(503)
  expect((await chat(server.url)).status).toBe(503)
})

test('an engine that stands still with work to do counts as dead', async () => {
  const engine = hello()
  const stats = engine.stats()
  engine.stats = () => ({ ...stats, running: 1, beatAge: 200 })
  const server = await start(async () => engine)
  expect(await server.died).toContain('stood still for 200 seconds')
})

test('what cannot be asked for is refused before the port opens', async () => {
  await expect(start(async () => hello(), { tensorParallelSize: 2 })).rejects.toThrow(
    '--tensor-parallel-size 2'
  )
  await expect(start(async () => hello(), { device: 'cuda' })).rejects.toThrow('CUDA is not in yet')
  await expect(
    start(async () => hello(), { defaultChatTemplateKwargs: { thinking_budget: 'x' } })
  ).rejects.toThrow('thinking_budget must be a whole number')
})

test('default template variables that cannot be are found at start', async () => {
  const server = await start(async () => hello(), { defaultChatTemplateKwargs: { messages: [] } })
  await expect(server.ready).rejects.toThrow(/^--default-chat-template-kwargs: .*messages/)
})

/** Node's fetch sets Host itself, so this asks on a lower level. */
const statusWithHost = (url: string, host: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request(`${url}/health`, { headers: { host } }, (response: IncomingMessage) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })

test('pages that point their own name at a loopback server are refused', async () => {
  const server = await start(async () => hello(), { allowedHosts: ['proxy.example'] })
  await server.ready
  expect(await statusWithHost(server.url, 'evil.example')).toBe(403)
  expect(await statusWithHost(server.url, 'localhost:1')).toBe(200)
  expect(await statusWithHost(server.url, '[::1]:8000')).toBe(200)
  expect(await statusWithHost(server.url, 'proxy.example')).toBe(200)
  expect(isOwnHost('127.0.0.1.evil.example', [])).toBe(false)
  expect(isOwnHost('LOCALHOST:80', [])).toBe(true)
  expect(isOwnHost('anything', ['*'])).toBe(true)
  expect(isOwnHost('', [])).toBe(false)
})

test('a refused host still gets a request id', async () => {
  const server = await start(async () => hello())
  await server.ready
  const answer = await new Promise<IncomingMessage>((resolve) => {
    request(`${server.url}/v1/models`, { headers: { host: 'evil.example' } }, resolve).end()
  })
  expect(answer.headers['x-request-id']).toMatch(/^req_/)
  expect(((await json(answer)) as { error: { code: string } }).error.code).toBe('host_not_allowed')
})

test('a response in the background is waited for, though nobody is connected', async () => {
  const engine = slow(300)
  const server = await start(async () => engine)
  await server.ready
  const answer = await fetch(`${server.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'Hi', background: true }),
  })
  expect(((await answer.json()) as { status: string }).status).not.toBe('completed')
  await server.close({ drainMs: 5000 })
  expect(engine.requests[0]).toMatchObject({ ended: true, steps: 2 })
})

test('bytes that are no request get a 400 and the server goes on', async () => {
  const server = await start(async () => hello())
  await server.ready
  const { port } = new URL(server.url)
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(Number(port), '127.0.0.1', () =>
      socket.write('\u0016\u0003\u0001\r\n\r\n')
    )
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
  expect(answer).toMatch(/^HTTP\/1.1 400/)
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

test('a handler for Node frameworks, with a body already parsed and without', async () => {
  const model = await loadModel(
    { model: folder, servedModelName: ['m'] },
    { open: async () => hello() }
  )
  const handle = nodeHandler(createApp(model), { mount: '/llm' })
  const node = createNodeServer(async (incoming, outgoing) => {
    if (incoming.headers['x-parsed']) Object.assign(incoming, { body: await json(incoming) })
    handle(incoming, outgoing)
  })
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(node.address() as AddressInfo).port}/llm`
  for (const parsed of ['', '1']) {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-parsed': parsed },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi é' }] }),
    })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'Hello' } }] })
  }
  expect((await fetch(`${url}/v1/models`)).status).toBe(200)
  expect((await fetch(`${url}v1/models`)).status).toBe(404)
  node.close()
})

test('an embedded server ends with its block and leaves no signal handlers', async () => {
  const before = process.listenerCount('SIGTERM')
  const server = await createServer({ model: folder, port: 0 }, { open: async () => hello() })
  await server.ready
  expect(process.listenerCount('SIGTERM')).toBe(before)
  await server[Symbol.asyncDispose]()
  await expect(fetch(`${server.url}/health`)).rejects.toThrow()
})

test('log lines: JSON for machines, nothing that moves a cursor on a terminal', () => {
  const lines: string[] = []
  const sink = (isTTY: boolean) => ({ isTTY, write: (line: string) => lines.push(line) })
  createLog('info', sink(false)).info('a\nb', { key: '\u001b[2J', message: 'never' })
  createLog('warn', sink(true)).info('not written')
  createLog('warn', sink(true)).warn('a\nb', { key: '\u001b[2J' })
  expect(lines).toHaveLength(2)
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'info', message: 'a\nb', key: '\u001b[2J' })
  expect(lines[1]!.trimEnd()).not.toContain('\n')
  expect(lines[1]).not.toContain('\u001b[2J')
  expect(printable('a\u2028b')).not.toContain('\u2028')
})

test('progress is a bar on a terminal and a line now and then elsewhere', () => {
  let time = 0
  const written: string[] = []
  const write = (text: string) => written.push(text)
  const lines = createProgress({ write, isTTY: false }, () => time)
  for (; time <= 12_000; time += 100) lines.update({ phase: 'weights', done: time / 12_000 }, 'm')
  lines.end()
  expect(written).toEqual(['loading m: weights 42 %\n', 'loading m: weights 83 %\n'])
  written.length = 0
  const bar = createProgress({ write, isTTY: true }, () => time)
  bar.update({ phase: 'weights', done: 0.5 }, 'm')
  bar.end()
  expect(written[0]).toContain('50 %  m: weights')
  expect(written.at(-1)).toBe('\r\u001b[2K')
})
