// What clients of the gpt-oss repository's Responses server send (its types.py, its test_api_endpoints.py): taken, or refused by name.
import { describe, expect, it } from 'vitest'
import type { Any } from './ask.ts'
import { harmonyOver, typesOf } from './events.ts'

const NAMES = ['gpt-oss-120b']
const over = () =>
  harmonyOver([['<|channel|>final<|message|>', 'Test response', '<|return|>']], {
    names: NAMES,
    context: 200_000,
  })

/** As its tests send it. */
const SAMPLE = {
  model: 'gpt-oss-120b',
  input: 'Hello, how can I help you today?',
  stream: false,
  reasoning_effort: 'low',
  temperature: 0.7,
  tools: [],
}
const FUNCTION = {
  type: 'function',
  name: 'test_function',
  parameters: { type: 'object', properties: {} },
  description: 'Test function',
  strict: false,
}

describe('its tests hold', () => {
  it.each<[string, object]>([
    ['as it is', {}],
    ['high effort', { reasoning_effort: 'high' }],
    ['medium effort', { reasoning_effort: 'medium' }],
    ['empty input', { input: '' }],
    ['a browser', { tools: [{ type: 'browser_search' }] }],
    ['a browser with settings of its own', { tools: [{ type: 'web_search', depth: 3 }] }],
    ['a function', { tools: [FUNCTION] }],
    [
      'several tools',
      { tools: [{ type: 'browser_search' }, FUNCTION, { type: 'code_interpreter' }] },
    ],
    ['a session', { session_id: 'test-session-123' }],
    ['a response to go on from, as it is not spelled', { response_id: 'resp_1' }],
    ['a long input', { input: 'x'.repeat(100_000) }],
    ...[0, 0.5, 1, 1.5, 2].map((temperature): [string, object] => [
      `${temperature}`,
      { temperature },
    ]),
  ])('%s', async (_, fields) => {
    const { status, body } = await over().create({ ...SAMPLE, ...fields })
    expect(status).toBe(200)
    expect(body).toMatchObject({ object: 'response', model: SAMPLE.model, status: 'completed' })
    expect(body.output.at(-1).content[0].text).toBe('Test response')
    const { input_tokens: input, output_tokens: output, total_tokens: total } = body.usage
    expect(output).toBeGreaterThan(0)
    expect(total).toBe(input + output)
  })

  it('streams events of JSON, gives each answer an id of its own, and counts a longer input as longer', async () => {
    const { stream, create } = over()
    expect(typesOf(await stream({ ...SAMPLE, stream: true })).at(-1)).toBe('completed')
    const [one, other] = [
      await create(SAMPLE),
      await create({ ...SAMPLE, input: SAMPLE.input.repeat(10) }),
    ]
    expect(one.body.id).not.toBe(other.body.id)
    expect(other.body.usage.input_tokens).toBeGreaterThan(one.body.usage.input_tokens)
  })

  it.each<[string, unknown, string | null]>([
    ['nothing', {}, 'input'],
    ['no JSON', 'not json', null],
    ['an effort that is none', { ...SAMPLE, reasoning_effort: 'invalid' }, 'reasoning_effort'],
  ])('%s is refused as OpenAI does', async (_, sent, param) => {
    const { status, body } = await over().post('/v1/responses', sent)
    expect(status).toBe(400)
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param })
  })

  it('a model that is not served is told to be none, as OpenAI does', async () => {
    const { status, body } = await over().create({ ...SAMPLE, model: 'invalid-model' })
    expect(status).toBe(404)
    expect(body.error).toMatchObject({ param: 'model', code: 'model_not_found' })
  })
})

describe('each of its fields', () => {
  /** All that ResponsesRequest has, with values that are not its defaults. */
  const EVERYTHING = {
    ...SAMPLE,
    instructions: 'Be brief.',
    max_output_tokens: 131_072,
    reasoning: { effort: 'high' },
    reasoning_effort: undefined,
    metadata: { purpose: 'test' },
    tool_choice: 'auto',
    parallel_tool_calls: false,
    store: false,
    include: ['message.output_text.logprobs'],
    tools: [FUNCTION],
  }

  it('counts, and is repeated in the answer', async () => {
    const { create, prompt, engine } = over()
    const { status, body } = await create(EVERYTHING)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      instructions: 'Be brief.',
      max_output_tokens: 131_072,
      reasoning: { effort: 'high' },
      metadata: { purpose: 'test' },
      tool_choice: 'auto',
      parallel_tool_calls: false,
      previous_response_id: null,
      temperature: 0.7,
    })
    expect(prompt()).toContain('Reasoning: high')
    expect(prompt()).toContain('# Instructions\n\nBe brief.')
    expect(prompt()).toContain('type test_function = (_: {\n}) => any;')
    expect(engine.requests.at(-1)!.request.sampling).toMatchObject({ temperature: 0.7 })
    expect(body.output.at(-1).content[0].logprobs.length).toBeGreaterThan(0)
    const { status: gone } = await over().get(`/v1/responses/${body.id}`)
    expect(gone).toBe(404)
  })

  it('may be null, as its types have it', async () => {
    const names = Object.keys(EVERYTHING).filter((name) => !['input', 'model'].includes(name))
    const nulls = Object.fromEntries([...names, 'previous_response_id'].map((name) => [name, null]))
    const { status, body } = await over().create({ ...nulls, input: 'Hi', model: null })
    expect(status).toBe(200)
    expect(body.model).toBe(NAMES[0])
  })

  it('tool_choice none hides the tools', async () => {
    const { create, prompt } = over()
    await create({ ...EVERYTHING, tool_choice: 'none' })
    expect(prompt()).not.toContain('test_function')
  })

  it('previous_response_id goes on from an answer that was kept, without its instructions', async () => {
    const { create, prompt } = over()
    const { body } = await create({ ...SAMPLE, store: true, instructions: 'Be brief.' })
    const next = await create({ ...SAMPLE, previous_response_id: body.id, input: 'And now?' })
    expect(next.status).toBe(200)
    expect(prompt()).toContain('Test response<|end|><|start|>user<|message|>And now?')
    expect(prompt()).not.toContain('Be brief.')
    const { status, body: lost } = await create({ ...SAMPLE, previous_response_id: 'resp_none' })
    expect(status).toBe(404)
    expect(lost.error.param).toBe('previous_response_id')
  })
})

