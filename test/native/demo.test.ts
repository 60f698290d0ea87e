// The embedded default as a new user meets it: no --model, the real client, thoughts, calls and answers from results.
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createServer } from '../../src/index.ts'
import type { Server } from '../../src/server.ts'

let server: Server
let client: OpenAI

beforeAll(async () => {
  server = await createServer({ port: 0, threads: 2 })
  await server.ready
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
}, 60_000)

afterAll(async () => {
  await server.close()
})

const WEATHER: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get current temperature for a given location.',
    parameters: {
      type: 'object',
      properties: {
        location: { type: 'string', description: 'City and country e.g. Bogotá, Colombia' },
      },
      required: ['location'],
      additionalProperties: false,
    },
    strict: true,
  },
}

/** Places that the training data never names (tools/demo-models/words.py, HELD_CITIES). */
const PLACES = [
  'Barcelona',
  'Helsinki',
  'Stockholm',
  'Budapest',
  'Edinburgh',
  'Manchester',
  'Ankara',
  'Dakar',
  'Singapore',
  'Melbourne',
  'Vancouver',
  'Havana',
  'Salvador',
  'Grenoble',
  'Stuttgart',
  'Palermo',
  'Toulouse',
  'Wellington',
  'Nagoya',
  'Bergen',
]

const ask = (content: string, more: object = {}) =>
  client.chat.completions.create({
    model: 'seed-oss-demo',
    messages: [{ role: 'user', content }],
    temperature: 0,
    max_tokens: 400,
    ...more,
  } as OpenAI.ChatCompletionCreateParamsNonStreaming)

const reasoningOf = (message: unknown): string =>
  (message as { reasoning?: string }).reasoning ?? ''

test('it is served under its name and says that it is a demo', async () => {
  expect((await client.models.list()).data.map((m) => m.id)).toContain('seed-oss-demo')
  const answer = await ask('Hello, who are you?')
  expect(answer.choices[0]?.finish_reason).toBe('stop')
  expect(answer.choices[0]?.message.content).toMatch(/demo/)
  expect(reasoningOf(answer.choices[0]?.message).length).toBeGreaterThan(0)
})

test('it calls the weather function for places it has never seen', async () => {
  const answers = await Promise.all(
    PLACES.map(async (place) => {
      const answer = await ask(`What's the weather like in ${place} today?`, { tools: [WEATHER] })
      const call = answer.choices[0]?.message.tool_calls?.[0]
      const args = call?.type === 'function' ? call.function : undefined
      return args?.name === 'get_weather' && args.arguments === JSON.stringify({ location: place })
    })
  )
  const exact = answers.filter(Boolean).length
  console.log(`demo: ${exact} of ${PLACES.length} weather calls for unseen places are exact`)
  expect(exact).toBeGreaterThanOrEqual(17)
})

test('streamed and plain calls are the same, and the answer comes from the result', async () => {
  const body = {
    model: 'seed-oss-demo',
    messages: [{ role: 'user' as const, content: "What's the weather like in Barcelona today?" }],
    tools: [WEATHER],
    temperature: 0,
  }
  const plain = await client.chat.completions.create(body)
  const streamed = await client.chat.completions.stream(body).finalChatCompletion()
  const callOf = (answer: OpenAI.ChatCompletion) => {
    const call = answer.choices[0]?.message.tool_calls?.[0]
    if (call?.type !== 'function') throw new Error('no call')
    return call
  }
  const call = callOf(plain)
  expect(plain.choices[0]?.finish_reason).toBe('tool_calls')
  expect(streamed.choices[0]?.finish_reason).toBe('tool_calls')
  expect(callOf(streamed).function).toMatchObject({
    name: call.function.name,
    arguments: call.function.arguments,
  })
  const final = await client.chat.completions.create({
    ...body,
    messages: [
      ...body.messages,
      { role: 'assistant', tool_calls: [call], content: null },
      { role: 'tool', tool_call_id: call.id, content: '31 degrees and sunny' },
    ],
  })
  expect(final.choices[0]?.finish_reason).toBe('stop')
  expect(final.choices[0]?.message.content).toMatch(/31/)
})

test.each([
  [0, 0],
  [4, 4 + 40],
  [64, 64 + 40],
])('thinking_budget %i gives at most %i reasoning tokens and an answer', async (budget, most) => {
  const answer = await ask("What's the weather like in Helsinki?", {
    chat_template_kwargs: { thinking_budget: budget },
  })
  expect(answer.usage?.completion_tokens_details?.reasoning_tokens).toBeLessThanOrEqual(most)
  expect(answer.choices[0]?.message.content?.length).toBeGreaterThan(0)
  if (budget === 0) expect(reasoningOf(answer.choices[0]?.message)).toBe('')
})

test('without a tool it never calls', async () => {
  for (const place of PLACES.slice(0, 5)) {
    const answer = await ask(`What's the weather like in ${place}?`)
    expect(answer.choices[0]?.message.tool_calls).toBeUndefined()
    expect(answer.choices[0]?.finish_reason).toBe('stop')
  }
})

test('sixteen clients at once get what each gets alone', async () => {
  const prompts = PLACES.slice(0, 16).map((p) => `What is the weather in ${p}?`)
  const alone = []
  for (const prompt of prompts) alone.push(await ask(prompt, { tools: [WEATHER] }))
  const together = await Promise.all(prompts.map((p) => ask(p, { tools: [WEATHER] })))
  const content = (a: OpenAI.ChatCompletion) => {
    const message = a.choices[0]?.message
    const calls = message?.tool_calls?.map((c) => (c.type === 'function' ? c.function : c))
    return [message?.content, reasoningOf(message), calls]
  }
  expect(together.map(content)).toEqual(alone.map(content))
})
