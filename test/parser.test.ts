// The edges of Seed-OSS output one by one, whole and streamed, and the command that shows them.
import { describe, expect, test } from 'vitest'
import { answerTo } from '../src/cli/parse.ts'
import type { Json, ParserStart, Tool, ToolChoice } from '../src/conversation.ts'
import type { ParsedEvent } from '../src/events.ts'
import { createParser, type ParserOptions } from '../src/families/seed-oss/parser.ts'
import { folded } from './oracle.ts'

const toolWith = (name: string, properties: { [key: string]: Json }, more = {}): Tool => ({
  name,
  source: '{}',
  parameters: { type: 'object', properties, ...more },
})

const WEATHER = toolWith('get_weather', {
  location: { type: 'string' },
  unit: { type: 'string' },
  days: { type: 'integer' },
})
const TOOLS = [WEATHER, toolWith('get_time', { zone: { type: 'string' } })]

interface Options {
  start?: ParserStart
  tools?: Tool[]
  toolChoice?: ToolChoice
  finish?: 'stop' | 'length'
  continues?: boolean
}

const feed = (pieces: Iterable<string>, options: Options = {}): ParsedEvent[] => {
  const { start = 'auto', tools = TOOLS, toolChoice = 'auto', finish = 'stop' } = options
  const all: ParserOptions = { start, tools, toolChoice, continues: options.continues ?? false }
  const parser = createParser(all)
  const events: ParsedEvent[] = []
  for (const piece of pieces) events.push(...parser.push(piece))
  return [...events, ...parser.finish(finish)]
}

interface Expected {
  reasoning?: string
  content?: string
  calls?: [name: string, args: string][]
}

/** Reads whole, in single characters and in threes, and expects the same of each. */
const expectRead = (text: string, expected: Expected, options: Options = {}): void => {
  const { reasoning = '', content = '', calls = [] } = expected
  const threes = text.match(/[^]{1,3}/g) ?? []
  for (const pieces of [[text], text.split(''), threes]) {
    const read = folded(feed(pieces, options))
    expect({ ...read, calls: read.calls.map(({ name, args }) => [name, args]) }).toEqual({
      reasoning,
      content,
      calls,
    })
  }
}

const call = (name: string, ...parameters: [string, string][]): string =>
  `<seed:tool_call>\n<function=${name}>\n` +
  parameters.map(([key, value]) => `<parameter=${key}>${value}</parameter>\n`).join('') +
  '</function>\n</seed:tool_call>'

const PARIS = call('get_weather', ['location', 'Paris'])
const ROME = call('get_weather', ['location', 'Rome'])
const PARIS_CALL: [string, string] = ['get_weather', '{"location":"Paris"}']
const ROME_CALL: [string, string] = ['get_weather', '{"location":"Rome"}']

