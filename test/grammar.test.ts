// What becomes of a caller's schemas, patterns and grammars before the engine compiles them.
import addFormats from 'ajv-formats'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it, test } from 'vitest'
import { z } from 'zod'
import type { Conversation, Json, Tool, ToolChoice } from '../src/conversation.ts'
import { ApiError } from '../src/errors.ts'
import { calleesOf } from '../src/grammar/calls.ts'
import { FORMATS, fromJavaScript } from '../src/grammar/formats.ts'
import { ownGrammar } from '../src/grammar/lark.ts'
import { preparedSchema } from '../src/grammar/schema.ts'

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)

describe('formats', () => {
  const good: { [format: string]: string[] } = {
    date: ['2024-02-29', '2000-02-29', '1999-12-31', '2023-04-30'],
    time: ['23:59:59Z', '00:00:00.123456+05:30'],
    'date-time': ['2024-02-29T12:00:00Z', '1985-04-12T23:20:50.52-08:00'],
    duration: ['P1Y2M3D', 'PT1H', 'P3W', 'P1DT12H30M5S'],
    email: ['a.b+c@example.org', 'x_y@mail.example.co.uk'],
    hostname: ['example.org', 'a-b.c'],
    ipv4: ['0.0.0.0', '255.255.255.255', '10.1.20.255'],
    ipv6: ['::', '::1', '2001:db8::ff00:42:8329', '1:2:3:4:5:6:7:8', '1::8', '1:2:3:4:5:6:7::'],
    uuid: ['123e4567-e89b-42d3-a456-426614174000'],
    uri: ['https://example.org', 'http://a.b:80/c/d?e=f&g#h', 'ftp://x/%20y'],
  }
  const bad: { [format: string]: string[] } = {
    date: [
      '2023-02-29',
      '1900-02-29',
      '2024-04-31',
      '2024-13-01',
      '2024-00-10',
      '24-01-01',
      '२०२४-01-01',
    ],
    time: ['24:00:00Z', '12:60:00Z', '12:00:00'],
    'date-time': ['2024-02-30T12:00:00Z', '2024-02-29 12:00:00Z'],
    duration: ['P', 'PT', '1D', 'P1H'],
    email: ['a@b', '@x.org', 'a..b@x.org', 'a b@x.org', '.a@x.org'],
    hostname: ['-a.b', 'a-.b', ''],
    ipv4: ['256.1.1.1', '1.1.1', '01.1.1.1'],
    ipv6: ['1:2:3', '::1::2', '12345::', '1:2:3:4:5:6:7:8:9'],
    uuid: ['123e4567-e89b-02d3-a456-42661417400g'],
    uri: ['example.org', 'http://', 'http://a b', 'http://x/%2'],
  }
  it.each(Object.keys(FORMATS))('%s', (format) => {
    const pattern = new RegExp(`^(?:${FORMATS[format]})$`, 'u')
    const valid = ajv.compile({ type: 'string', format })
    for (const text of good[format]!)
      expect([text, pattern.test(text), valid(text)]).toEqual([text, true, true])
    for (const text of bad[format]!) expect([text, pattern.test(text)]).toEqual([text, false])
  })

  it('and patterns that zod writes beside them are taken together', () => {
    const made = z.toJSONSchema(
      z.object({ a: z.email(), b: z.iso.duration(), c: z.cidrv4(), d: z.uuidv4() })
    )
    const { properties } = preparedSchema(made as Json, 'x') as {
      properties: { [key: string]: Json }
    }
    expect(properties.a).toEqual({ type: 'string', pattern: `^(${FORMATS.email})$` })
    expect(properties.b).toEqual({ type: 'string', pattern: `^(${FORMATS.duration})$` })
    expect(properties.c).toMatchObject({
      type: 'string',
      pattern: expect.stringContaining('25[0-5]'),
    })
    expect(properties.d).toMatchObject({
      allOf: [{ pattern: expect.stringContaining('-4[0-9a-fA-F]{3}-') }],
    })
  })
})

