// What POST /v1/responses says: the order of events, one item in all of them, the whole answer as their fold, errors.
import { describe, expect, it } from 'vitest'
import { EngineRefusal } from '../../src/engine.ts'
import { pause } from '../scripted.ts'
import { type Any } from './ask.ts'
import { CALL, constant, responsesOver, tools, typesOf } from './events.ts'
import { faults } from './faults.ts'

const item = (kind: 'text' | 'thought' | 'call', deltas = 1): string[] => {
  const [delta, done] = {
    text: ['output_text.delta', 'output_text.done'],
    thought: ['reasoning_text.delta', 'reasoning_text.done'],
    call: ['function_call_arguments.delta', 'function_call_arguments.done'],
  }[kind] as [string, string]
  const inner = [...Array.from({ length: deltas }, () => delta), done]
  const parts = kind === 'call' ? inner : ['content_part.added', ...inner, 'content_part.done']
  return ['output_item.added', ...parts, 'output_item.done']
}

const THOUGHT = '<seed:think>hm</seed:think>'
const cases: [name: string, steps: string[], fields: object, order: string[], end: string][] = [
  ['text', ['Hel', 'lo'], {}, item('text', 2), 'completed'],
  ['nothing', [], {}, item('text', 0), 'completed'],
  ['thought and text', [THOUGHT, 'Yes'], {}, [...item('thought'), ...item('text')], 'completed'],
  ['a thought alone', [THOUGHT], {}, [...item('thought'), ...item('text', 0)], 'completed'],
  ['a hidden thought', [THOUGHT, 'Yes'], { include_reasoning: false }, item('text'), 'completed'],
  ['a call', [CALL], { tools }, item('call'), 'completed'],
  [
    'thought, text and two calls with white space between',
    [THOUGHT, '\n\nSure', CALL, '\n', CALL, '\n'],
    { tools },
    [...item('thought'), ...item('text'), ...item('call'), ...item('call')],
    'completed',
  ],
  [
    'one call where one is wanted',
    [CALL, CALL],
    { tools, parallel_tool_calls: false },
    item('call'),
    'completed',
  ],
  [
    'a call without arguments',
    ['<seed:tool_call><function=f></function></seed:tool_call>'],
    { tools },
    item('call'),
    'completed',
  ],
  [
    'no call where none is wanted',
    [CALL],
    { tools, tool_choice: 'none' },
    item('text'),
    'completed',
  ],
  ['a cut text', ['abcdef'], { max_output_tokens: 3 }, item('text'), 'incomplete'],
  [
    'a cut thought',
    ['<seed:think>', 'abc'],
    { max_output_tokens: 2 },
    item('thought'),
    'incomplete',
  ],
  [
    'logprobs',
    ['Hi', '!'],
    { top_logprobs: 2, include: ['message.output_text.logprobs'] },
    item('text', 2),
    'completed',
  ],
]

