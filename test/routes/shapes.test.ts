// What requests ask of an answer's shape, as the family and the engine hear it, and what is refused, by name. That the
// answers then have it is for test/native/shapes.test.ts.
import { describe, expect, it } from 'vitest'
import { EngineRefusal } from '../../src/engine.ts'
import { appOver, type Any } from './ask.ts'
import { responsesOver } from './events.ts'

const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }
const closed = { ...schema, additionalProperties: false }
const json = { kind: 'json', schema: closed }
const named = (inner: object) => ({ type: 'json_schema', json_schema: { name: 'x', ...inner } })
const tool = (name: string, more: object = {}) => ({
  type: 'function',
  function: { name, ...more },
})

/** What the family was asked for. */
const asked = async (fields: object): Promise<Any> => {
  const { chat, engine } = appOver({ steps: ['{}'] })
  const { status, body } = await chat(fields)
  expect(body.error).toBe(undefined)
  expect(status).toBe(200)
  expect(engine.requests[0]?.request.constraint).toMatchObject({ lark: engine.grammars[0] ?? '' })
  return JSON.parse(engine.grammars[0] ?? 'null')
}

describe('an answer', () => {
  it.each<[string, object, object]>([
    [
      'json_object',
      { response_format: { type: 'json_object' } },
      { kind: 'json', schema: { type: 'object' } },
    ],
    ['json_schema', { response_format: named({ schema }) }, json],
    ['structured json', { structured_outputs: { json: schema } }, json],
    ['json as text', { structured_outputs: { json: JSON.stringify(schema) } }, json],
    ['guided_json', { guided_json: schema, guided_decoding_backend: 'auto' }, json],
    [
      'blanks',
      { structured_outputs: { json: schema, whitespace_pattern: ' *' } },
      { ...json, whitespace: ' *' },
    ],
    [
      'guided blanks',
      { guided_json: schema, guided_whitespace_pattern: ' ?' },
      { ...json, whitespace: ' ?' },
    ],
    ['regex', { structured_outputs: { regex: 'a+' } }, { kind: 'regex', pattern: 'a+' }],
    ['guided_regex', { guided_regex: 'a+' }, { kind: 'regex', pattern: 'a+' }],
    [
      'choice',
      { structured_outputs: { choice: ['x', 'y', 'x'] } },
      { kind: 'choice', options: ['x', 'y'] },
    ],
    ['guided_choice', { extra_body: { guided_choice: ['x'] } }, { kind: 'choice', options: ['x'] }],
    [
      'grammar',
      { structured_outputs: { grammar: 'start: NUM ("," NUM)*\nNUM: /[0-9]+/ // digits' } },
      { kind: 'lark', rules: 'own_start: OWN_NUM ("," OWN_NUM)*\nOWN_NUM: /[0-9]+/ ' },
    ],
    [
      'structural_tag',
      {
        response_format: {
          type: 'structural_tag',
          structures: [{ begin: '<f=a>', schema, end: '</f>' }],
          triggers: ['<f='],
        },
      },
      { kind: 'tags', triggers: ['<f='], tags: [{ begin: '<f=a>', end: '</f>', schema: closed }] },
    ],
    [
      'triggered tags',
      {
        structured_outputs: {
          structural_tag: JSON.stringify({
            type: 'structural_tag',
            format: {
              type: 'triggered_tags',
              triggers: ['<f='],
              tags: [
                {
                  begin: '<f=a>',
                  content: { type: 'json_schema', json_schema: schema },
                  end: '</f>',
                },
              ],
            },
          }),
        },
      },
      { kind: 'tags', triggers: ['<f='], tags: [{ begin: '<f=a>', end: '</f>', schema: closed }] },
    ],
  ])('%s', async (_, fields, answer) => {
    expect((await asked(fields)).answer).toEqual(answer)
  })

  it('of text is held to nothing', async () => {
    const { chat, engine } = appOver({ steps: ['x'] })
    await chat({ response_format: { type: 'text' }, guided_decoding_backend: 'auto' })
    expect([engine.grammars, engine.requests[0]?.request.constraint]).toEqual([[], undefined])
  })

  it('has its shape in completions too, and all choices share it', async () => {
    const { post, engine } = appOver({ steps: ['x'] })
    await post('/v1/completions', { prompt: 'A', n: 2, structured_outputs: { choice: ['x', 'y'] } })
    expect(engine.grammars).toEqual(['start: answer\nanswer: "x" | "y"\nTEXT: /(.|\\n)*/'])
    expect(engine.requests.map(({ request }) => request.constraint)).toHaveLength(2)
  })
})

describe('text.format of a response', () => {
  it('is held, repeated, and told', async () => {
    const { create, engine } = responsesOver({ steps: ['{"a":1}'] })
    const format = { type: 'json_schema', name: 'x', schema, strict: true }
    const { body } = await create({ text: { format, verbosity: 'low' } })
    expect(JSON.parse(engine.grammars[0] ?? '').answer).toEqual(json)
    expect(body.text).toEqual({ format: { ...format, description: null }, verbosity: 'low' })
  })

  it('goes on being text where it is text, and any object where that is asked', async () => {
    const { create, engine } = responsesOver({ steps: ['{}'] })
    expect((await create({ text: { format: { type: 'text' } } })).body.text.format).toEqual({
      type: 'text',
    })
    expect(engine.grammars).toEqual([])
    const { body } = await create({ text: { format: { type: 'json_object' } } })
    expect(body.text.format).toEqual({ type: 'json_object' })
    expect(JSON.parse(engine.grammars[0] ?? '').answer.schema).toEqual({ type: 'object' })
  })

  it('names what is wrong as it was sent', async () => {
    const { create } = responsesOver({ steps: ['x'] })
    const format = { type: 'json_schema', name: 'x', schema: { not: {} } }
    const { status, body } = await create({ text: { format } })
    expect([status, body.error.param]).toEqual([400, 'text.format.schema'])
    const strict = { type: 'function', name: 'f', strict: true, parameters: { type: 'strng' } }
    const wrong = await create({ tools: [{ type: 'web_search' }, strict], tool_choice: 'required' })
    expect(wrong.status).toBe(200)
  })
})