test('patterns mean what they mean in JavaScript', () => {
  expect(fromJavaScript('^\\d+[\\w-]\\\\d\\.\\S$')).toBe('^[0-9]+[A-Za-z0-9_-]\\\\d\\.\\S$')
  expect(fromJavaScript('[^\\D.][.]')).toBe('[^[^0-9].][.]')
  expect(fromJavaScript('a.b[[]')).toBe('a[^\\n\\r\\x{2028}\\x{2029}]b[\\[]')
})

const refusal = (schema: Json): ApiError => {
  try {
    preparedSchema(schema, 'p')
  } catch (error) {
    if (error instanceof ApiError) return error
  }
  throw new Error(`taken: ${JSON.stringify(schema).slice(0, 200)}`)
}

const nested = (depth: number): Json =>
  depth === 0 ? { type: 'null' } : { type: 'array', items: nested(depth - 1) }
const link = (n: number, links: number): Json =>
  n + 1 < links ? { $ref: `#/$defs/${n + 1}` } : { type: 'null' }
const chain = (links: number): Json => ({
  $ref: '#/$defs/0',
  $defs: Object.fromEntries(Array.from({ length: links }, (_, n) => [n, link(n, links)])),
})
const optional = (count: number): Json => ({
  type: 'object',
  properties: Object.fromEntries(Array.from({ length: count }, (_, n) => [`p${n}`, true])),
})

describe('schemas', () => {
  it.each<[string, Json]>([
    ['not', { not: {} }],
    ['if', { if: {} }],
    ['contains', { contains: {} }],
    ['uniqueItems', { type: 'array', uniqueItems: true }],
    ['propertyNames', { propertyNames: {} }],
    ['dependentRequired', { dependentRequired: {} }],
    ['unevaluatedProperties', { unevaluatedProperties: false }],
    ['format', { type: 'string', format: 'regex' }],
    ['pattern', { type: 'string', pattern: 5 }],
    ['$ref', { $ref: 'https://example.org/x' }],
    ['$ref', { $ref: '#/$defs/none' }],
    ['multipleOf', { type: 'integer', multipleOf: 999_983 }],
    ['maxLength', { type: 'string', maxLength: 100_000 }],
    ['enum', { enum: [] }],
    ['enum', { enum: Array.from({ length: 10_001 }, (_, n) => n) }],
    ['required', { required: 'a' }],
    ['anyOf', { anyOf: [] }],
    ['anyOf[1]', { anyOf: [true, 5] }],
    ['properties', optional(401)],
    ['items', nested(65)],
    ['references', chain(100)],
    ['longer than', { const: 'x'.repeat(300_000) }],
    ['oneOf', { oneOf: [{ type: 'integer' }, { type: 'number' }] }],
    ['oneOf', { oneOf: [{ type: 'object' }, { type: 'object', required: ['a'] }] }],
    ['oneOf', { oneOf: [{ const: 1 }, { enum: [2, 1] }] }],
    ["beside 'oneOf'", { oneOf: [{ type: 'null' }], anyOf: [true] }],
  ])('cannot be held and say so: %s', (word, schema) => {
    const { status, param, message, code } = refusal(schema)
    expect([status, param, code]).toEqual([400, 'p', 'invalid_json_schema'])
    expect(message).toContain(word)
    expect(message.length).toBeLessThan(400)
  })

  it.each<[Json, Json]>([
    [{ title: 'x', $comment: 'y', 'x-own': 1, deprecated: true, type: 'null' }, { type: 'null' }],
    [{ type: 'integer', format: 'int32' }, { type: 'integer' }],
    [
      { type: 'string', nullable: true, enum: ['a'] },
      { type: ['string', 'null'], enum: ['a', null] },
    ],
    [
      { nullable: true, anyOf: [{ type: 'null' }] },
      { anyOf: [{ anyOf: [{ type: 'null' }] }, { type: 'null' }] },
    ],
    [{ properties: { a: true } }, { properties: { a: true }, additionalProperties: false }],
    [
      { properties: { a: true }, additionalProperties: true },
      { properties: { a: true }, additionalProperties: true },
    ],
    [
      { oneOf: [{ type: 'string' }, { type: 'array' }] },
      { anyOf: [{ type: 'string' }, { type: 'array' }] },
    ],
    [{ type: 'array', uniqueItems: false }, { type: 'array' }],
  ])('are told as the engine holds them: %j', (schema, prepared) => {
    expect(preparedSchema(schema, 'p')).toEqual(prepared)
  })

  it('with tags behind references exclude each other', () => {
    const tagged = (kind: string): Json => ({
      type: 'object',
      properties: { kind: { const: kind } },
      required: ['kind'],
    })
    const list = { oneOf: [{ $ref: '#/$defs/a' }, { $ref: '#/$defs/b' }] }
    expect(
      preparedSchema({ ...list, $defs: { a: tagged('a'), b: tagged('b') } }, 'p')
    ).toHaveProperty('anyOf')
    expect(refusal({ ...list, $defs: { a: tagged('a'), b: tagged('a') } }).message).toContain(
      'oneOf'
    )
    const closed = { type: 'object', properties: { x: true }, additionalProperties: false }
    const other = { type: 'object', properties: { y: true }, required: ['y'] }
    expect(preparedSchema({ oneOf: [closed, other] }, 'p')).toHaveProperty('anyOf')
  })

  it('may lead in circles and lie 64 references deep', () => {
    expect(
      preparedSchema({ type: 'object', properties: { next: { $ref: '#' } } }, 'p')
    ).toBeTruthy()
    expect(preparedSchema(chain(64), 'p')).toBeTruthy()
  })
})