describe('events', () => {
  it.each(cases)('of %s', async (_, steps, fields, order, end) => {
    const { create, stream } = responsesOver({ steps, cachedTokens: 2, reasoningTokens: 1 })
    const events = await stream(fields)
    expect(typesOf(events)).toEqual(['created', 'in_progress', ...order, end])
    expect(events[0].response).toMatchObject({ output: [], status: 'in_progress', usage: null })

    const { response } = events.at(-1)
    expect(response.status).toBe(end)
    expect(response.usage).toMatchObject({
      input_tokens_details: { cached_tokens: 2 },
      output_tokens_details: { reasoning_tokens: 1 },
      total_tokens: response.usage.input_tokens + response.usage.output_tokens,
    })
    expect(response.incomplete_details).toEqual(
      end === 'incomplete' ? { reason: 'max_output_tokens' } : null
    )

    // One id and one index in all events of an item and in the final output.
    const added = events.filter(({ type }) => type.endsWith('item.added'))
    expect(added.map(({ output_index }) => output_index)).toEqual([...added.keys()])
    expect(response.output.map(({ id }: Any) => id)).toEqual(added.map((event) => event.item.id))
    expect(new Set(added.map((event) => event.item.id)).size).toBe(added.length)
    for (const event of events) {
      if (event.item_id !== undefined)
        expect(event.item_id).toBe(response.output[event.output_index].id)
      if (event.content_index !== undefined) expect(event.content_index).toBe(0)
      if (event.type === 'response.output_item.done')
        expect(event.item).toEqual(response.output[event.output_index])
      if (event.type === 'response.output_item.added' && event.item.call_id)
        expect(event.item).toMatchObject({
          call_id: response.output[event.output_index].call_id,
          arguments: '',
        })
      if (event.type.endsWith('arguments.done')) expect(event.name).toBe('f')
      expect(faults('ResponseStreamEvent', event)).toEqual([])
    }

    // The deltas are the text.
    for (const [index, one] of response.output.entries()) {
      const deltas = events.filter((e) => e.output_index === index && e.delta !== undefined)
      const said = deltas.map(({ delta }) => delta).join('')
      expect(said).toBe(one.arguments ?? one.content[0].text)
    }

    const { status, body } = await create(fields)
    expect(status).toBe(200)
    expect(constant(body)).toEqual(constant(response))
    expect(faults('Response', body)).toEqual([])
  })

  it('have a call that the limit cut, incomplete', async () => {
    const { seedOss } = await import('../../src/families/seed-oss/index.ts')
    const { ready, ScriptedEngine } = await import('../scripted.ts')
    const engine = new ScriptedEngine({
      steps: ['<seed:tool_call>\n<function=f>\n<parameter=a>', 'abc', { end: 'length' }],
    })
    const { model } = ready(engine)
    const over = responsesOver({ steps: [] }, {}, { engine, model: { ...model!, family: seedOss } })
    const typed = [{ ...tools[0], parameters: { properties: { a: { type: 'string' } } } }]
    const events = await over.stream({ tools: typed })
    const { response } = events.at(-1)
    expect(response.status).toBe('incomplete')
    expect(response.output[0]).toMatchObject({ type: 'function_call', status: 'incomplete' })
    expect(response.output[0].arguments).toBe('{"a":"abc')
    expect(typesOf(events).slice(-3)).toEqual([
      'function_call_arguments.done',
      'output_item.done',
      'incomplete',
    ])
  })

  it('carry logprobs of the text', async () => {
    const { stream } = responsesOver({ steps: [THOUGHT, 'Hi'] })
    const events = await stream({ top_logprobs: 2 })
    const delta = events.find(({ type }) => type === 'response.output_text.delta')
    expect(delta.logprobs.map(({ token }: Any) => token)).toEqual(['H', 'i'])
    expect(delta.logprobs[0].top_logprobs).toHaveLength(2)
    const [, message] = events.at(-1).response.output
    expect(message.content[0].logprobs).toEqual(delta.logprobs)
  })
})

describe('custom tools', () => {
  const custom = [
    {
      type: 'custom',
      name: 'patch',
      description: 'Edits',
      format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' },
    },
  ]
  const steps = [
    '<seed:tool_call><function=patch><parameter=input>*** Begin\n"x"</parameter></function></seed:tool_call>',
  ]

  it('are called with plain text', async () => {
    const { stream, create } = responsesOver({ steps })
    const events = await stream({ tools: custom })
    expect(typesOf(events).slice(2, -1)).toEqual([
      'output_item.added',
      'custom_tool_call_input.delta',
      'custom_tool_call_input.done',
      'output_item.done',
    ])
    for (const event of events) expect(faults('ResponseStreamEvent', event)).toEqual([])
    const { response } = events.at(-1)
    expect(response.output[0]).toMatchObject({ type: 'custom_tool_call', input: '*** Begin\n"x"' })
    expect(response.tools).toEqual(custom)
    expect(constant((await create({ tools: custom })).body)).toEqual(constant(response))
  })

  it('and namespaces keep their names', async () => {
    const space = {
      type: 'namespace',
      name: 'mcp',
      description: '',
      tools: [{ ...tools[0], strict: null }],
    }
    const call = '<seed:tool_call><function=mcp__f></function></seed:tool_call>'
    const { create } = responsesOver({ steps: [call] })
    const { body } = await create({ tools: [space] })
    expect(body.output[0]).toMatchObject({ name: 'f', namespace: 'mcp', arguments: '{}' })
  })
})