describe('a tool choice', () => {
  const tools = [tool('f'), tool('g')]
  it.each<[object, object]>([
    [{ tool_choice: 'required' }, { names: ['f', 'g'], toolChoice: 'required' }],
    [
      { tool_choice: { type: 'function', function: { name: 'g' } } },
      { names: ['f', 'g'], toolChoice: { name: 'g' } },
    ],
    [
      {
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'required', tools: [tool('g')] },
        },
        parallel_tool_calls: false,
      },
      { names: ['g'], toolChoice: 'required', parallelToolCalls: false },
    ],
  ])('%j', async (fields, expected) => {
    expect(await asked({ tools, ...fields })).toEqual(expected)
  })

  it('is the same in responses, where custom tools may be named', async () => {
    const { create, engine } = responsesOver({ steps: ['x'] })
    const custom = {
      type: 'custom',
      name: 'c',
      format: { type: 'grammar', syntax: 'regex', definition: '[a-z]+' },
    }
    await create({ tools: [custom], tool_choice: { type: 'custom', name: 'c' } })
    expect(JSON.parse(engine.grammars[0] ?? '')).toMatchObject({
      names: ['c'],
      toolChoice: { name: 'c' },
    })
  })
})

describe('what cannot be held is 400 and named', () => {
  const outputs = (given: object) => ({ structured_outputs: given })
  it.each<[string, object, RegExp?]>([
    ['response_format', { response_format: {} }],
    ['response_format.json_schema', { response_format: { type: 'json_schema' } }],
    ['response_format.json_schema.name', { response_format: named({ name: 'no blanks', schema }) }],
    ['response_format.json_schema.schema', { response_format: named({}) }],
    ['response_format.json_schema.schema', { response_format: named({ schema: 'x' }) }],
    [
      'response_format.json_schema.schema',
      { response_format: named({ schema: { type: 'strng' } }) },
      /'type'/,
    ],
    [
      'response_format.json_schema.schema',
      { response_format: named({ schema: { properties: { a: { not: {} } } } }) },
      /'properties\.a\.not'/,
    ],
    ['structured_outputs', outputs({})],
    ['structured_outputs', { structured_outputs: 'x' }],
    ['structured_outputs.regex', outputs({ json: schema, regex: 'a' }), /one shape/],
    [
      'structured_outputs.regex',
      { ...outputs({ regex: 'a' }), response_format: named({ schema }) },
    ],
    ['guided_regex', { guided_regex: 5 }],
    ['guided_json', { guided_json: '{' }],
    ['guided_choice', { guided_choice: [] }],
    ['structured_outputs.choice', outputs({ choice: ['a', ''] })],
    ['structured_outputs.whitespace_pattern', outputs({ regex: 'a', whitespace_pattern: ' ' })],
    ['structured_outputs.grammar', outputs({ grammar: 'root ::= "a"' }), /EBNF/],
    ['structured_outputs.grammar', outputs({ grammar: 'x: "a"' }), /start/],
    ['structured_outputs.grammar', outputs({ grammar: 'start: <|end|>' }), /control/],
    ['structured_outputs.grammar', outputs({ grammar: 'start: %json {}' })],
    ['structured_outputs.structural_tag', outputs({ structural_tag: '[' })],
    [
      'response_format',
      {
        response_format: {
          type: 'structural_tag',
          structures: [{ begin: '<a>', schema, end: '</a>' }],
          triggers: ['<b'],
        },
      },
      /triggers/,
    ],
    ['grammar', { grammar: 'root ::= "a"' }, /Lark/],
    ['tool_choice', { tools: [tool('f')], tool_choice: { type: 'custom', custom: { name: 'f' } } }],
    [
      'tool_choice',
      {
        tools: [tool('f')],
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [tool('g')] } },
      },
      /'g'/,
    ],
  ])('%s %j', async (param, fields, text = /./) => {
    const { chat, engine } = appOver({ steps: ['x'] })
    const { status, body } = await chat(fields)
    expect([status, body.error.param]).toEqual([400, param])
    expect(body.error.message).toMatch(text)
    expect([engine.requests, engine.grammars]).toEqual([[], []])
  })

  it('also where the engine is who will not have it', async () => {
    const { chat, engine } = appOver({ steps: ['x'] })
    engine.refuseGrammar = () => 'the constraint cannot be used: it is too large'
    const { status, body } = await chat({ structured_outputs: { regex: '(a{1000}){1000}' } })
    expect(status).toBe(400)
    expect(body.error).toMatchObject({
      param: 'structured_outputs.regex',
      type: 'invalid_request_error',
    })
    expect(body.error.message).toContain('it is too large')
    const streamed = await chat({ tools: [tool('f')], tool_choice: 'required', stream: true })
    expect(streamed.status).toBe(400)
    engine.compileConstraint = async () => {
      throw new EngineRefusal(503, 'server_busy', 'busy')
    }
    expect((await chat({ guided_regex: 'a' })).status).toBe(503)
  })
})
