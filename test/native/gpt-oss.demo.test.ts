// gpt-oss-demo: efforts that differ, harmony's guard that changes nothing of a well-formed reply, and the checkpoint's form.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type OpenAI from 'openai'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { type Running, serveFolder } from './tiny.ts'

const FOLDER = fileURLToPath(new URL('../../npm/demo-models/gpt-oss-demo', import.meta.url))

let guarded: Running
let free: Running
beforeAll(async () => {
  guarded = await serveFolder(FOLDER, '', {}, gptOss)
  free = await serveFolder(FOLDER, '', {}, gptOss)
  const { model } = free.lifecycle
  if (model)
    free.lifecycle.model = { ...model, settings: { ...model.settings, harmonyGuard: false } }
})
afterAll(async () => {
  await guarded.close()
  await free.close()
})

const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'Get current temperature for a given location.',
      parameters: {
        type: 'object',
        properties: { location: { type: 'string', description: 'City and country' } },
        required: ['location'],
        additionalProperties: false,
      },
    },
  },
]

const PROMPTS = [
  'What is the weather like in Paris today?',
  'How is the weather in Oslo?',
  "What's the weather like in Lima right now?",
  'Hello! Who are you?',
  'Thank you, goodbye.',
  'What day comes after Monday?',
  'Write me a poem about the sea.',
  'My name is Bob. Hello!',
]

type Effort = 'low' | 'medium' | 'high'

const ask = async (server: Running, content: string, effort: Effort, withTools: boolean) => {
  const { choices, usage } = await server.client.chat.completions.create({
    model: 'tiny',
    messages: [{ role: 'user', content }],
    temperature: 0,
    max_completion_tokens: 200,
    reasoning_effort: effort,
    ...(withTools ? { tools } : {}),
  })
  const { message, finish_reason } = choices[0]!
  const calls = (message.tool_calls ?? []).map((call) => call.type === 'function' && call.function)
  const { reasoning } = message as { reasoning?: string }
  const thought = usage?.completion_tokens_details?.reasoning_tokens ?? 0
  return { said: { content: message.content, reasoning, calls, finish_reason }, thought }
}

test('more effort is more thought, on the whole and for each kind of question', async () => {
  const spent = { low: 0, medium: 0, high: 0 }
  for (const effort of ['low', 'medium', 'high'] as const) {
    const answers = PROMPTS.flatMap((prompt) =>
      [true, false].map((withTools) => ask(guarded, prompt, effort, withTools))
    )
    for (const { thought } of await Promise.all(answers)) spent[effort] += thought
  }
  expect(spent.low * 1.5).toBeLessThan(spent.medium)
  expect(spent.medium * 1.5).toBeLessThan(spent.high)
})

test('the guard changes nothing of greedy replies that are well-formed by themselves', async () => {
  const jobs = PROMPTS.flatMap((prompt) =>
    (['low', 'medium', 'high'] as const).flatMap((effort) =>
      [true, false].map((withTools) => ({ prompt, effort, withTools }))
    )
  )
  const answers = (server: Running) =>
    Promise.all(jobs.map(({ prompt, effort, withTools }) => ask(server, prompt, effort, withTools)))
  const [held, own] = [await answers(guarded), await answers(free)]
  expect(held).toEqual(own)
  expect(held.filter(({ said }) => said.calls.length > 0).length).toBeGreaterThan(6)
  expect(held.every(({ said }) => said.finish_reason !== 'length')).toBe(true)
})

test('a call for a place, and an answer from what the tool says', async () => {
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: 'user', content: 'What is the weather like in Paris today?' },
  ]
  const request = { model: 'tiny', temperature: 0, tools, max_completion_tokens: 200 }
  const first = await guarded.client.chat.completions.create({ ...request, messages })
  const { message } = first.choices[0]!
  const [call] = message.tool_calls ?? []
  if (call?.type !== 'function') throw new Error('no call')
  expect(call.function.name).toBe('get_weather')
  expect(JSON.parse(call.function.arguments)).toEqual({ location: 'Paris' })
  messages.push(message, {
    role: 'tool',
    tool_call_id: call.id,
    content: '{"temperature": 17, "unit": "celsius"}',
  })
  const second = await guarded.client.chat.completions.create({ ...request, messages })
  expect(second.choices[0]).toMatchObject({ finish_reason: 'stop' })
  expect(second.choices[0]!.message.content).toContain('17')
})

test('the checkpoint is packed as a released one', () => {
  const bytes = readFileSync(`${FOLDER}/model.safetensors`)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as {
    [name: string]: { dtype: string; shape: number[] }
  }
  const config = JSON.parse(readFileSync(`${FOLDER}/config.json`, 'utf8')) as {
    [key: string]: number
  }
  const { num_local_experts: experts, hidden_size: hidden, intermediate_size: wide } = config
  for (let layer = 0; layer < config.num_hidden_layers!; layer++) {
    const stem = `model.layers.${layer}`
    const blocks = { dtype: 'U8', shape: [experts, 2 * wide!, hidden! / 32, 16] }
    expect(header[`${stem}.mlp.experts.gate_up_proj_blocks`]).toMatchObject(blocks)
    const scales = { dtype: 'U8', shape: [experts, hidden, wide! / 32] }
    expect(header[`${stem}.mlp.experts.down_proj_scales`]).toMatchObject(scales)
    expect(header[`${stem}.self_attn.sinks`]).toMatchObject({ shape: [config.num_attention_heads] })
    expect(header[`${stem}.mlp.router.bias`]).toMatchObject({ shape: [experts] })
  }
  const others = Object.entries(header).filter(
    ([name]) => !/_(blocks|scales)$|__metadata__/.test(name)
  )
  expect(new Set(others.map(([, { dtype }]) => dtype))).toEqual(new Set(['BF16']))
})
