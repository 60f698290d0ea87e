// The demo models through /v1/responses as people's first scripts use it: a streamed function call, its result, the answer.
import { Ajv } from 'ajv'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createServer, type Server } from '../../src/index.ts'
import { demoFolders, nameOf } from '../../src/model.ts'

let server: Server
let client: OpenAI

beforeAll(async () => {
  server = await createServer({ port: 0, threads: 2 })
  await server.ready
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'EMPTY', maxRetries: 0 })
}, 60_000)

afterAll(async () => {
  await server.close()
})

const parameters = {
  type: 'object',
  properties: {
    location: { type: 'string', description: 'City and country e.g. Bogotá, Colombia' },
  },
  required: ['location'],
  additionalProperties: false,
}
const weather = {
  name: 'get_weather',
  description: 'Get current temperature for a given location.',
  parameters,
}
const tool = { type: 'function' as const, strict: false, ...weather }
const question = { role: 'user' as const, content: "What's the weather like in Paris today?" }
const body = (model: string) => ({ model, input: [question], tools: [tool], temperature: 0 })

type Event = OpenAI.Responses.ResponseStreamEvent
type Response = OpenAI.Responses.Response

const eventsOf = async (stream: AsyncIterable<Event>): Promise<Event[]> => {
  const events: Event[] = []
  for await (const event of stream) events.push(event)
  return events
}

/** The end of a stream that went well. */
const completed = (events: Event[]): Response => {
  const last = events.at(-1)
  if (last?.type !== 'response.completed') throw new Error(`ended with ${last?.type}`)
  return last.response
}

const callIn = ({ output }: Response) => {
  const call = output.find((item) => item.type === 'function_call')
  if (!call) throw new Error(`no call in ${JSON.stringify(output)}`)
  return call
}

/** Events in a row of the same type count once. */
const order = (events: Event[]): string[] =>
  events
    .map(({ type }) => type.replace(/^response\./, ''))
    .filter((type, at, all) => type !== all[at - 1])

const PART = ['content_part.added', '', 'content_part.done']
const item = (...inside: string[]): string[] => ['output_item.added', ...inside, 'output_item.done']
const part = (kind: string): string[] =>
  item(...PART.flatMap((name) => name || [`${kind}.delta`, `${kind}.done`]))
const CALL = item('function_call_arguments.delta', 'function_call_arguments.done')

