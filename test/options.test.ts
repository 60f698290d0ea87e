// Options from flags, environment and file; each mistake names its source and each unknown name its neighbour.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { promptsIn } from '../src/cli/prompts.ts'
import { modelsOf } from '../src/loading.ts'
import { GROUPS, MEANINGLESS, PER_MODEL, SERVE } from '../src/options.ts'
import { configText, flagTable, helpText } from '../src/options/help.ts'
import { counted } from '../src/options/kinds.ts'
import { readOptions, withDefaults } from '../src/options/read.ts'
import { kebab, nearest, UsageError, variable } from '../src/options/schema.ts'

const folder = mkdtempSync(join(tmpdir(), 'seed-options-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const read = (argv: string[], env: { [name: string]: string } = {}) =>
  readOptions(SERVE, {
    argv,
    env,
    meaningless: MEANINGLESS,
    positional: 'model',
    sections: { opens: 'model', own: PER_MODEL, into: 'models' },
  })

const file = (content: unknown): string => {
  const path = join(folder, `${Math.random()}.json`)
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

describe('flags', () => {
  test('the command line of the Seed-OSS README is taken whole', () => {
    const { values, notes } = read(
      (
        '--host localhost --port 4321 --enable-auto-tool-choice --tool-call-parser seed_oss ' +
        '--trust-remote-code --model ./Seed-OSS-36B-Instruct --chat-template ./t.jinja ' +
        '--tensor-parallel-size 1 --dtype bfloat16 --served-model-name seed_oss other'
      ).split(' ')
    )
    expect(values).toMatchObject({
      host: 'localhost',
      port: 4321,
      toolCallParser: 'seed_oss',
      model: './Seed-OSS-36B-Instruct',
      chatTemplate: './t.jinja',
      tensorParallelSize: 1,
      dtype: 'bfloat16',
      servedModelName: ['seed_oss', 'other'],
    })
    expect(notes).toHaveLength(1)
    expect(notes[0]).toContain('--trust-remote-code')
    expect(notes[0]).toContain('--enable-auto-tool-choice')
  })

  test.each([
    [['--max-model-len', '32K'], 'maxModelLen', 32768],
    [['--max-model-len=1k'], 'maxModelLen', 1000],
    [['--max_model_len', '1.5K'], 'maxModelLen', 1536],
    [['--kv-cache-memory', '2GiB'], 'kvCacheMemory', { bytes: 2 ** 31 }],
    [['--kv-cache-memory', '80%'], 'kvCacheMemory', { part: 0.8 }],
    [['--thinking-budget', '-1'], 'thinkingBudget', -1],
    [['--no-prefix-caching'], 'prefixCaching', false],
    [['--no-enable-prefix-caching'], 'prefixCaching', false],
    [['--prefix-caching=false'], 'prefixCaching', false],
    [['--return-tokens-as-token-ids'], 'returnTokensAsTokenIds', true],
    [['--block-size', '32'], 'pageSize', 32],
    [['--api-key', 'a', '--api-key', 'b'], 'apiKey', ['a', 'b']],
    [['--allowed-origins', '["https://a.example"]'], 'allowedOrigins', ['https://a.example']],
    [['--default-chat-template-kwargs', '{"a":[1]}'], 'defaultChatTemplateKwargs', { a: [1] }],
    [['./folder'], 'model', './folder'],
    [['--port', '1', '--port', '2'], 'port', 2],
    [['--dtype', 'half'], 'dtype', 'float16'],
    [['--current-date', '2024-02-29'], 'currentDate', '2024-02-29'],
    [['--sse-keep-alive-interval', '2.5'], 'sseKeepAliveInterval', 2.5],
  ])('%j', (argv, key, value) => {
    expect(read(argv).values).toHaveProperty(key as string, value)
  })

  test.each([
    [['--max-modl-len', '1'], 'unknown flag --max-modl-len; did you mean --max-model-len?'],
    [['--served-model', 'x'], 'did you mean --served-model-name?'],
    [['--xyzzy-frobnicate'], 'unknown flag --xyzzy-frobnicate; see --help'],
    [['-p', '1'], 'unknown flag -p'],
    [['--port', 'abc'], '--port: expected a whole number from 0 to 65535, got "abc"'],
    [['--port', '65536'], '--port: expected'],
    [['--port'], '--port needs a value'],
    [['--port', '--host', 'x'], '--port needs a value'],
    [['--max-num-seqs', '0'], '--max-num-seqs: expected a whole number from 1'],
    [['--max-num-seqs', '1.5'], '--max-num-seqs: expected a whole number'],
    [['--kv-cache-memory', '0%'], '--kv-cache-memory: expected a size such as 2GiB or 80%'],
    [['--kv-cache-memory', '-1G'], '--kv-cache-memory: expected a size'],
    [['--current-date', '2025-02-29'], '--current-date: expected a day such as 2026-03-07'],
    [['--current-date', 'today'], '--current-date: expected a day'],
    [['--dtype', 'int4'], '--dtype: expected one of auto, bfloat16, float16, float32'],
    [
      ['--tool-call-parser', 'hermes'],
      'expected one of auto, seed_oss, gpt_oss, none, got "hermes"',
    ],
    [['--default-chat-template-kwargs', '[]'], 'expected a JSON object'],
    [['--default-chat-template-kwargs', '{'], 'expected JSON, got "{"'],
    [['--api-key', ''], '--api-key: expected text'],
    [['--no-port'], '--port cannot be turned off'],
    [['one', 'two'], '"two" belongs to no flag'],
    [['--enable-force-include-usage=maybe'], 'expected true or false, got "maybe"'],
  ])('%j is refused', (argv, sentence) => {
    expect(() => read(argv)).toThrow(UsageError)
    expect(() => read(argv)).toThrow(sentence)
  })

  test('a flag without meaning takes its value with it', () => {
    const { values, notes } = read(['--gpu-memory-utilization', '0.9', '--port', '9'])
    expect(values.port).toBe(9)
    expect(notes[0]).toContain('--gpu-memory-utilization')
  })

  test('help and version are seen before mistakes elsewhere can matter', () => {
    expect(read(['--help'], { SEED_PORT: 'x' }).help).toBe('')
    expect(read(['--help=cache']).help).toBe('cache')
    expect(read(['--version']).version).toBe(true)
  })
})

describe('sources', () => {
  test('flag before SEED_ before PORT before file before default', () => {
    const path = file({ port: 1, host: 'file', 'max-num-seqs': 3, maxQueue: '1K' })
    expect(read(['--config', path]).values).toMatchObject({
      port: 1,
      host: 'file',
      maxNumSeqs: 3,
      maxQueue: 1024,
      pageSize: 16,
    })
    const env: { [name: string]: string } = { SEED_CONFIG: path, PORT: '2' }
    expect(read([], env).values.port).toBe(2)
    expect(read([], { ...env, SEED_PORT: '3' }).values.port).toBe(3)
    expect(read(['--port', '4'], { ...env, SEED_PORT: '3' }).values.port).toBe(4)
  })

  test('HOST counts only where it is an address', () => {
    expect(read([], { HOST: '0.0.0.0' }).values.host).toBe('0.0.0.0')
    expect(read([], { HOST: 'x86_64-linux-gnu' }).values.host).toBe('127.0.0.1')
  })

  test('keys are parted by commas in the environment, an empty variable is none', () => {
    expect(read([], { SEED_API_KEY: 'a, b' }).values.apiKey).toEqual(['a', 'b'])
    expect(read([], { SEED_API_KEY: '' }).values.apiKey).toBeUndefined()
    expect(read([], { SEED_PREFIX_CACHING: 'off' }).values.prefixCaching).toBe(false)
  })

  test('mistakes name their source', () => {
    expect(() => read([], { SEED_PORT: 'abc' })).toThrow('SEED_PORT: expected a whole number')
    expect(() => read([], { PORT: 'abc' })).toThrow('PORT: expected a whole number')
    const wrong = file({ port: 'abc' })
    expect(() => read(['--config', wrong])).toThrow(`${wrong}: "port": expected a whole number`)
    const unknown = file({ prot: 1 })
    expect(() => read(['--config', unknown])).toThrow(
      `${unknown}: unknown option "prot"; did you mean "port"?`
    )
    expect(() => read(['--config', file('{')])).toThrow(UsageError)
    expect(() => read(['--config', file([])])).toThrow('expected a JSON object of options')
    expect(() => read(['--config', join(folder, 'none.json')])).toThrow('none.json')
  })

  test('a variable that means nothing is noted', () => {
    expect(read([], { SEED_MAX_MODELLEN: '1' }).notes[0]).toContain('SEED_MAX_MODEL_LEN')
    expect(read([], { SEED_NATIVE: '/x.node' }).notes).toEqual([])
  })

  test('options of a program are checked the same', () => {
    expect(withDefaults(SERVE, { kvCacheMemory: '1GiB' }).kvCacheMemory).toEqual({ bytes: 2 ** 30 })
    expect(withDefaults(SERVE, { port: 0, model: undefined })).toMatchObject({ port: 0 })
    expect(() => withDefaults(SERVE, { port: 1.5 })).toThrow('port: expected a whole number')
    expect(() => withDefaults(SERVE, { modle: 'x' })).toThrow('did you mean model?')
  })
})

describe('several models', () => {
  const both = (
    '--dtype float32 --model A --served-model-name a b --no-prefix-caching ' +
    '--model B --max-model-len 8K --port 9 --kv-cache-memory 1GiB'
  ).split(' ')

  test('what stands behind a --model is its own, what stands before is for all', () => {
    const { values } = read(both)
    expect(values.models).toEqual([
      { model: 'A', servedModelName: ['a', 'b'], prefixCaching: false },
      { model: 'B', maxModelLen: 8192, kvCacheMemory: { bytes: 2 ** 30 } },
    ])
    expect(values).toMatchObject({ dtype: 'float32', port: 9, prefixCaching: true })
    expect(values.model).toBeUndefined()
    expect(modelsOf(values)).toMatchObject([
      { model: 'A', dtype: 'float32', prefixCaching: false, pageSize: 16 },
      { model: 'B', dtype: 'float32', prefixCaching: true, maxModelLen: 8192 },
    ])
  })

  test('of one, the place of an option does not matter', () => {
    const { values } = read(['--served-model-name=a', './A', '--served-model-name', 'b'])
    expect(values).toMatchObject({ model: './A', servedModelName: ['a', 'b'] })
    expect(values.models).toBeUndefined()
  })

  test('a file and the environment list them, in any spelling', () => {
    const models = ['A', { model: 'B', 'max-model-len': '8K', servedModelName: 'b' }]
    const wanted = [{ model: 'A' }, { model: 'B', maxModelLen: 8192, servedModelName: ['b'] }]
    expect(read(['--config', file({ models })]).values.models).toEqual(wanted)
    expect(read([], { SEED_MODELS: JSON.stringify(models) }).values.models).toEqual(wanted)
    expect(withDefaults(SERVE, { models }).models).toEqual(wanted)
  })

  test('the source that goes first says what is served', () => {
    const config = file({ models: ['A', 'B'], dtype: 'float32' })
    const { values } = read(['--config', config, '--model', 'C'])
    expect(values).toMatchObject({ model: 'C', models: undefined, dtype: 'float32' })
    const env = { SEED_MODEL: 'D' }
    expect(read(['--models', '["E"]'], env).values).toMatchObject({ models: [{ model: 'E' }] })
    expect(read(['--models', '["E"]'], env).values.model).toBeUndefined()
    expect(read(['--config', config], env).values).toMatchObject({ model: 'D', models: undefined })
  })

  test('what they print reads back as itself', () => {
    const { values } = read(both)
    const again = read(['--config', file(configText(SERVE, values))]).values
    expect({ ...again, config: undefined }).toEqual(values)
  })

  test.each([
    [{ models: [] }, '"models": expected a list'],
    [{ models: [{ dtype: 'auto' }] }, 'an object that has "model"'],
    [{ models: ['A', { model: 'B', port: 1 }] }, '"models": unknown option "port"'],
    [{ models: [{ model: 'A', dtype: 'int4' }] }, '"models": "dtype": expected one of'],
  ])('%j is refused', (json, sentence) => {
    expect(() => read(['--config', file(json)])).toThrow(sentence)
  })

  test('two that cannot be told apart are refused', () => {
    const named = (...argv: string[]) => modelsOf(read(argv).values)
    expect(() => named('--model', 'x/A', '--model', 'y/A')).toThrow(`two models answer to 'A'`)
    expect(() => named('--served-model-name', 'a', '--model', 'A', '--model', 'B')).toThrow(
      'give each a name of its own'
    )
    expect(() => named('--model', 'A', '--models', '["B"]')).toThrow('--model and --models')
  })
})

describe('what people read', () => {
  test('help shows every flag once, and one group where asked', () => {
    const all = helpText(SERVE, GROUPS, 'head')
    for (const key of Object.keys(SERVE))
      expect(all).toMatch(new RegExp(`--(no-)?${kebab(key)}\\b`))
    const cache = helpText(SERVE, GROUPS, 'head', 'cache')
    expect(cache).toContain('--kv-cache-memory')
    expect(cache).not.toContain('--port')
    expect(() => helpText(SERVE, GROUPS, 'head', 'cahce')).toThrow('did you mean --help=cache?')
  })

  test('every flag has a group, a sentence and a row', () => {
    const table = flagTable(SERVE)
    for (const [key, { group, help }] of Object.entries(SERVE)) {
      expect(Object.keys(GROUPS)).toContain(group)
      expect(help.length).toBeGreaterThan(10)
      expect(table).toMatch(new RegExp(`\`--(no-)?${kebab(key)}`))
    }
  })

  test('the printed configuration reads back as itself, without keys', () => {
    const argv = ['--api-key', 'secret', '--kv-cache-memory', '80%', '--max-model-len', '4K']
    const { values } = read(argv)
    const text = configText(SERVE, values)
    expect(text).not.toContain('secret')
    const again = read(['--config', file(text)]).values
    expect({ ...again, config: undefined }).toEqual({ ...values, apiKey: undefined })
  })

  test('names', () => {
    expect(variable('maxModelLen')).toBe('SEED_MAX_MODEL_LEN')
    expect(nearest('prot', ['port', 'host'])).toBe('port')
    expect(nearest('zzzzzzzz', ['port', 'host'])).toBeUndefined()
    expect(counted('9007199254740993')).toBeUndefined()
    expect(counted('1e3')).toBeUndefined()
    expect(counted('0x10')).toBeUndefined()
  })
})

describe('prompts of generate', () => {
  test.each([
    ['How to make pasta?', ['How to make pasta?']],
    [`['a', 'b']`, ['a', 'b']],
    [`['it\\'s', "b\\n"]`, ["it's", 'b\n']],
    [`["a", "b\\u00e9"]`, ['a', 'bé']],
    [`['a',]`, ['a']],
    [`[1, 2] is a list`, ['[1, 2] is a list']],
    [`[1, 2]`, ['[1, 2]']],
    [`['a' 'b']`, [`['a' 'b']`]],
    [`[]`, ['[]']],
    [`['a, 'b']`, [`['a, 'b']`]],
  ])('%s', (written, prompts) => {
    expect(promptsIn(written)).toEqual(prompts)
  })
})