describe('errors', () => {
  it('before headers are statuses', async () => {
    const refuse = new EngineRefusal(429, 'rate_limit_exceeded', 'full')
    const { create, send } = responsesOver({ steps: [{ refuse }] })
    expect((await create()).status).toBe(429)
    expect((await create({ background: true })).status).toBe(429)
    expect((await send('/v1/responses', { input: 'Hi', stream: true })).status).toBe(429)
  })

  it('after headers are response.failed', async () => {
    const { stream, create } = responsesOver({ steps: ['a', { wait: 5 }, { fail: 'nan' }] })
    const events = await stream()
    const last = events.at(-1)
    expect(last.type).toBe('response.failed')
    expect(last.response).toMatchObject({
      status: 'failed',
      error: { code: 'server_error', message: 'The generation failed: nan' },
      output: [{ status: 'incomplete', content: [{ text: 'a' }] }],
    })
    expect(faults('ResponseFailedEvent', last)).toEqual([])
    const plain = await create()
    expect(plain.status).toBe(500)
    expect(plain.body.error.code).toBe('generation_failed')
  })

  const bad: [fields: object, param: string, status?: number][] = [
    [{ input: undefined }, 'input'],
    [{ input: 7 }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: [{ role: 'robot', content: 'x' }] }, 'input[0].role'],
    [{ input: [{ type: 'nonsense' }] }, 'input[0].type'],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input[0].content[0].type',
    ],
    [{ input: [{ type: 'function_call_output', call_id: 'c', output: 'x' }] }, 'input'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].id', 404],
    [{ input: 'x'.repeat(5000) }, 'input'],
    [{ model: 'no' }, 'model', 404],
    [{ previous_response_id: 'resp_x' }, 'previous_response_id', 404],
    [{ text: { format: { type: 'yaml' } } }, 'text.format.type'],
    [{ tools: [{ type: 'function' }] }, 'tools[0].name'],
    [{ tools: [{ type: 'time_machine' }] }, 'tools[0].type'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tool_choice: { type: 'function', name: 'g' }, tools }, 'tool_choice'],
    [{ reasoning: { effort: 'lots' } }, 'reasoning.effort'],
    [{ max_output_tokens: 0 }, 'max_output_tokens'],
    [{ top_logprobs: 21 }, 'top_logprobs'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
    [{ truncation: 'some' }, 'truncation'],
    [{ prompt: { id: 'x' } }, 'prompt'],
    [{ conversation: 'x' }, 'conversation'],
    [{ background: true, store: false }, 'background'],
    [{ n: 2 }, 'n'],
    [{ temperature: 3 }, 'temperature'],
  ]
  it.each(bad)('refuses %#: $1', async (fields, param, status = 400) => {
    const { create, engine } = responsesOver({ steps: ['a'] })
    const answer = await create(fields)
    expect([answer.status, answer.body.error.param]).toEqual([status, param])
    expect(engine.requests).toHaveLength(0)
  })

  it('leaving cancels the engine and is remembered', async () => {
    const { send, engine, get } = responsesOver({ steps: ['a', { wait: 5000 }, 'b'] })
    const response = await send('/v1/responses', { input: 'Hi', stream: true })
    const reader = response.body!.getReader()
    const { value } = await reader.read()
    const id = /"id":"(resp_\w+)"/.exec(new TextDecoder().decode(value))![1]!
    expect((await get(`/v1/responses/${id}`)).body.status).toBe('in_progress')
    await reader.cancel()
    await pause(20)
    expect(engine.running).toBe(0)
    expect((await get(`/v1/responses/${id}`)).body.status).toBe('cancelled')
  })
})

describe('what is accepted', () => {
  const fine: object[] = [
    { input: '' },
    { text: {} },
    { text: { format: { type: 'text' }, verbosity: 'low' } },
    { reasoning: null, tools: null, tool_choice: null, metadata: null, include: null, store: null },
    { reasoning: { effort: 'high', summary: 'auto' } },
    { tools: [], tool_choice: 'auto' },
    { tools: [{ type: 'web_search' }, { type: 'local_shell' }], tool_choice: 'auto' },
    { include: ['reasoning.encrypted_content'], prompt_cache_key: 'k', service_tier: 'auto' },
    { max_tool_calls: 3, truncation: 'auto', user: 'u', safety_identifier: 's' },
    { top_k: 5, min_p: 0.1, seed: 7, stop: ['x'], repetition_penalty: 1.1, cache_salt: 's' },
    { session_id: 'x', response_id: 'y', stream_options: { include_obfuscation: false } },
    { tools, tool_choice: { type: 'allowed_tools', mode: 'auto', tools } },
    { instructions: 'Be brief', temperature: 0, top_p: 0.5 },
  ]
  it.each(fine)('%#', async (fields) => {
    const { create } = responsesOver({ steps: ['a'] })
    const { status, body } = await create(fields)
    expect(status).toBe(200)
    expect(faults('Response', body)).toEqual([])
  })

  it('and repeated in the response', async () => {
    const { create } = responsesOver({ steps: ['a'] })
    const said = {
      instructions: 'Be brief',
      max_output_tokens: 50,
      max_tool_calls: 3,
      metadata: { a: 'b' },
      parallel_tool_calls: false,
      prompt_cache_key: 'k',
      temperature: 0.5,
      top_p: 0.25,
      truncation: 'auto',
      user: 'u',
    }
    const { body } = await create({ ...said, tools: [...tools, { type: 'web_search' }] })
    expect(body).toMatchObject({ ...said, tool_choice: 'auto', store: true, status: 'completed' })
    expect(body.tools).toEqual([{ ...tools[0], strict: null, parameters: null }])
    expect(body.completed_at).toBeGreaterThanOrEqual(body.created_at)
  })
})
