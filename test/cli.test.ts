// The built command as people run it: exit codes, sentences, signals, and the way from a cold start to an answer.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { build, finished, killAll, launch, one, pause, ready } from './command.ts'
import { tinyModel } from './native/tiny.ts'

let model: ReturnType<typeof tinyModel>
const scratch = mkdtempSync(join(tmpdir(), 'seed-cli-'))

beforeAll(() => {
  build()
  model = tinyModel()
}, 120_000)

afterEach(killAll)

afterAll(() => {
  model.drop()
  rmSync(scratch, { recursive: true, force: true })
})

const complete = (url: string, body: object): Promise<Response> =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Hello', temperature: 0, ignore_eos: true, ...body }),
  })

describe('without a model', () => {
  test('help, version and the printed configuration', async () => {
    const help = await finished(['--help=cache'])
    expect(help).toMatchObject({ code: 0, err: '' })
    expect(help.out).toContain('--kv-cache-memory')
    expect((await finished(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/)
    expect((await finished(['help'])).out).toContain('seed-server generate')
    expect((await finished(['generate', '--help'])).out).toContain('--max-new-tokens')
    const config = await finished(['serve', '--print-config'], { SEED_PORT: '9' })
    expect(JSON.parse(config.out)).toMatchObject({ port: 9, 'max-queue': 2048 })
  })

  test.each([
    [['--max-modl-len', '9'], 2, 'unknown flag --max-modl-len; did you mean --max-model-len\\?'],
    [['sevre'], 2, 'unknown command "sevre"; did you mean "serve"\\?'],
    [['generate', '--max_new_token', '9'], 2, 'did you mean --max-new-tokens\\?'],
    [['--port', 'x'], 2, '--port: expected a whole number'],
    [['--tensor-parallel-size', '8'], 1, '--tensor-parallel-size 8'],
    [['--device', 'cuda'], 1, 'CUDA is not in yet'],
    [['./no/folder', '--port', '0'], 1, './no/folder: there is no such folder'],
    [['--port', '0', '--model', 'org/name'], 1, 'org/name: there is no such folder'],
    [['generate', '--load_in_4bit', 'True', '--quantize', 'q8_0'], 2, 'only one of --quantize'],
    [['generate', '--model_path', './nowhere'], 1, 'nowhere: there is no such folder'],
  ])('%j', async (argv, code, sentence) => {
    const end = await finished(argv)
    expect(end.err).toMatch(one(sentence))
    expect(end).toMatchObject({ code, out: '' })
  })

  test('a folder that cannot be served ends the process with one sentence that names the file', async () => {
    const path = join(scratch, 'broken')
    mkdirSync(path)
    writeFileSync(join(path, 'config.json'), '{"architectures": ["OtherForCausalLM"]}')
    const end = await finished(['--port', '0', '--log-level', 'error', path])
    expect(end.err).toMatch(one('config.json: architecture "OtherForCausalLM" is not supported'))
    expect(end.code).toBe(1)
    // Metadata is right, but there are no weights: the engine's own sentence.
    writeFileSync(join(path, 'config.json'), '{"architectures": ["SeedOssForCausalLM"]}')
    const native = await finished(['--port', '0', '--log-level', 'error', path])
    expect(native.err).toMatch(one('config.json'))
    expect(native.code).toBe(1)
  })

  test('a taken port', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port } = other.address() as { port: number }
    const end = await finished(['--log-level', 'error', '--port', String(port), model.path])
    other.close()
    expect(end.err).toMatch(one(`port ${port} on 127.0.0.1 is taken`))
    expect(end.code).toBe(1)
  })
})