describe.each(demoFolders().map(nameOf))('%s', (model) => {
  test('streams its thought and a call, each event in its place and with all its fields', async () => {
    const events = await eventsOf(await client.responses.create({ ...body(model), stream: true }))
    expect(order(events)).toEqual([
      'created',
      'in_progress',
      ...part('reasoning_text'),
      ...CALL,
      'completed',
    ])
    const response = completed(events)
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, n) => n))
    const [thought, call] = response.output
    expect(response).toMatchObject({ status: 'completed', model, error: null })
    expect(thought).toMatchObject({
      type: 'reasoning',
      status: 'completed',
      content: [{ type: 'reasoning_text', text: expect.stringMatching(/\S/) }],
    })
    expect(call).toMatchObject({
      type: 'function_call',
      status: 'completed',
      name: 'get_weather',
    })
    expect(JSON.parse(callIn(response).arguments)).toEqual({ location: 'Paris' })
    expect(response.usage).toMatchObject({
      input_tokens_details: { cached_tokens: expect.any(Number) },
      output_tokens_details: { reasoning_tokens: expect.any(Number) },
    })
    expect(response.usage!.output_tokens_details.reasoning_tokens).toBeGreaterThan(0)
    let said = ''
    for (const event of events) {
      const index = 'output_index' in event ? event.output_index : undefined
      if ('item_id' in event) expect(event.item_id).toBe(response.output[index!]!.id)
      if ('content_index' in event) expect(event.content_index).toBe(0)
      if (event.type === 'response.output_item.added' && index === 1)
        expect(event.item).toMatchObject({
          ...callIn(response),
          arguments: '',
          status: 'in_progress',
        })
      if (event.type === 'response.function_call_arguments.delta') said += event.delta
      if (event.type === 'response.function_call_arguments.done')
        expect(event).toMatchObject({ name: 'get_weather', arguments: said })
      if (event.type === 'response.output_item.done')
        expect(event.item).toEqual(response.output[index!])
    }
    expect(said).toBe(callIn(response).arguments)
  })

  test.each(['items sent back', 'a stored response'])(
    'answers from the result, with %s',
    async (way) => {
      const first = completed(
        await eventsOf(await client.responses.create({ ...body(model), stream: true }))
      )
      const { call_id } = callIn(first)
      const result = {
        type: 'function_call_output' as const,
        call_id,
        output: '17 degrees and light rain',
      }
      const kept = way === 'a stored response'
      const events = await eventsOf(
        await client.responses.create({
          ...body(model),
          stream: true,
          ...(kept
            ? { previous_response_id: first.id, input: [result] }
            : { store: false, input: [question, ...(first.output as never[]), result] }),
        })
      )
      const second = completed(events)
      expect(order(events).slice(-part('output_text').length - 1)).toEqual([
        ...part('output_text'),
        'completed',
      ])
      expect(second.output.at(-1)).toMatchObject({ type: 'message', role: 'assistant' })
      const text = events.map((one) => (one.type === 'response.output_text.delta' ? one.delta : ''))
      expect(text.join('')).toMatch(/17/)
      const plain = await client.responses.create({
        ...body(model),
        input: [question, ...(first.output as never[]), result],
      })
      expect(plain.output_text).toBe(text.join(''))
    }
  )

  // What openai/gpt-oss's compatibility test asserts of a provider, for the function this model knows.
  describe('as the compatibility test wants it', () => {
    const valid = new Ajv().compile(parameters)
    const chatBody = {
      model,
      messages: [question],
      tools: [{ type: 'function' as const, function: weather }],
      temperature: 0,
    }

    test('responses: a valid call, reasoning items with text, reasoning events', async () => {
      const plain = await client.responses.create(body(model))
      expect(valid(JSON.parse(callIn(plain).arguments))).toBe(true)
      const thoughts = plain.output.filter((one) => one.type === 'reasoning')
      expect(thoughts.length).toBeGreaterThan(0)
      for (const { content } of thoughts) {
        expect(content!.length).toBeGreaterThan(0)
        for (const { type, text } of content!) {
          expect(type).toBe('reasoning_text')
          expect(text.length).toBeGreaterThan(0)
        }
      }
      const stream = await client.responses.create({ ...body(model), stream: true })
      const types = new Set((await eventsOf(stream)).map(({ type }) => type))
      expect(types).toContain('response.reasoning_text.delta')
      expect(types).toContain('response.reasoning_text.done')
    })

    test('chat: a valid call, the thought under both names, streamed too', async () => {
      const { message } = (await client.chat.completions.create(chatBody)).choices[0]!
      const [call] = message.tool_calls ?? []
      if (call?.type !== 'function') throw new Error('no call')
      expect(call.function.name).toBe('get_weather')
      expect(valid(JSON.parse(call.function.arguments))).toBe(true)
      const thought = expect.stringMatching(/\S/) as string
      expect(message).toMatchObject({ reasoning: thought, reasoning_content: thought })
      let streamed = ''
      for await (const chunk of await client.chat.completions.create({ ...chatBody, stream: true }))
        streamed += (chunk.choices[0]!.delta as { reasoning?: string }).reasoning ?? ''
      expect(streamed).toBe((message as unknown as { reasoning: string }).reasoning)
    })
  })
})

test('a script that leaves the name of the model empty gets the first', async () => {
  const response = await client.responses.create({ ...body(''), stream: true })
  expect(completed(await eventsOf(response)).model).toBe(nameOf(demoFolders()[0]!))
})
