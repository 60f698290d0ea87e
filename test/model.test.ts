// Model folders that are broken, each told in one sentence that names the file; and where templates and defaults come from.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { ModelError, readModelFolder } from '../src/model.ts'

const root = mkdtempSync(join(tmpdir(), 'seed-models-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const CONFIG = { architectures: ['SeedOssForCausalLM'] }
let made = 0

type Files = { [name: string]: unknown }

const folder = (files: Files): string => {
  const path = join(root, `m${++made}`)
  mkdirSync(path)
  for (const [name, content] of Object.entries({ 'config.json': CONFIG, ...files }))
    if (content !== null)
      writeFileSync(
        join(path, name),
        typeof content === 'string' || content instanceof Uint8Array
          ? content
          : JSON.stringify(content)
      )
  return path
}

const sentenceOf = (path: string, chatTemplate?: string): string => {
  try {
    readModelFolder(path, chatTemplate === undefined ? {} : { chatTemplate })
  } catch (error) {
    expect(error).toBeInstanceOf(ModelError)
    return (error as Error).message
  }
  throw new Error('it was taken')
}

const prompt = (path: string, chatTemplate?: string): string =>
  readModelFolder(path, chatTemplate === undefined ? {} : { chatTemplate }).template.render({
    messages: [{ role: 'user', content: 'Hi' }],
    tools: [],
    toolChoice: 'auto',
    parallelToolCalls: true,
    budget: { tokens: -1, dialect: 'soft' },
    templateVariables: {},
    addGenerationPrompt: true,
    continueFinalMessage: false,
  }).text

describe('broken folders', () => {
  test.each<[string, Files, string, string]>([
    ['no config', { 'config.json': null }, 'config.json', 'missing'],
    ['empty config', { 'config.json': '' }, 'config.json', 'not JSON'],
    ['cut config', { 'config.json': '{"architectures": [' }, 'config.json', 'not JSON'],
    ['a list as config', { 'config.json': [] }, 'config.json', 'expected a JSON object'],
    ['bytes', { 'config.json': Uint8Array.of(0xff, 0xfe, 0) }, 'config.json', 'not UTF-8'],
    ['no architecture', { 'config.json': {} }, 'config.json', '"architectures" must be'],
    ['a number', { 'config.json': { architectures: [7] } }, 'config.json', '"architectures"'],
    [
      'another architecture',
      { 'config.json': { architectures: ['LlamaForCausalLM'] } },
      'config.json',
      'LlamaForCausalLM',
    ],
    [
      "an object's own word",
      { 'config.json': { architectures: ['constructor'] } },
      'config.json',
      'not supported',
    ],
    [
      'generation config of text',
      { 'generation_config.json': { temperature: 'hot' } },
      'generation_config.json',
      '"temperature" must be a number from 0 to 100, not "hot"',
    ],
    [
      'top_p out of range',
      { 'generation_config.json': { top_p: 2 } },
      'generation_config.json',
      'top_p',
    ],
    [
      'top_k a fraction',
      { 'generation_config.json': { top_k: 1.5 } },
      'generation_config.json',
      'top_k',
    ],
    [
      'tokenizer config',
      { 'tokenizer_config.json': 'x' },
      'tokenizer_config.json',
      'it is not JSON',
    ],
    [
      'template of a number',
      { 'tokenizer_config.json': { chat_template: 7 } },
      'tokenizer_config.json',
      'chat_template',
    ],
    [
      'no default template',
      { 'tokenizer_config.json': { chat_template: [{ name: 'rag', template: 'x' }] } },
      'tokenizer_config.json',
      '"default"',
    ],
    [
      'a template that does not parse',
      { 'chat_template.jinja': '{% for x in %}' },
      'chat_template.jinja',
      'the chat template does not compile',
    ],
    [
      'a template that fails',
      { 'chat_template.jinja': '{{ raise_exception("no") }}' },
      'chat_template.jinja',
      'the chat template does not work',
    ],
    [
      'a template bomb',
      {
        'chat_template.jinja':
          '{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}',
      },
      'chat_template.jinja',
      'the chat template does not work',
    ],
    [
      'a Git LFS pointer',
      { 'tokenizer.json': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\n' },
      'tokenizer.json',
      'git lfs pull',
    ],
  ])('%s', (_, files, file, why) => {
    const path = folder(files)
    const began = Date.now()
    const sentence = sentenceOf(path)
    expect(Date.now() - began).toBeLessThan(2000)
    expect(sentence.startsWith(join(path, file))).toBe(true)
    expect(sentence).toContain(why)
    expect(sentence).not.toContain('\n')
    expect(sentence.length).toBeLessThan(500)
  })

  test('what is no folder', () => {
    expect(sentenceOf('ByteDance-Seed/Seed-OSS-36B-Instruct')).toContain(
      'downloading models is not in yet'
    )
    expect(sentenceOf('./nowhere')).toContain('there is no such folder')
    const path = folder({ 'model.gguf': 'GGUF', 'config.json': 'x' })
    expect(sentenceOf(join(path, 'model.gguf'))).toContain('model.gguf: ends inside its header')
    expect(sentenceOf(join(path, 'config.json'))).toContain('this is another file')
  })
})

describe('templates', () => {
  const list = [
    { name: 'rag', template: 'rag' },
    { name: 'default', template: 'named' },
  ]

  test('the flag goes before chat_template.jinja before tokenizer_config.json before the stock', () => {
    const path = folder({
      'chat_template.jinja': 'file',
      'tokenizer_config.json': { chat_template: 'config' },
      'other.jinja': 'other',
    })
    expect(prompt(path, join(path, 'other.jinja'))).toBe('other')
    expect(prompt(path, '{{ messages[0].content }}')).toBe('Hi')
    expect(prompt(path)).toBe('file')
    expect(prompt(folder({ 'tokenizer_config.json': { chat_template: 'config' } }))).toBe('config')
    expect(prompt(folder({ 'tokenizer_config.json': { chat_template: list } }))).toBe('named')
    expect(prompt(folder({}))).toContain('<seed:bos>assistant')
  })

  test('a template that is no file and no template', () => {
    expect(sentenceOf(folder({}), 'nowhere.jinja')).toContain('names no file')
    expect(sentenceOf(folder({}), '{{ broken')).toMatch(
      /^--chat-template: the chat template does not compile/
    )
  })
})

test('defaults, name and special tokens', () => {
  const path = folder({
    'generation_config.json': {
      temperature: 1.1,
      top_p: 0.95,
      top_k: 0,
      do_sample: false,
      min_p: null,
    },
    'tokenizer_config.json': { bos_token: '<b>', eos_token: { content: '<e>' }, pad_token: null },
  })
  expect(readModelFolder(path)).toMatchObject({
    name: basename(path),
    architecture: 'SeedOssForCausalLM',
    defaults: { temperature: 1.1, topP: 0.95 },
    specialTokens: ['<b>', '<e>'],
  })
  expect(Object.keys(readModelFolder(path).defaults)).toEqual(['temperature', 'topP'])
})

describe('GGUF files', () => {
  const tests = new URL('../crates/engine/tests/golden-gguf/', import.meta.url)
  const file = (name: string): string => fileURLToPath(new URL(name, tests))
  const seed = 'seed_oss-00001-of-00003.gguf'

  test('say what the files of a folder say', () => {
    const model = readModelFolder(file(seed))
    expect(model.name).toBe('seed_oss')
    expect(model.family.name).toBe('seed-oss')
    expect(model.defaults).toEqual({ temperature: 1.1 })
    expect(model.specialTokens).toEqual(['<seed:bos>', '<seed:eos>'])
    expect(prompt(file(seed))).toBe('<seed:bos>user\nHi<seed:eos><seed:bos>assistant\n')
    expect(readModelFolder(file('gpt-oss.gguf')).family.name).toBe('gpt-oss')
  })

  test('that are damaged or hold another model are one sentence', () => {
    const bytes = readFileSync(file('gpt-oss.gguf'))
    const path = join(root, 'cut.gguf')
    writeFileSync(path, bytes.subarray(0, 3000))
    expect(sentenceOf(path)).toMatch(/cut\.gguf: ends inside its header/)
    writeFileSync(
      path,
      Buffer.from(bytes.toString('latin1').replace('gpt-oss', 'mamba-x'), 'latin1')
    )
    expect(sentenceOf(path)).toMatch(/architecture "mamba-x"; seed_oss and gpt-oss are supported/)
    expect(sentenceOf(file('seed_oss-00002-of-00003.gguf'))).toMatch(/give the first one/)
  })
})
