// Items of every kind that SDKs send back, as the messages they become; the store, and all that is done with it.
import { describe, expect, it } from 'vitest'
import { itemsOf, messagesOfItems, referencesOf, withTypes } from '../../src/protocol/items.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { STOCK_TEMPLATE } from '../../src/families/seed-oss/stock.ts'
import { ScriptedEngine, served } from '../scripted.ts'
import type { Any } from './ask.ts'
import { CALL, responsesOver, tools } from './events.ts'

let ids = 0
const told = (input: unknown): Any => {
  const { items } = itemsOf(withTypes(input) as Any, new Map(), (prefix) => `${prefix}${ids++}`)
  return messagesOfItems(items)
}
const call = { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"a": 1.0}' }
const output = { type: 'function_call_output', call_id: 'c1', output: 'sunny' }
const toolCall = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a": 1.0}' } }

describe('items become messages', () => {
  const cases: [name: string, input: unknown, messages: unknown[]][] = [
    ['a string', 'Hi', [{ role: 'user', content: 'Hi' }]],
    [
      'messages with and without type, string and part content',
      [
        { role: 'developer', content: 'D' },
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a' }] },
        { role: 'assistant', content: 'b' },
        {
          id: 'm',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'refusal', refusal: 'no' }],
        },
        { type: null, role: 'user', content: null },
      ],
      [
        { role: 'developer', content: 'D' },
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
        { role: 'assistant', content: 'no' },
        { role: 'user', content: '' },
      ],
    ],
    [
      'a turn with thought, text and calls, then outputs',
      [
        { type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text: 'hm' }] },
        { role: 'assistant', content: [{ type: 'output_text', text: 'Sure' }] },
        call,
        { ...call, call_id: 'c2', arguments: '' },
        { ...output, call_id: 'c2', output: [{ type: 'input_text', text: 'x' }] },
        output,
      ],
      [
        {
          role: 'assistant',
          content: 'Sure',
          reasoning: 'hm',
          tool_calls: [
            toolCall,
            { id: 'c2', type: 'function', function: { name: 'f', arguments: '{}' } },
          ],
        },
        { role: 'tool', tool_call_id: 'c2', content: 'x' },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ],
    ],
    [
      'thoughts of two rounds stay apart',
      [
        { type: 'reasoning', content: [{ text: 'one' }] },
        call,
        output,
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'two' }], content: null },
        { role: 'assistant', content: 'done' },
      ],
      [
        { role: 'assistant', content: null, reasoning: 'one', tool_calls: [toolCall] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
        { role: 'assistant', content: 'done', reasoning: 'two' },
      ],
    ],
    [
      'a thought without content is nothing',
      [
        { type: 'reasoning', id: 'rs_1', summary: [], content: null, encrypted_content: null },
        call,
      ],
      [{ role: 'assistant', content: null, tool_calls: [toolCall] }],
    ],
    [
      'custom calls, and items of tools run elsewhere',
      [
        { type: 'web_search_call', id: 'ws', status: 'completed' },
        { type: 'custom_tool_call', call_id: 'c3', name: 'patch', input: 'a"b' },
        { type: 'custom_tool_call_output', call_id: 'c3', output: 'ok' },
      ],
      [
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'c3',
              type: 'function',
              function: { name: 'patch', arguments: '{"input":"a\\"b"}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'c3', content: 'ok' },
      ],
    ],
    [
      'a call that was cut is left out, unless it was answered',
      [
        { ...call, status: 'incomplete' },
        output,
        { ...call, call_id: 'c9', arguments: '{"a', status: 'incomplete' },
        { role: 'user', content: 'Hi' },
      ],
      [
        { role: 'assistant', content: null, tool_calls: [toolCall] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
        { role: 'user', content: 'Hi' },
      ],
    ],
  ]
  it.each(cases)('%s', (_, input, messages) => {
    expect(told(input)).toEqual(messages)
  })

  it('names what must be looked up', () => {
    const input = withTypes([
      { id: 'a' },
      { type: 'reasoning', id: 'b', summary: [] },
      { role: 'user', id: 'c', content: '' },
    ])
    expect([...referencesOf(input as Any)]).toEqual(['a', 'b'])
  })
})

describe('the prompt', () => {
  it('is the one chat would give, whatever the family', async () => {
    const engine = new ScriptedEngine({ steps: ['a'] })
    const template = seedOss.template(STOCK_TEMPLATE)
    const model = { ...served(engine), family: seedOss, template }
    const { create, chat, prompt } = responsesOver({ steps: ['a'] }, {}, { engine, model })
    const described = {
      name: 'f',
      description: 'Does f',
      parameters: { type: 'object', properties: { a: { type: 'number', default: 1 } } },
    }
    await chat({
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: null, reasoning: 'hm', tool_calls: [toolCall] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ],
      tools: [{ type: 'function', function: described }],
      reasoning_effort: 'low',
    })
    const before = prompt()
    expect(before).toContain('Does f')
    const thought = { type: 'reasoning', content: [{ text: 'hm' }] }
    await create({
      instructions: 'Be brief',
      input: [{ role: 'user', content: 'Hi' }, thought, call, output],
      tools: [{ type: 'function', ...described }],
      reasoning: { effort: 'low' },
    })
    expect(prompt()).toBe(before)
  })

  it('has instructions first, and functions in chat’s form', async () => {
    const { create, prompt } = responsesOver({ steps: ['a'] })
    await create({ instructions: 'Be brief', input: [{ role: 'user', content: 'Hi' }] })
    expect(prompt()).toMatch(/system\nBe brief.*user\nHi/s)
  })

  it('counts its tokens without running', async () => {
    const { post, create, engine } = responsesOver({ steps: ['a'] })
    const { body } = await post('/v1/responses/input_tokens', { input: 'Hi' })
    expect(engine.requests).toHaveLength(0)
    const { usage } = (await create()).body
    expect(body).toEqual({ object: 'response.input_tokens', input_tokens: usage.input_tokens })
  })

  it('loses its oldest turns where that is asked for', async () => {
    const { create, prompt } = responsesOver({ steps: ['a'] })
    const turn = (n: number) => [
      { role: 'user', content: `<${n}>${'x'.repeat(400)}` },
      { role: 'assistant', content: 'y'.repeat(400) },
    ]
    const input = [{ role: 'developer', content: 'D' }, ...[1, 2, 3, 4, 5, 6].flatMap(turn)]
    const fields = { input, instructions: 'Be brief' }
    expect((await create(fields)).body.error.code).toBe('context_length_exceeded')
    const { body } = await create({ ...fields, truncation: 'auto' })
    expect(body.status).toBe('completed')
    expect(prompt()).toMatch(/Be brief.*developer\nD.*<4>.*<6>/s)
    expect(prompt()).not.toContain('<3>')
    const long = Array.from({ length: 900 }, (_, n) => turn(n)).flat()
    expect((await create({ input: long, truncation: 'auto' })).status).toBe(200)
    expect(prompt()).toContain('<899>')
    const alone = await create({ input: 'x'.repeat(5000), truncation: 'auto' })
    expect(alone.status).toBe(400)
  })

  it('drops nothing of a packed thought', async () => {
    const steps = ['<seed:think>hm ü</seed:think>', CALL]
    const { create } = responsesOver({ steps })
    const include = ['reasoning.encrypted_content']
    const { body } = await create({ tools, store: false, include })
    const { content: _, ...bare } = body.output[0]
    expect(told([bare, call])[0].reasoning).toBe('hm ü')
  })
})
