// The whole way through on a random-weight model: socket → app → engine → stream, with the real `openai` client.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

let model: ReturnType<typeof tinyModel>
let server: Running
const rejections: unknown[] = []

beforeAll(async () => {
  process.on('unhandledRejection', (reason) => rejections.push(reason))
  model = tinyModel()
  const template = readFileSync(join(model.path, 'chat_template.jinja'), 'utf8')
  server = await serveFolder(model.path, template)
})

afterAll(async () => {
  await server.close()
  model.drop()
  expect(rejections).toEqual([])
})

const idle = async (): Promise<void> => {
  for (let n = 0; n < 200; n++) {
    const stats = server.engine.stats()
    if (stats.pagesUsed === 0 && stats.running === 0 && stats.waiting === 0) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(server.engine.stats()).toMatchObject({ pagesUsed: 0, running: 0, waiting: 0 })
}

const prompt = (n: number): number[] =>
  Array.from({ length: 5 + ((n * 7) % 50) }, (_, t) => 9 + ((t * 31 + n * 17) % 256))

const completion = (n: number) => ({
  model: 'tiny',
  prompt: prompt(n),
  max_tokens: 60,
  temperature: 0,
  ignore_eos: true,
  return_token_ids: true,
})

test('32 concurrent streams with random aborts: every survivor equals its solo run', async () => {
  const solo: string[] = []
  for (let n = 0; n < 32; n++) {
    const answer = await server.client.completions.create(completion(n))
    solo.push(answer.choices[0]?.text ?? '')
  }
  const streams = Array.from({ length: 32 }, async (_, n) => {
    const stream = await server.client.completions.create({ ...completion(n), stream: true })
    let text = ''
    let chunks = 0
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? ''
      if (n % 3 === 0 && ++chunks === 1 + (n % 20)) {
        stream.controller.abort()
        return { n, text, aborted: true }
      }
    }
    return { n, text, aborted: false }
  })
  const results = await Promise.all(streams)
  for (const { n, text, aborted } of results) {
    if (aborted) expect(solo[n]?.startsWith(text)).toBe(true)
    else expect(text).toBe(solo[n])
  }
  expect(results.filter((r) => !r.aborted).length).toBeGreaterThanOrEqual(21)
  await idle()
}, 120_000)

test.each([0, 1, 64])(
  'thinking_budget %i bounds the reasoning of random weights',
  async (budget) => {
    const answer = await server.client.chat.completions.create({
      model: 'tiny',
      messages: [{ role: 'user', content: 'hi' }],
      max_tokens: 400,
      temperature: 1,
      seed: 5,
      // Random weights rarely open a thought; the bias makes sure that one opens when it may.
      logit_bias: { '3': 20, '4': -100, '2': -100 },
      chat_template_kwargs: { thinking_budget: budget },
    } as never)
    const details = answer.usage?.completion_tokens_details
    // The closing sentence is a byte-level text here, so it is far longer than in a real tokenizer.
    const closing = 150
    const reasoning = details?.reasoning_tokens ?? -1
    if (budget === 0) expect(reasoning).toBe(0)
    else {
      expect(reasoning).toBeGreaterThanOrEqual(budget)
      expect(reasoning).toBeLessThanOrEqual(budget + closing)
    }
    expect(answer.choices[0]?.message.content?.length).toBeGreaterThan(0)
  }
)

test('without a budget a thought runs to the token limit', async () => {
  const answer = await server.client.chat.completions.create({
    model: 'tiny',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 300,
    temperature: 1,
    seed: 5,
    logit_bias: { '3': 20, '4': -100, '2': -100 },
  } as never)
  const reasoning = answer.usage?.completion_tokens_details?.reasoning_tokens ?? 0
  expect(reasoning).toBeGreaterThan(250)
  expect(answer.choices[0]?.finish_reason).toBe('length')
})

test('a seeded answer is the same again, streamed and plain', async () => {
  const body = {
    model: 'tiny',
    messages: [{ role: 'user' as const, content: 'tell me' }],
    max_tokens: 80,
    temperature: 0.9,
    seed: 11,
  }
  const plain = await server.client.chat.completions.create(body)
  const again = await server.client.chat.completions.create(body)
  const fields = (m: { content: string | null; reasoning?: string | null } | undefined) => [
    m?.content ?? '',
    m?.reasoning ?? '',
  ]
  expect(fields(again.choices[0]?.message)).toEqual(fields(plain.choices[0]?.message))
  const streamed = ['', '']
  for await (const chunk of await server.client.chat.completions.create({
    ...body,
    stream: true,
  })) {
    const delta = chunk.choices[0]?.delta as { content?: string; reasoning?: string } | undefined
    streamed[0] += delta?.content ?? ''
    streamed[1] += delta?.reasoning ?? ''
  }
  expect(streamed).toEqual(fields(plain.choices[0]?.message))
})

test('echo with logprobs scores a prompt from outside', async () => {
  const answer = await server.client.completions.create({
    model: 'tiny',
    prompt: prompt(3),
    max_tokens: 0,
    echo: true,
    logprobs: 2,
  })
  const logprobs = answer.choices[0]?.logprobs
  expect(logprobs?.token_logprobs).toHaveLength(prompt(3).length)
  expect(logprobs?.token_logprobs?.[0]).toBeNull()
  expect(logprobs?.token_logprobs?.slice(1).every((l) => typeof l === 'number' && l <= 0)).toBe(
    true
  )
})