describe('thought and answer', () => {
  test('a thought that the model opens', () => {
    expectRead('<seed:think>\nHm.\n</seed:think>\nHello!<seed:eos>', {
      reasoning: 'Hm.',
      content: 'Hello!',
    })
  })
  test('a thought that the prompt left open, with or without the tag once more', () => {
    const expected = { reasoning: 'Hm.', content: 'Hello!' }
    expectRead('Hm.</seed:think>Hello!', expected, { start: 'reasoning' })
    expectRead('<seed:think>\nHm.</seed:think>Hello!', expected, { start: 'reasoning' })
  })
  test('a thought that the prompt closed: the answer, its first newlines dropped', () => {
    expectRead('\n\nHello!', { content: 'Hello!' }, { start: 'content' })
  })
  test('a reply that goes on inside its own text keeps every newline', () => {
    expectRead('\n- two', { content: '\n- two' }, { start: 'content', continues: true })
  })
  test('no tags at all are an answer', () => {
    expectRead('\n Hello <b>you</b>!', { content: '\n Hello <b>you</b>!' })
  })
  test('an end tag alone splits only where the prompt left the thought open', () => {
    expectRead('Hm. </seed:think>Hello!', { content: 'Hm. Hello!' })
  })
  test('a thought cut by the limit is thought, with no answer', () => {
    expectRead('<seed:think>Hm, ', { reasoning: 'Hm,' }, { finish: 'length' })
  })
  test('reflections stay in the thought as they are, balanced or not', () => {
    const used = '<seed:cot_budget_reflect>I have used 129 tokens.</seed:cot_budget_reflect>'
    expectRead(`<seed:think>a\n${used}\nb</seed:cot_budget_reflect>\n</seed:think>c`, {
      reasoning: `a\n${used}\nb</seed:cot_budget_reflect>`,
      content: 'c',
    })
  })
  test('an empty thought is none', () => {
    expectRead('<seed:think>\n\n</seed:think>\nHello!', { content: 'Hello!' })
  })
  test('a second thought begins after a call, not in the middle of the answer', () => {
    expectRead(`<seed:think>a</seed:think>${PARIS}\n<seed:think>\nb</seed:think>c`, {
      reasoning: 'a\nb',
      content: 'c',
      calls: [PARIS_CALL],
    })
    expectRead('Hello <seed:think>you</seed:think>!', { content: 'Hello you!' })
  })
  test('the end token is dropped at the end and nowhere else', () => {
    expectRead('a<seed:eos>b<seed:eos><seed:eos>', { content: 'a<seed:eos>b' })
    expectRead(`${PARIS}<seed:eos>`, { calls: [PARIS_CALL] })
  })
  test('an answer of white space is one, if no call follows', () => {
    expectRead('<seed:think>a</seed:think>\n ', { reasoning: 'a', content: ' ' })
    expectRead(`<seed:think>a</seed:think>\n \n${PARIS}`, { reasoning: 'a', calls: [PARIS_CALL] })
  })
  test('halves of tags and characters at the end are text', () => {
    expectRead('a </seed:thi', { content: 'a </seed:thi' })
    expectRead('a \ud83d', { content: 'a \ud83d' })
    expectRead('a 🌦️', { content: 'a 🌦️' })
  })
})

