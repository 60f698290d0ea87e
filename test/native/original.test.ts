// OpenAI's own layout of gpt-oss from end to end: its folder answers over HTTP with the bundled vocabulary, which is the published one.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nameOf, readModelFolder } from '../../src/model.ts'
import { originalModel } from './original.ts'
import { type Running, serveFolder } from './tiny.ts'

let model: ReturnType<typeof originalModel>
let server: Running

beforeAll(async () => {
  model = originalModel()
  const { path, family } = readModelFolder(model.path)
  server = await serveFolder(path, '', {}, family)
}, 60_000)

afterAll(async () => {
  await server.close()
  model.drop()
})

test('a release of which only original/ is there is that model, by its own name', () => {
  const folder = join(model.path, 'original')
  for (const given of [model.path, folder, `${folder}/`]) {
    const { path, architecture, family } = readModelFolder(given)
    expect(path).toBe(folder)
    expect(architecture).toBe('GptOssForCausalLM')
    expect(family.name).toBe('gpt-oss')
    expect(nameOf(given)).toBe('gpt-oss-tiny')
  }
  expect(nameOf('original')).not.toBe('')
})

test('it answers in chat, the same each time, with ids of o200k_harmony', async () => {
  const ask = () =>
    server.client.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'How are you?' }],
      max_tokens: 24,
      temperature: 0,
    })
  const [first, second] = [await ask(), await ask()]
  expect(first.usage?.completion_tokens).toBeGreaterThan(0)
  expect(second.choices).toEqual(first.choices)
  expect([...(await server.engine.encodePrompt('<|start|>user<|message|>Hi<|end|>'))]).toEqual([
    200_006, 1428, 200_008, 12_194, 200_007,
  ])
  expect(server.engine.info.eosTokenIds).toEqual([199_999, 200_002, 200_012])
  expect(server.engine.info.realVocabulary).toBe(200_019)
})

test('the bundled vocabulary is the published file, token by token', () => {
  const file = new URL('../../crates/engine/src/text/o200k.bin', import.meta.url)
  const packed = inflateSync(readFileSync(file))
  const lines: string[] = []
  for (let at = 0; at < packed.length;) {
    const end = at + 1 + packed[at]!
    lines.push(`${packed.subarray(at + 1, end).toString('base64')} ${lines.length}\n`)
    at = end
  }
  expect(createHash('sha256').update(lines.join('')).digest('hex')).toBe(
    '446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d'
  )
})
