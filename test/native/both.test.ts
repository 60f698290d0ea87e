// One process, a model of each family: clients of both at once, through every API, get what each gets alone.
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ARCHITECTURES } from '../../src/families/index.ts'
import { createServer, loadModels, type Server } from '../../src/index.ts'
import { demoFolders, nameOf } from '../../src/model.ts'
import { tinyModel } from './tiny.ts'

const { family } = ARCHITECTURES.GptOssForCausalLM!
const random = tinyModel(family)
let server: Server
let client: OpenAI
let names: string[]

/** The demo models; what there is no demo of is a small one of random weights. */
const models = (): { model: string; servedModelName: string[] }[] => {
  const demos = demoFolders().map((model) => ({ model, servedModelName: [nameOf(model)] }))
  const hasBoth = demos.some(({ servedModelName: [name] }) => name === 'gpt-oss-demo')
  return hasBoth ? demos : [...demos, { model: random.path, servedModelName: ['tiny-gpt-oss'] }]
}

beforeAll(async () => {
  const both = models()
  names = both.map(({ servedModelName: [name] }) => name!)
  server = await createServer({ port: 0, threads: 2, models: both })
  await server.ready
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
}, 60_000)

afterAll(async () => {
  await server.close()
  random.drop()
})

const PLACES = ['Rome', 'Lima', 'Oslo', 'Cairo', 'Quito', 'Delhi', 'Paris', 'Tokyo']

/** Random weights ramble, so that all answers have an end and most are cut. */
const LIMITS = { temperature: 0, seed: 7 }

const weather = {
  name: 'get_weather',
  description: 'Get current temperature for a given location.',
  parameters: {
    type: 'object',
    properties: { location: { type: 'string', description: 'City and country' } },
    required: ['location'],
    additionalProperties: false,
  },
}

interface Fields {
  choices?: { delta?: Fields; message?: Fields; text?: string; finish_reason?: string }[]
  content?: string | null
  reasoning?: string
  tool_calls?: { function: { name?: string; arguments?: string } }[]
}

const called = ({ tool_calls: calls = [] }: Fields): string =>
  calls.map(({ function: { name = '', arguments: args = '' } }) => name + args).join('')

/** What a chat says in each of its parts. */
const chat = async (model: string, n: number, stream: boolean): Promise<string> => {
  const body = {
    model,
    messages: [{ role: 'user' as const, content: `What is the weather in ${PLACES[n % 8]}?` }],
    max_tokens: 90,
    ...LIMITS,
    ...(n % 4 < 2 ? { tools: [{ type: 'function' as const, function: weather }] } : {}),
  }
  if (!stream) {
    const answer = (await client.chat.completions.create(body)) as unknown as Fields
    const { message = {}, finish_reason: finish } = answer.choices![0]!
    return [message.reasoning, message.content, called(message), finish].join('|')
  }
  const parts = ['', '', '', '']
  for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
    const { delta = {}, finish_reason: finish } = (chunk as unknown as Fields).choices?.[0] ?? {}
    parts[0] += delta.reasoning ?? ''
    parts[1] += delta.content ?? ''
    parts[2] += called(delta)
    parts[3] += finish ?? ''
  }
  return parts.join('|')
}

const completion = async (model: string, n: number, stream: boolean): Promise<string> => {
  const body = { model, prompt: `Once in ${PLACES[n % 8]} there`, max_tokens: 60, ...LIMITS }
  if (!stream) return (await client.completions.create(body)).choices[0]!.text
  let text = ''
  for await (const chunk of await client.completions.create({ ...body, stream: true }))
    text += chunk.choices[0]?.text ?? ''
  return text
}

type Response = OpenAI.Responses.Response

const itemsOf = ({ status, output }: Response): string =>
  JSON.stringify([status, output], (key, value: unknown) =>
    key === 'id' || key === 'call_id' ? undefined : value
  )

const response = async (model: string, n: number, stream: boolean): Promise<string> => {
  const body = {
    model,
    input: `Hello from ${PLACES[n % 8]}, who are you?`,
    max_output_tokens: 90,
    temperature: 0,
    ...(n % 4 < 2
      ? { tools: [{ type: 'function' as const, strict: false, ...weather }], store: false }
      : {}),
  }
  if (!stream) return itemsOf(await client.responses.create(body))
  for await (const event of await client.responses.create({ ...body, stream: true }))
    if (event.type === 'response.completed' || event.type === 'response.incomplete')
      return itemsOf(event.response)
  return 'no end'
}

/** The n-th client of a model: which API it speaks and whether it streams goes round. */
const answer = (model: string, n: number): Promise<string> => {
  const api = [chat, response, completion][n % 3]!
  return api(model, n, n % 2 === 1)
}

const CLIENTS = 16

test('sixteen clients of each model at once get what each gets alone', async () => {
  const jobs = names.flatMap((model) => Array.from({ length: CLIENTS }, (_, n) => ({ model, n })))
  const alone: string[] = []
  for (const { model, n } of jobs) alone.push(await answer(model, n))
  const mixed = jobs.toSorted((a, b) => a.n - b.n)
  const together = await Promise.all(mixed.map(({ model, n }) => answer(model, n)))
  const expected = mixed.map((job) => alone[jobs.indexOf(job)])
  expect(together).toEqual(expected)
  expect(new Set(alone).size).toBeGreaterThan(CLIENTS / 2)
  const silent = alone.filter((text) => text.replaceAll('|', '') === '')
  expect(silent.length).toBeLessThan(alone.length / 4)
}, 120_000)

test('both are listed, each with its own context', async () => {
  const { data } = await client.models.list()
  expect(data.map(({ id }) => id)).toEqual(names)
})

test('a conversation goes from one model to the other and back', async () => {
  const [one = '', two = ''] = names
  const limits = { temperature: 0, max_output_tokens: 60 }
  const first = await client.responses.create({ model: one, input: 'Hello', ...limits })
  const link = { previous_response_id: first.id, input: 'And you?' }
  const second = await client.responses.create({ model: two, ...link, ...limits })
  expect(second.model).toBe(two)
  const back = { previous_response_id: second.id, input: 'Thanks' }
  const third = await client.responses.create({ ...back, ...limits })
  expect(third.model).toBe(two)
  const { data } = await client.responses.inputItems.list(third.id, { order: 'asc' })
  expect(data.filter((item) => item.type === 'message').length).toBeGreaterThanOrEqual(3)
})

test('what the models need together is known before the first is loaded', async () => {
  const progress: string[] = []
  const onProgress = (_: unknown, name: string) => progress.push(name)
  const most = { models: models(), kvCacheMemory: '90%' }
  await expect(loadModels(most, { onProgress })).rejects.toThrow(
    /^--kv-cache-memory of all 2 models, .* does not fit/
  )
  const long = models().map((one, n) => (n === 1 ? { ...one, maxModelLen: 2 ** 30 } : one))
  await expect(loadModels({ models: long }, { onProgress })).rejects.toThrow(
    `${long[1]!.model}: --max-model-len 1073741824 is beyond`
  )
  expect(progress).toEqual([])
})

test('each has a cache for many contexts: the first did not take all', () => {
  for (const { model } of server.lifecycles) {
    const { kvTokens, maxModelLen } = model!.engine.info
    expect(kvTokens).toBeGreaterThanOrEqual(8 * maxModelLen)
  }
})