describe('calls', () => {
  test('in all four combinations of stream and thought', () => {
    for (const [text, start] of [
      [`<seed:think>a</seed:think>\n${PARIS}`, 'auto'],
      [`a</seed:think>\n${PARIS}`, 'reasoning'],
    ] as const)
      expectRead(text, { reasoning: 'a', calls: [PARIS_CALL] }, { start })
    expectRead(PARIS, { calls: [PARIS_CALL] }, { start: 'content' })
    expectRead(PARIS, { calls: [PARIS_CALL] })
  })
  test('several blocks, the same function twice', () => {
    expectRead(`Look:\n${PARIS}\n${ROME}\n`, { content: 'Look:\n', calls: [PARIS_CALL, ROME_CALL] })
  })
  test('several functions in one block', () => {
    const two = `${PARIS}${ROME}`.replace('\n</seed:tool_call><seed:tool_call>', '')
    expectRead(two, { calls: [PARIS_CALL, ROME_CALL] })
  })
  test('a bare function, if it is declared', () => {
    const bare = (name: string): string => `<function=${name}><parameter=location>Paris</parameter>`
    expectRead(`${bare('get_weather')}</function>`, { calls: [PARIS_CALL] })
    expectRead(`${bare('other')}</function>`, { content: `${bare('other')}</function>` })
  })
  test('missing ends at the end of the output', () => {
    for (const end of [
      '</parameter></function></seed:tool_call>',
      '</parameter></function>',
      '</parameter>',
      '',
      '\n</function>\n</seed:tool_call>',
      '</function>',
      '</seed:tool_call>',
    ])
      expectRead(`<seed:tool_call><function=get_weather><parameter=location>\nParis${end}`, {
        calls: [PARIS_CALL],
      })
  })
  test('missing ends before the next block', () => {
    expectRead(
      `<seed:tool_call><function=get_weather><parameter=location>Paris</parameter>${ROME}`,
      { calls: [PARIS_CALL, ROME_CALL] }
    )
    expectRead(
      `<seed:tool_call><function=get_weather><parameter=location>Paris</seed:tool_call>${ROME}`,
      {
        calls: [PARIS_CALL, ROME_CALL],
      }
    )
  })
  test('a broken header keeps its siblings', () => {
    expectRead(`<seed:tool_call><function=broken</function></seed:tool_call>\n${PARIS}`, {
      calls: [['broken', '{}'], PARIS_CALL],
    })
  })
  test('a block without a function is text', () => {
    const json = '<seed:tool_call>{"name": "get_weather"}</seed:tool_call>'
    expectRead(`a\n${json}\n${PARIS}`, { content: `a\n${json}\n`, calls: [PARIS_CALL] })
  })
  test('a parameter without a name is said after the call', () => {
    expectRead('<seed:tool_call><function=get_weather><parameter=city</parameter></function>', {
      content: '<parameter=city</parameter>',
      calls: [['get_weather', '{}']],
    })
  })
  test('no parameters are an empty object', () => {
    expectRead(call('get_time'), { calls: [['get_time', '{}']] })
  })
  test('unknown functions and parameters are passed on as strings', () => {
    expectRead(call('other', ['n', '1']), { calls: [['other', '{"n":"1"}']] })
    expectRead(call('get_weather', ['n', '1']), { calls: [['get_weather', '{"n":"1"}']] })
  })
  test('text after calls is appended, white space is not', () => {
    expectRead(`${PARIS}\nDone.`, { content: 'Done.', calls: [PARIS_CALL] })
    expectRead(`Look: ${PARIS}\nDone.`, { content: 'Look: \nDone.', calls: [PARIS_CALL] })
    expectRead(`Look: ${PARIS}\n \n`, { content: 'Look: ', calls: [PARIS_CALL] })
  })
  test('without tools, or with tool_choice none, the text of a call is an answer', () => {
    expectRead(PARIS, { content: PARIS }, { tools: [] })
    expectRead(PARIS, { content: PARIS }, { toolChoice: 'none' })
    expectRead(`<seed:think>${PARIS}`, { reasoning: PARIS }, { tools: [] })
  })
})

describe('calls in the thought', () => {
  test('a mention is not a call', () => {
    expectRead(`<seed:think>I could say ${PARIS} or ask.</seed:think>Which city?`, {
      reasoning: `I could say ${PARIS} or ask.`,
      content: 'Which city?',
    })
    expectRead(`<seed:think>a ${PARIS}\n</seed:think>${ROME}`, {
      reasoning: `a ${PARIS}`,
      calls: [ROME_CALL],
    })
    expectRead('<seed:think>a <seed:tool_call> tag</seed:think>b', {
      reasoning: 'a <seed:tool_call> tag',
      content: 'b',
    })
  })
  test('blocks that end the output are calls, ended or not', () => {
    expectRead(`<seed:think>Now.\n${PARIS}\n${ROME}<seed:eos>`, {
      reasoning: 'Now.',
      calls: [PARIS_CALL, ROME_CALL],
    })
    expectRead(
      `Now.\n${PARIS.replace(/<\/parameter>[^]*/, '')}`,
      { reasoning: 'Now.', calls: [PARIS_CALL] },
      {
        start: 'reasoning',
      }
    )
  })
  test('where the limit ended the output they are thought', () => {
    const text = `<seed:think>Now.\n${PARIS}`
    expectRead(text, { reasoning: `Now.\n${PARIS}` }, { finish: 'length' })
  })
})