describe('serving', { timeout: 60_000 }, () => {
  test('PORT is honoured, flags of recipes are noted, SIGTERM ends what runs and then the process', async () => {
    const running = launch(
      ['--model', model.path, '--served-model-name', 'tiny', 'other', '--trust-remote-code'],
      { PORT: '0' }
    )
    const url = await ready(running)
    expect(running.out()).toContain('tiny, other is ready at')
    expect(running.out()).toContain(`curl ${url}/v1/chat/completions`)
    expect(running.err()).toMatch(/^note: accepted, but without meaning here: --trust-remote-code/)
    const stream = await complete(url, { model: 'other', stream: true, max_tokens: 60 })
    expect(stream.status).toBe(200)
    running.child.kill('SIGTERM')
    const text = await stream.text()
    expect(text).toContain('"finish_reason":"length"')
    expect(text).toContain('data: [DONE]')
    expect(await running.ended).toEqual({ code: 0, signal: null })
    expect(running.err()).not.toContain('"level":"error"')
  })

  test('a second signal ends at once', async () => {
    const running = launch([
      '--port',
      '0',
      '--drain-timeout',
      '60',
      '--max-num-batched-tokens',
      '8',
      model.path,
    ])
    const url = await ready(running)
    const stream = await complete(url, { stream: true, max_tokens: 100, n: 16 })
    running.child.kill('SIGINT')
    await pause(30)
    running.child.kill('SIGINT')
    await stream.text().catch(() => 'cut')
    const { code } = await running.ended
    // The stream may have ended in between, and the process with it.
    expect([0, 130]).toContain(code)
  })

  test('a dead engine: live requests hear of it, health is 503, the process ends with 70', async () => {
    const running = launch(['--port', '0', model.path], { SEED_ENGINE_PANIC_AT_STEP: '5' })
    const url = await ready(running)
    const answer = await complete(url, { max_tokens: 60 })
    expect(answer.status).toBeGreaterThanOrEqual(500)
    await answer.text()
    expect((await fetch(`${url}/health`)).status).toBe(503)
    expect(await running.ended).toEqual({ code: 70, signal: null })
    expect(running.err()).toContain('the engine has died')
  })

  test('two models: each has its name, and the death of one leaves the other serving', async () => {
    const two = ['--model', model.path, '--served-model-name', 'one', '--model', model.path]
    const running = launch(['--port', '0', ...two, '--served-model-name', 'two', '--page-size=8'], {
      SEED_ENGINE_PANIC_AT_STEP: '5',
    })
    const url = await ready(running)
    expect(running.out()).toMatch(/^one is ready at \S+ after .*\ntwo is ready at /)
    const answer = await complete(url, { model: 'one', max_tokens: 60 })
    expect(answer.status).toBeGreaterThanOrEqual(500)
    expect((await complete(url, { model: 'one', max_tokens: 1 })).status).toBe(503)
    expect((await complete(url, { model: 'two', max_tokens: 1 })).status).toBe(200)
    const health = await fetch(`${url}/health`)
    expect(health.status).toBe(503)
    expect(await health.json()).toMatchObject({ models: [{ status: 'dead' }, { status: 'ready' }] })
    await pause(1000)
    expect(running.err()).toContain('"model":"one"')
    await complete(url, { model: 'two', max_tokens: 60 })
    expect(await running.ended).toEqual({ code: 70, signal: null })
  })

  test('an open address without a key is warned about', async () => {
    const running = launch(['--port', '0', '--host', '0.0.0.0', model.path])
    await ready(running)
    expect(running.err()).toMatch(/^warning: listening on 0\.0\.0\.0 without --api-key/)
    running.child.kill('SIGTERM')
    expect((await running.ended).code).toBe(0)
  })
})

describe('generate', { timeout: 60_000 }, () => {
  test('answers a list of prompts in order, the same each time', async () => {
    const argv = ['generate', '--model_path', model.path, '--prompts', "['one', 'two']"]
    const tail = ['--max_new_tokens', '8', '--attn_implementation', 'sdpa', '--use_cache', 'True']
    const first = await finished([...argv, ...tail])
    expect(first.code).toBe(0)
    expect(first.err).toContain('note: accepted, but without meaning here: --attn_implementation')
    expect(first.out.indexOf('user\none')).toBeGreaterThanOrEqual(0)
    expect(first.out.indexOf('user\ntwo')).toBeGreaterThan(first.out.indexOf('user\none'))
    expect((await finished([...argv, ...tail])).out).toBe(first.out)
  })

  test('a raw prompt is taken as it is', async () => {
    const argv = ['generate', '--model-path', model.path, '--raw', '--prompts', 'Once']
    const end = await finished([...argv, '--max-new-tokens', '3'])
    expect(end.code).toBe(0)
    expect(end.out.startsWith('Once')).toBe(true)
    expect(end.out.endsWith('\n')).toBe(true)
  })
})