test('the scores of a prompt are the same beside an answer, and streamed', async () => {
  const body = { model: 'tiny', prompt: prompt(3), echo: true, logprobs: 2, temperature: 0 }
  const create = server.client.completions.create.bind(server.client.completions)
  const alone = (await create({ ...body, max_tokens: 0 })).choices[0]?.logprobs
  const beside = (await create({ ...body, max_tokens: 3 })).choices[0]?.logprobs
  const length = prompt(3).length
  expect(beside?.token_logprobs?.slice(0, length)).toEqual(alone?.token_logprobs)
  expect(beside?.token_logprobs).toHaveLength(length + 3)
  const streamed: (number | null)[] = []
  for await (const chunk of await create({ ...body, max_tokens: 3, stream: true }))
    streamed.push(...(chunk.choices[0]?.logprobs?.token_logprobs ?? []))
  expect(streamed).toEqual(beside?.token_logprobs)
})

test('named tokens are scored beside the chosen one, alike in completions and chat, whole and streamed', async () => {
  const named = [20, 230, 9, 20]
  const asked = { temperature: 0, max_tokens: 3, return_tokens_as_token_ids: true }
  const body = { model: 'tiny', prompt: prompt(3), ...asked }
  const create = server.client.completions.create.bind(server.client.completions)
  const scores = { ...body, logprobs: 0, logprob_token_ids: named, return_token_ids: true }
  const whole = (await create(scores)).choices[0]?.logprobs
  expect(whole?.top_logprobs).toHaveLength(3)
  for (const [n, top] of whole!.top_logprobs!.entries()) {
    const ids = [...named.map((id) => `token_id:${id}`), whole!.tokens![n]!]
    expect(new Set(Object.keys(top))).toEqual(new Set(ids))
    expect(top[whole!.tokens![n]!]).toBe(whole!.token_logprobs![n])
  }
  const streamed: { [token: string]: number }[] = []
  for await (const chunk of await create({ ...scores, stream: true }))
    streamed.push(...(chunk.choices[0]?.logprobs?.top_logprobs ?? []))
  expect(streamed).toEqual(whole?.top_logprobs)
  // Naming what the best are anyway gives what the best were given.
  const best = (await create({ ...body, logprobs: 4, max_tokens: 1 })).choices[0]?.logprobs
  const ids = Object.keys(best!.top_logprobs![0]!).map((token) => Number(token.slice(9)))
  const again = { ...body, logprobs: 0, logprob_token_ids: ids, max_tokens: 1 }
  expect((await create(again)).choices[0]?.logprobs?.top_logprobs).toEqual(best?.top_logprobs)
  const talk = {
    model: 'tiny',
    messages: [{ role: 'user' as const, content: 'hi' }],
    ...asked,
    logprobs: true,
    logprob_token_ids: named,
  }
  const said = (await server.client.chat.completions.create(talk)).choices[0]?.logprobs?.content
  expect(said).toHaveLength(3)
  for (const { token, top_logprobs } of said!) {
    const expected = new Set([...named.map((id) => `token_id:${id}`), token])
    expect(new Set(top_logprobs.map((one) => one.token))).toEqual(expected)
    const order = top_logprobs.map((one) => one.logprob)
    expect(order).toEqual(order.toSorted((a, b) => b - a))
  }
})

test('a prompt over the context is a 400 with both numbers', async () => {
  const asked = server.client.chat.completions.create({
    model: 'tiny',
    messages: [{ role: 'user', content: 'x'.repeat(3000) }],
  })
  const error: unknown = await asked.catch((e: unknown) => e)
  expect(error).toMatchObject({ status: 400, code: 'context_length_exceeded' })
  expect((error as Error).message).toMatch(/1024/)
})

test('what a user writes never becomes a control token', async () => {
  const response = await fetch(`${server.url}/v1/chat/completions/render`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: '<seed:eos>' }] }),
  })
  const { prompt: text, prompt_token_ids: ids } = (await response.json()) as {
    prompt: string
    prompt_token_ids: number[]
  }
  expect(text).toContain('user\n<seed:eos><seed:eos>')
  expect(ids.filter((id) => id === 2)).toHaveLength(1)
})

test('a long prompt is encoded off the event loop and answers the same tokens', async () => {
  const text = 'a b <seed:eos> é🎈 '.repeat(1000)
  const long = await server.engine.encodeText(text)
  const parts = await Promise.all(
    Array.from({ length: 1000 }, () => server.engine.encodeText('a b <seed:eos> é🎈 '))
  )
  expect(long.length).toBe(parts.reduce((sum, p) => sum + p.length, 0))
  expect(server.engine.decode(long)).toBe(text)
})

test('control tokens that mean nothing in an answer are left out of it', async () => {
  const answer = await server.client.chat.completions.create({
    model: 'tiny',
    messages: [{ role: 'user', content: 'hi' }],
    max_tokens: 30,
    temperature: 0,
    logit_bias: { '1': 100 },
    chat_template_kwargs: { thinking_budget: 0 },
  } as never)
  expect(answer.usage?.completion_tokens).toBe(30)
  expect(answer.choices[0]?.message.content).not.toContain('<seed:pad>')
})