describe('values', () => {
  const types: { [key: string]: Json } = {
    s: { type: 'string' },
    i: { type: 'integer' },
    n: { type: 'number' },
    b: { type: 'boolean' },
    o: { type: 'object', properties: { deep: { type: 'integer' } } },
    a: { type: 'array', items: { type: ['number', 'null'] } },
    maybe: { type: ['string', 'null'] },
    nullable: { type: 'integer', nullable: true },
    any: { anyOf: [{ type: 'integer' }, { $ref: '#/$defs/flag' }] },
    loop: { $ref: '#/$defs/loop' },
    lost: { $ref: 'https://example.com/other.json' },
    level: { enum: [1, 2] },
    untyped: { description: 'anything' },
    long: { type: 'int64' },
    dict: { type: 'dict' },
  }
  const $defs = { flag: { type: 'boolean' }, loop: { oneOf: [{ $ref: '#/$defs/loop' }] } }
  const tools = [toolWith('f', types, { $defs })]
  const expectValue = (key: string, raw: string, json: string): void =>
    expectRead(call('f', [key, raw]), { calls: [['f', `{"${key}":${json}}`]] }, { tools })

  test.each([
    ['s', '1', '"1"'],
    ['s', 'null', '"null"'],
    ['s', 'say "hi"\\n', '"say \\"hi\\"\\\\n"'],
    ['s', '天气 🌦️', '"天气 🌦️"'],
    ['s', '&lt;b&gt; <b>', '"&lt;b&gt; <b>"'],
    ['i', '42', '42'],
    ['i', ' 42\n', '42'],
    ['i', '12345678901234567890', '12345678901234567890'],
    ['i', '1.0', '1.0'],
    ['i', '+007', '7'],
    ['i', '1.5', '"1.5"'],
    ['i', 'three', '"three"'],
    ['i', '', '""'],
    ['n', '1.0', '1.0'],
    ['n', '1e5', '1e5'],
    ['n', '.5', '0.5'],
    ['n', '-5.', '-5.0'],
    ['n', 'nan', '"nan"'],
    ['n', '1e999', '"1e999"'],
    ['b', 'True', 'true'],
    ['b', 'false', 'false'],
    ['b', '1', 'true'],
    ['b', 'maybe', '"maybe"'],
    ['o', '{"a": [1.0, "x"]}', '{"a":[1.0,"x"]}'],
    [
      'o',
      "{'a': True, 'b': None, 'c': (1, 2), 3: 'it\\'s'}",
      '{"a":true,"b":null,"c":[1,2],"3":"it\'s"}',
    ],
    ['o', '{"deep": "7"}', '{"deep":7}'],
    ['o', '{"a": oops}', '"{\\"a\\": oops}"'],
    ['o', '[1]', '"[1]"'],
    ['a', "['1', None, 2.50]", '[1,null,2.50]'],
    ['a', '[1, 2', '"[1, 2"'],
    ['maybe', 'None', 'null'],
    ['maybe', 'none of it', '"none of it"'],
    ['nullable', 'null', 'null'],
    ['nullable', '3', '3'],
    ['any', '3', '3'],
    ['any', 'True', 'true'],
    ['loop', '3', '"3"'],
    ['lost', '3', '"3"'],
    ['level', '2', '2'],
    ['untyped', '3', '"3"'],
    ['long', '3', '3'],
    ['dict', '{}', '{}'],
  ])('%s: %j is %s', expectValue)

  test('a value that starts with a newline loses that and one at its end', () => {
    expectValue('s', '\nParis\n', '"Paris"')
    expectValue('s', '\n\nParis\n\n', '"\\nParis\\n"')
    expectValue('s', 'const a = 1\n', '"const a = 1\\n"')
    expectValue('s', '\n', '""')
  })
  test('only the end of the parameter or of the call ends a value', () => {
    expectValue('s', 'a </function> b', '"a </function> b"')
    expectValue('s', '<function=f><parameter=x>', '"<function=f><parameter=x>"')
    expectValue('s', '</seed:think>', '"</seed:think>"')
  })
  test('lists too deep to be meant stay strings', () => {
    const deep = '['.repeat(100_000)
    expectValue('a', deep, JSON.stringify(deep))
  })
})