test("a caller's grammar has names of its own, and nothing of the server's", () => {
  const lark = 'start: a "start" B // start\na[lazy]: /b start [/]x/\nB: "B"i # B\n'
  expect(ownGrammar(lark, 'g')).toBe(
    'own_start: own_a "start" OWN_B \nown_a[lazy]: /b start [/]x/\nOWN_B: "B"i \n'
  )
  for (const hostile of [
    'start: <|end|>',
    'start: <[5]>',
    'start: @sub',
    '%import x\nstart: "a"',
    'start: %json {}',
  ])
    expect(() => ownGrammar(hostile, 'g')).toThrow('must not use')
})

describe('what may be called', () => {
  const made = (tool: object, n: number) =>
    ({ name: 'abc'[n]!, source: '', param: `tools[${n}].function.parameters`, ...tool }) as Tool
  const calls = (tools: object[], toolChoice: ToolChoice) =>
    calleesOf({ tools: tools.map(made).slice(1), toolChoice } as Conversation)
  const broken = { parameters: { type: 'object', minContains: 1 } }

  it('is all that is offered, or what is named, and held where it must be', () => {
    const tools = [{}, { strict: true }, {}]
    const shown = (choice: ToolChoice) =>
      calls(tools, choice).map(({ tool, held }) => [tool.name, held?.param])
    expect(shown('none')).toEqual([])
    expect(shown('auto')).toEqual([
      ['b', 'tools[1].function.parameters'],
      ['c', undefined],
    ])
    expect(shown('required')).toEqual(['b', 'c'].map((name, n) => [name, made({}, n + 1).param]))
    expect(shown({ name: 'c' })).toEqual([['c', 'tools[2].function.parameters']])
  })

  it('complains about a schema at its place in the request, whatever else is offered', () => {
    expect(() => calls([{}, {}, broken], 'required')).toThrow(
      expect.objectContaining({ param: 'tools[2].function.parameters' })
    )
    expect(() => calls([{}, {}, broken], 'auto')).not.toThrow()
  })
})
