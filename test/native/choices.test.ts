// Many choices of one prompt on a random-weight model: the prompt is computed once, and each choice keeps its own seed.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

let model: ReturnType<typeof tinyModel>
let server: Running

beforeAll(async () => {
  model = tinyModel()
  const template = readFileSync(join(model.path, 'chat_template.jinja'), 'utf8')
  server = await serveFolder(model.path, template)
})

afterAll(async () => {
  await server.close()
  model.drop()
})

// Ten pages and the one token from which the first of the answer follows.
const prompt = (salt: number): number[] =>
  Array.from({ length: 161 }, (_, t) => 9 + ((t * 31 + salt) % 256))

const body = (salt: number) => ({
  model: 'tiny',
  prompt: prompt(salt),
  max_tokens: 8,
  temperature: 1,
  ignore_eos: true,
  seed: 7,
})

test('eight choices compute their prompt once', async () => {
  const before = server.engine.stats().promptTokens
  const answer = await server.client.completions.create({ ...body(1), n: 8 })
  expect(answer.choices).toHaveLength(8)
  expect(answer.usage).toMatchObject({ prompt_tokens: 161, completion_tokens: 64 })
  // The last token of the prompt is each choice's own row.
  expect(server.engine.stats().promptTokens - before).toBe(161 + 7)
})

test('seeds differ by choice and give the same texts again', async () => {
  const texts = async (fields: object): Promise<string[]> =>
    (await server.client.completions.create({ ...body(2), ...fields })).choices.map((c) => c.text)
  const first = await texts({ n: 4 })
  expect(await texts({ n: 4 })).toEqual(first)
  expect(new Set(first).size).toBe(4)
  expect(await texts({ seed: 9 })).toEqual([first[2]])
})

test('best_of shows the likeliest of what n would show', async () => {
  const all = await server.client.completions.create({ ...body(3), n: 4, logprobs: 0 })
  const mean = (values: readonly (number | null)[]): number =>
    values.reduce<number>((sum, one) => sum + (one ?? 0), 0) / values.length
  const ranked = all.choices.toSorted(
    (a, b) => mean(b.logprobs?.token_logprobs ?? []) - mean(a.logprobs?.token_logprobs ?? [])
  )
  const best = await server.client.completions.create({ ...body(3), best_of: 4 })
  expect(best.choices.map(({ text }) => text)).toEqual([ranked[0]?.text])
})