describe('streaming', () => {
  test('a string comes as it is written, other values at their end', () => {
    const pieces = ['<seed:tool_call>\n<function=get_weather>', '\n<parameter=location>Par', 'is']
    const parser = createParser({ start: 'auto', tools: TOOLS, toolChoice: 'auto' })
    expect(pieces.map((piece) => parser.push(piece))).toEqual([
      [{ type: 'tool-start', index: 0, name: 'get_weather' }],
      [{ type: 'tool-args', index: 0, text: '{"location":"Par' }],
      [{ type: 'tool-args', index: 0, text: 'is' }],
    ])
    expect(parser.push('</parameter><parameter=days>1')).toEqual([
      { type: 'tool-args', index: 0, text: '"' },
    ])
    expect(parser.push('0</parameter>')).toEqual([
      { type: 'tool-args', index: 0, text: ',"days":10' },
    ])
    expect(parser.push('</function>')).toEqual([
      { type: 'tool-args', index: 0, text: '}' },
      { type: 'tool-end', index: 0 },
    ])
  })
  test('text is held back only as long as it may be a tag', () => {
    const parser = createParser({ start: 'auto', tools: TOOLS, toolChoice: 'auto' })
    expect(parser.push('a <seed:tool')).toEqual([{ type: 'text', text: 'a ' }])
    expect(parser.push('s>')).toEqual([{ type: 'text', text: '<seed:tools>' }])
  })
  test('a call that the limit cuts has no end and what came of its arguments', () => {
    const start = '<seed:tool_call><function=get_weather><parameter='
    for (const [rest, args] of [
      ['location>Par', '{"location":"Par'],
      ['days>1', '{"days":1'],
      ['days>1</parameter>', '{"days":1'],
    ]) {
      const events = feed([start + rest], { finish: 'length' })
      expect(folded(events).calls).toEqual([{ name: 'get_weather', args, ended: false }])
    }
  })
})

describe('seed-server parse', () => {
  const tools = [
    { type: 'function', function: { name: 'get_weather', parameters: WEATHER.parameters } },
  ]

  test('prints what the chat route would send', () => {
    const text = `<seed:think>a</seed:think>${call('get_weather', ['days', '3'])}`
    const id = expect.stringMatching(/^call_\w{24}$/)
    for (const chunk of [undefined, 1, 7])
      expect(answerTo(JSON.stringify({ text, tools, chunk }))).toMatchObject({
        message: {
          role: 'assistant',
          content: null,
          reasoning: 'a',
          reasoning_content: 'a',
          tool_calls: [
            { id, type: 'function', function: { name: 'get_weather', arguments: '{"days":3}' } },
          ],
        },
        finish_reason: 'tool_calls',
      })
    expect(
      answerTo(JSON.stringify({ text: 'Grüße 🌦️', chunk: 3, finish: 'length' }))
    ).toMatchObject({
      deltas: [
        { role: 'assistant', content: '' },
        { content: 'Grü' },
        { content: 'ße ' },
        { content: '🌦️' },
      ],
      finish_reason: 'length',
    })
  })
  test.each([
    ['oops', 'The input is not JSON'],
    ['[]', 'an object with "text"'],
    ['{"tokens": [1]}', 'read as text'],
    ['{"text": "a", "chunk": 0}', '"chunk"'],
    ['{"text": "a", "start": "end"}', '"start" must be one of auto, reasoning, content'],
    ['{"text": "a", "tools": [{}]}', 'tools[0].function.name'],
  ])('%s is refused with a sentence', (line, sentence) => {
    expect(answerTo(line)).toEqual({ error: expect.stringContaining(sentence) })
  })
})
