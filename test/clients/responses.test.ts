// The openai package on /v1/responses over a real socket: whole, streamed, tools both ways, kept, in the background.
import OpenAI, { NotFoundError } from 'openai'
import type { ResponseInputItem } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { pause, ready, type Script, ScriptedEngine } from '../scripted.ts'
import { type Listening, listening } from './socket.ts'

const CALL =
  '<seed:tool_call><function=weather><parameter=city>Berlin</parameter></function></seed:tool_call>'
const tools: OpenAI.Responses.Tool[] = [
  { type: 'function', name: 'weather', parameters: { type: 'object' }, strict: false },
]

const scripts: { [word: string]: Script } = {
  SUNNY: { steps: ['It is ', 'sunny'] },
  CALL: { steps: ['<seed:think>hm</seed:think>', CALL], reasoningTokens: 4 },
  SLOW: { steps: ['a', { wait: 5000 }, 'b'] },
  SOON: { steps: ['a', { wait: 50 }, 'b'] },
  FAIL: { steps: ['a', { wait: 5 }, { fail: 'non-finite logits' }] },
  CUT: { steps: ['abc', { end: 'length' }] },
}
const engine = new ScriptedEngine((prompt) => {
  const word = Object.keys(scripts).find((known) => prompt.includes(known)) ?? ''
  return scripts[word] ?? { steps: ['Hel', 'lo', ' wörld'], cachedTokens: 2 }
})

let server: Listening
let client: OpenAI
beforeAll(async () => {
  server = await listening(ready(engine), { apiKeys: ['key'] })
  client = new OpenAI({ baseURL: server.baseURL, apiKey: 'key', maxRetries: 0 })
})
afterAll(() => server.close())

const model = 'seed/toy'

describe('responses', () => {
  it('plain', async () => {
    const response = await client.responses.create({ model, input: 'Hi', instructions: 'Be kind' })
    expect(response.output_text).toBe('Hello wörld')
    expect(response.usage).toMatchObject({ input_tokens_details: { cached_tokens: 2 } })
  })

  it('streamed', async () => {
    let text = ''
    const stream = await client.responses.create({ model, input: 'Hi', stream: true })
    for await (const event of stream)
      if (event.type === 'response.output_text.delta') text += event.delta
    expect(text).toBe('Hello wörld')
  })

  it('through the accumulator, the same as plain', async () => {
    const stream = client.responses.stream({ model, input: 'CALL', tools })
    const seen: string[] = []
    stream.on('response.reasoning_text.delta', ({ delta }) => seen.push(delta))
    stream.on('response.function_call_arguments.delta', ({ delta }) => seen.push(delta))
    const response = await stream.finalResponse()
    expect(seen).toEqual(['hm', '{"city":"Berlin"}'])
    expect(response.usage?.output_tokens_details.reasoning_tokens).toBe(4)
    const plain = await client.responses.create({ model, input: 'CALL', tools })
    const strip = ({ output }: OpenAI.Responses.Response) =>
      output.map((item) => ({ ...item, id: '', call_id: '', parsed_arguments: null }))
    expect(strip(response)).toEqual(strip(plain))
    const kept = await client.responses.retrieve(response.id)
    expect(kept.output.map(({ id }) => id)).toEqual(response.output.map(({ id }) => id))
  })

  it('that are cut end incomplete', async () => {
    const response = await client.responses.create({ model, input: 'CUT' })
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output_text: 'abc',
    })
    const stream = client.responses.stream({ model, input: 'CUT' })
    expect((await stream.finalResponse()).status).toBe('incomplete')
  })

  it('that fail on the way say so', async () => {
    const types: string[] = []
    const stream = await client.responses.create({ model, input: 'FAIL', stream: true })
    for await (const event of stream) types.push(event.type)
    expect(types.at(-1)).toBe('response.failed')
    await expect(client.responses.create({ model, input: 'FAIL' })).rejects.toThrow('non-finite')
  })
})

describe('a function call', () => {
  const answerTo = ({ output }: OpenAI.Responses.Response): ResponseInputItem => {
    const call = output.find((item) => item.type === 'function_call')!
    expect(JSON.parse(call.arguments)).toEqual({ city: 'Berlin' })
    return { type: 'function_call_output', call_id: call.call_id, output: 'SUNNY' }
  }

  it('goes round with previous_response_id', async () => {
    const first = await client.responses.create({ model, input: 'CALL', tools })
    const second = await client.responses.create({
      model,
      previous_response_id: first.id,
      input: [answerTo(first)],
      tools,
    })
    expect(second.output_text).toBe('It is sunny')
    const types: string[] = []
    for await (const item of client.responses.inputItems.list(second.id, { limit: 2 }))
      types.push(item.type)
    expect(types).toEqual(['function_call_output', 'function_call', 'reasoning', 'message'])
  })

  it('goes round with all items sent back', async () => {
    const input: ResponseInputItem[] = [{ role: 'user', content: 'CALL' }]
    const include = ['reasoning.encrypted_content' as const]
    const first = await client.responses.create({ model, input, tools, store: false, include })
    input.push(...(first.output as ResponseInputItem[]), answerTo(first))
    const stream = client.responses.stream({ model, input, tools, store: false })
    expect((await stream.finalResponse()).output_text).toBe('It is sunny')
    await expect(client.responses.retrieve(first.id)).rejects.toThrow(NotFoundError)
  })
})

describe('kept responses', () => {
  it('are deleted', async () => {
    const { id } = await client.responses.create({ model, input: 'Hi' })
    await client.responses.delete(id)
    await expect(client.responses.retrieve(id)).rejects.toThrow(NotFoundError)
  })

  it('run in the background and are polled', async () => {
    let response = await client.responses.create({ model, input: 'SOON', background: true })
    expect(response.status).toBe('queued')
    while (response.status === 'queued' || response.status === 'in_progress') {
      await pause(10) // oxlint-disable-line no-await-in-loop
      response = await client.responses.retrieve(response.id) // oxlint-disable-line no-await-in-loop
    }
    expect(response.output_text).toBe('ab')
    const stream = await client.responses.retrieve(response.id, { stream: true, starting_after: 4 })
    let text = ''
    for await (const event of stream)
      if (event.type === 'response.output_text.delta') text += event.delta
    expect(text).toBe('ab')
  })

  it('and are cancelled', async () => {
    const { id } = await client.responses.create({ model, input: 'SLOW', background: true })
    expect((await client.responses.cancel(id)).status).toBe('cancelled')
    expect(engine.running).toBe(0)
  })
})