describe('each of its items', () => {
  const ANSWERED = { query: 'weather', type: 'search' }
  const CALL = { type: 'function_call', name: 'test_function', arguments: '{}', call_id: 'call_1' }

  it('is told to the model, or left out where another tool ran it', async () => {
    const { create, prompt } = over()
    const input = [
      { role: 'system', content: 'Be kind.' },
      {
        type: 'message',
        role: 'user',
        content: [{ type: 'text', text: 'Look', status: 'completed' }],
      },
      {
        role: 'user',
        content: [{ type: 'input_text', text: 'it up', annotations: null }],
        status: null,
      },
      { type: 'web_search_call', id: 'ws_1234', status: 'completed', action: ANSWERED },
      { type: 'code_interpreter_call', id: 'ci_1', status: 'failed', code: null, outputs: null },
      {
        type: 'reasoning',
        id: 'rs_1234',
        summary: [],
        content: [{ type: 'reasoning_text', text: 'Hm' }],
      },
      { ...CALL, id: 'fc_1234', status: 'completed' },
      { type: 'function_call_output', call_id: 'call_1', output: 'sun' },
    ]
    const { status } = await create({ ...SAMPLE, tools: [FUNCTION], input })
    expect(status).toBe(200)
    for (const told of [
      'Be kind.',
      '<|start|>user<|message|>Look<|end|>',
      '<|start|>user<|message|>it up<|end|>',
      '<|channel|>analysis<|message|>Hm<|end|>',
      ' to=functions.test_function<|channel|>commentary',
      'functions.test_function to=assistant<|channel|>commentary<|message|>',
    ])
      expect(prompt()).toContain(told)
    expect(prompt()).not.toContain('weather')
  })

  it('takes thoughts with content null and annotations in what the assistant said', async () => {
    const { create, prompt } = over()
    const url = { type: 'url_citation', start_index: 0, end_index: 2, url: 'https://x', title: 'x' }
    const said = { type: 'output_text', text: 'Hi', status: 'completed', annotations: [url] }
    const input = [
      { role: 'user', content: 'Hello' },
      {
        type: 'reasoning',
        id: 'rs_1',
        summary: [{ type: 'summary_text', text: 'Greets' }],
        content: null,
      },
      { role: 'assistant', content: [said], status: 'completed', id: 'item_1' },
      { role: 'user', content: 'Again' },
    ]
    expect((await create({ ...SAMPLE, input })).status).toBe(200)
    expect(prompt()).toContain('<|start|>assistant<|channel|>final<|message|>Hi<|end|>')
  })

  it.each<[string, Any, string]>([
    [
      'a call without its id',
      [{ type: 'function_call', name: 'f', arguments: '{}' }],
      'input[0].call_id',
    ],
    [
      'an output without its call',
      [{ type: 'function_call_output', call_id: 'c', output: '' }],
      'input',
    ],
    ['an unknown item', [{ type: 'telepathy' }], 'input[0].type'],
    ['an unknown role', [{ role: 'wizard', content: 'x' }], 'input[0].role'],
  ])('%s is refused by name', async (_, input, param) => {
    const { status, body } = await over().create({ ...SAMPLE, input })
    expect(status).toBe(400)
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param })
  })

  it.each<[object, string]>([
    [{ metadata: { __debug: true } }, 'metadata.__debug'],
    [{ max_output_tokens: 0 }, 'max_output_tokens'],
    [{ tool_choice: 'sometimes' }, 'tool_choice'],
    [{ tools: [{ type: 'telepathy' }] }, 'tools[0].type'],
    [{ temperature: 'hot' }, 'temperature'],
    [{ reasoning: { effort: 'huge' }, reasoning_effort: undefined }, 'reasoning.effort'],
  ])('%j is refused by name', async (fields, param) => {
    const { status, body } = await over().create({ ...SAMPLE, ...fields })
    expect(status).toBe(400)
    expect(body.error).toMatchObject({ type: 'invalid_request_error', param })
    expect(body.error.message.length).toBeGreaterThan(10)
  })
})
