// The interpreter against Python's jinja2: expressions, whole templates, limits, and what it relies on in the package.
// oxlint-disable consistent-function-scoping -- what one describe uses stands in it
import { readFileSync } from 'node:fs'
import * as jinja from '@huggingface/jinja'
import { describe, expect, it, vi } from 'vitest'
import { compileTemplate, fromJsonText, TemplateError, values } from '../src/jinja.ts'
import type { MapLike, Value } from '../src/jinja.ts'
import { sourceOf, sourcesOf } from '../src/json.ts'

vi.setConfig({ testTimeout: 60_000 })

const fixtures = new URL('fixtures/', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, fixtures), 'utf8')
const lines = (path: string): string[] => read(path).trimEnd().split('\n')
const now = new Date(2026, 2, 7, 9, 5, 4)
const special = {
  bos_token: values.ownText('<seed:bos>'),
  eos_token: values.ownText('<seed:eos>'),
  pad_token: values.ownText('<seed:pad>'),
}

function variablesOf(json: string): Record<string, Value> {
  return Object.fromEntries((fromJsonText(json) as MapLike).value) as Record<string, Value>
}

const compiled = new Map<string, ReturnType<typeof compileTemplate>>()

/** The text, or null where we raise. */
function rendered(source: string, variables: Record<string, Value>): string | null {
  try {
    const template = compiled.get(source) ?? compileTemplate(source)
    compiled.set(source, template)
    return template.render(variables, { now }).text
  } catch (error) {
    if (error instanceof TemplateError) return null
    throw error
  }
}

describe('Python agreement', () => {
  it('prints expressions as Python does', () => {
    const [first, ...rest] = lines('render/expressions.jsonl')
    const variables = sourceOf(first!, ['variables'])!
    const misses: unknown[] = []
    for (const line of rest) {
      const { source, text } = JSON.parse(line) as { source: string; text: string | null }
      const ours = rendered(source.replaceAll('⏎', '\n'), variablesOf(variables))
      if (ours !== text) misses.push({ source, python: text, ours })
    }
    console.log(`expressions: ${rest.length - misses.length} of ${rest.length} as Python`)
    expect(misses).toEqual([])
  })

  it("renders templates with popular models' constructs as Python does", () => {
    const conversations = lines('render/conversations.jsonl')
    const cases = lines('render/features.jsonl')
    const misses: unknown[] = []
    for (const line of cases) {
      const expected = JSON.parse(line) as { template: string; case: number; text: string | null }
      const variables = {
        tools: values.nullValue,
        documents: values.nullValue,
        ...special,
        ...variablesOf(conversations[expected.case]!),
      }
      const ours = rendered(read(`templates/features/${expected.template}.jinja`), variables)
      if (ours !== expected.text) misses.push({ ...expected, ours })
    }
    const count = new Set(cases.map((line) => (JSON.parse(line) as { template: string }).template))
    console.log(
      `${count.size} feature templates: ${cases.length - misses.length} of ${cases.length} as Python`
    )
    expect(misses).toEqual([])
  })
})

describe('limits', () => {
  const fails = (source: string, message: RegExp, variables: Record<string, Value> = {}): void => {
    expect(() => compileTemplate(source).render(variables)).toThrow(TemplateError)
    expect(() => compileTemplate(source).render(variables)).toThrow(message)
  }

  it('ends loops without end', () => {
    fails('{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}', /loops/)
    fails('{{ range(100001) }}', /at most 100000/)
    fails('{% for a in range(99999) %}{% set x = range(99999) %}{% endfor %}', /loops/)
  })

  it('ends text and lists that double', () => {
    const double = (grow: string): string =>
      `{% set ns = namespace(s="ab", l=[1]) %}{% for i in range(99) %}${grow}{% endfor %}`
    fails(double('{% set ns.s = ns.s ~ ns.s %}'), /repeats|loops/)
    fails(double('{% set ns.s = ns.s + ns.s %}'), /repeats|loops/)
    fails(double('{% set ns.s = [ns.s, ns.s] | join %}'), /repeats|loops/)
    fails(double('{% set ns.s = ns.s.replace("a", "aa") %}'), /repeats|loops/)
    fails(double('{% set ns.s = "%s%s" % (ns.s, ns.s) %}'), /repeats|loops/)
    fails(double('{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}'), /repeats|loops/)
    fails(double('{% set ns.l = ns.l + ns.l %}'), /repeats|loops/)
    fails(double('{% set ns.l = [ns.l, ns.l] %}') + '{{ ns.l }}', /repeats|loops/)
    fails(double('{% set ns.l = [ns.l, ns.l] %}') + '{{ ns.l | tojson }}', /repeats|loops/)
    fails('{{ "x" * 999999999 }}', /repeats|loops/)
    fails('{{ [1] * 999999999 }}', /repeats|loops/)
    fails('{{ "x".center(999999999) }}', /repeats|loops/)
    fails('{{ "x\ny" | indent(999999999) }}', /repeats|loops/)
    fails('{{ "%999999999d" % 1 }}', /repeats|loops/)
    fails('{{ 9 ** 9999 }}', /too large/)
  })

  it('ends recursion, swallowed by nothing', () => {
    fails('{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}text {{ m(0) }}', /levels deep/)
    fails('{% macro m() %}{% if m() %}x{% endif %}{% endmacro %}{{ m() is defined }}', /levels/)
    fails(`{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`, /nests too deeply/)
    fails(`{{ ${'['.repeat(5000)}${']'.repeat(5000)} }}`, /nests too deeply/)
    expect(() => fromJsonText('['.repeat(100_000) + ']'.repeat(100_000))).toThrow(/64 levels/)
    expect(() => fromJsonText(`${'[['.repeat(30)}1${']]'.repeat(30)}`)).not.toThrow()
  })

  it('grow with the input', () => {
    const content = values.string('word '.repeat(400))
    const message = values.dict(new Map<string, Value>([['content', content]]))
    const messages = values.list(Array.from({ length: 2000 }, () => message))
    const source = '{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}'
    const { text } = compileTemplate(source).render({ messages })
    expect(text.length).toBe(2000 * 1999)
  })

  it('say what is wrong with a template', () => {
    expect(() => compileTemplate('{% if %}')).toThrow(/cannot be parsed/)
    expect(() => compileTemplate('{{ x')).toThrow(TemplateError)
    expect(() => compileTemplate('{% include "x" %}')).toThrow(/Unknown statement type: include/)
    fails('{{ nope.x }}', /'.x' of an undefined value/)
    fails('{{ 1 | nofilter }}', /No filter is named 'nofilter'/)
    fails('{{ raise_exception("roles must alternate") }}', /^roles must alternate$/)
  })

  it('keep a template inside its sandbox', () => {
    const escapes = [
      'constructor',
      '__proto__',
      '__class__',
      'toString',
      'hasOwnProperty',
      'value',
      'builtins',
    ]
    for (const name of escapes) {
      expect(
        compileTemplate(`{{ "x".${name} }}{{ [].${name} }}{{ {}.${name} }}`).render({}).text
      ).toBe('')
      expect(compileTemplate(`{{ {}["${name}"] }}{{ ${name} }}`).render({}).text).toBe('')
      fails(`{{ 1 | ${name} }}`, /No filter/)
      fails(`{{ 1 is ${name} }}`, /No test/)
    }
  })
})

describe('text remembers who wrote it', () => {
  const marked = (source: string, variables: Record<string, Value> = {}): string => {
    const { text, ranges } = compileTemplate(source).render(variables)
    let out = ''
    let at = 0
    for (let i = 0; i < ranges.length; i += 2) {
      out += `${text.slice(at, ranges[i])}«${text.slice(ranges[i], ranges[i + 1])}»`
      at = ranges[i + 1]!
    }
    return out + text.slice(at)
  }
  const x = values.string(' x,y ')

  it('through every operation that keeps it', () => {
    const kept: [string, string][] = [
      ['a{{ x }}b', '«a» x,y «b»'],
      ['{{ "a" + x ~ "b" }}', '«a» x,y «b»'],
      ['{{ ("a" + x) | trim }}', '«a» x,y'],
      ['{{ ["a", x | trim, "b"] | join("-") }}', '«a-»x,y«-b»'],
      ['{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(x) }}', '«<» x,y «>»'],
      [
        '{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}b{{ x }}{% endcall %}',
        '«<b» x,y «>»',
      ],
      ['{% set s %}a{{ x }}{% endset %}{{ s[:3] }}{{ s[-1] }}', '«a» x '],
      ['{% for p in ("a," + x).split(",") %}[{{ p }}]{% endfor %}', '«[a][» x«][»y «]»'],
      ['{{ "a-b".replace("-", x) }}', '«a» x,y «b»'],
      ['{{ x.replace(",", "<>") }}', ' x«<>»y '],
      ['{{ ("a" + x) | upper }}', '«A» X,Y '],
      ['{{ "%s!" % x }}{{ "{}!".format(x) }}', ' x,y «!» x,y «!»'],
      ['{% filter indent(1, true) %}a\n{{ x }}{% endfilter %}', ' «a»\n  x,y '],
      ['{{ "<" ~ "seed" ~ ">" }}', '«<seed>»'],
    ]
    for (const [source, expected] of kept)
      expect([source, marked(source, { x })]).toEqual([source, expected])
  })

  it('and what forgets it counts as the caller’s', () => {
    for (const source of [
      '{{ ["a"] }}',
      '{{ {"a": "b"} | tojson }}',
      '{{ "ab" | reverse | e }}',
      '{{ 1 }}',
    ]) {
      expect(marked(source)).not.toContain('«')
    }
  })
})

describe('JSON', () => {
  it('keeps what parsing loses', () => {
    const text = '{"b": 1.0, "9": -0.0, "1": 12345678901234567890, "e": 1e2, "é\\n": [null, true]}'
    const { value } = fromJsonText(text) as MapLike
    expect([...value.keys()]).toEqual(['b', '9', '1', 'e', 'é\n'])
    const printed = compileTemplate('{{ d }}').render({ d: fromJsonText(text) }).text
    expect(printed).toBe(
      "{'b': 1.0, '9': -0.0, '1': 12345678901234567890, 'e': 100.0, 'é\\n': [None, True]}"
    )
    expect(() => fromJsonText('{"a": 01}')).toThrow(SyntaxError)
    expect(() => fromJsonText('{"a": NaN}')).toThrow(SyntaxError)
  })

  it('finds the source of a part', () => {
    const text = ' {"a" : [ 1.0 , {"b\\"}" : "x]" } ] , "a2":{},"t":[ {"k" :1} , [2] ],"a":[0] } '
    expect(sourceOf(text, [])).toBe(text.trim())
    expect(sourceOf(text, ['a'])).toBe('[0]')
    expect(sourceOf(text, ['t', 0])).toBe('{"k" :1}')
    expect(sourceOf(text, ['t', 0, 'k'])).toBe('1')
    expect(sourceOf(text, ['t', 9])).toBeUndefined()
    expect(sourceOf(text, ['zz', 'k'])).toBeUndefined()
    expect(sourcesOf(text, ['t'])).toEqual(['{"k" :1}', '[2]'])
    expect(sourcesOf(text, ['none'])).toEqual([])
    const deep = '['.repeat(200_000) + ']'.repeat(200_000)
    expect(sourceOf(`{"d":${deep}}`, ['d'])).toBe(deep)
    expect(sourceOf(`["${'\\\\'.repeat(100_000)}",7]`, [1])).toBe('7')
  })
})

/** One assertion for each thing we rely on that the package does not promise: an update must fail here. */
describe('what we rely on in @huggingface/jinja', () => {
  type Tree = { type: string; [field: string]: any }
  const parse = (source: string): Tree =>
    (jinja as any).parse(
      (jinja as any).tokenize(source, { lstrip_blocks: true, trim_blocks: true })
    )
  const first = (source: string): Tree => parse(source)['body'][0]

  it('is the version this was written against', () => {
    const path = new URL('../node_modules/@huggingface/jinja/package.json', import.meta.url)
    expect(JSON.parse(readFileSync(path, 'utf8')).version).toBe('0.5.11')
  })

  it('names nodes and their fields so', () => {
    expect(first('{{ {1: 2} }}')).toMatchObject({ type: 'ObjectLiteral', value: expect.any(Map) })
    expect(first('{{ a not in b }}')).toMatchObject({
      type: 'BinaryExpression',
      left: { type: 'Identifier', value: 'a' },
      operator: { value: 'not in' },
      right: { value: 'b' },
    })
    expect(first('{{ not a }}')).toMatchObject({
      type: 'UnaryExpression',
      argument: {},
      operator: { value: 'not' },
    })
    expect(first('{{ a.b }}')).toMatchObject({
      type: 'MemberExpression',
      object: {},
      property: { value: 'b' },
      computed: false,
    })
    expect(first('{{ a[1:2:3] }}')).toMatchObject({
      computed: true,
      property: { type: 'SliceExpression', start: {}, stop: {}, step: {} },
    })
    expect(first('{{ a | f }}')).toMatchObject({
      type: 'FilterExpression',
      operand: {},
      filter: { type: 'Identifier', value: 'f' },
    })
    expect(first('{{ a | f(1, k=2, *b, **c) }}')['filter']).toMatchObject({
      type: 'CallExpression',
      callee: { value: 'f' },
      args: [
        { type: 'IntegerLiteral' },
        { type: 'KeywordArgumentExpression', key: { value: 'k' }, value: {} },
        { type: 'SpreadExpression', argument: {} },
        { type: 'KeywordSpreadExpression', argument: {} },
      ],
    })
    expect(first('{{ a is not b }}')).toMatchObject({
      type: 'TestExpression',
      operand: {},
      negate: true,
      test: { value: 'b' },
    })
    expect(first('{% if a %}b{% else %}c{% endif %}')).toMatchObject({
      type: 'If',
      test: {},
      body: [{ type: 'StringLiteral', value: 'b' }],
      alternate: [{}],
    })
    expect(first('{% for a, b in c if d %}{% break %}{% else %}e{% endfor %}')).toMatchObject({
      type: 'For',
      loopvar: { type: 'TupleLiteral', value: [{}, {}] },
      iterable: { type: 'SelectExpression', lhs: {}, test: {} },
      body: [{ type: 'Break' }],
      defaultBlock: [{}],
    })
    expect(first('{% set a.b = 1 %}')).toMatchObject({
      type: 'Set',
      assignee: { type: 'MemberExpression' },
      value: {},
    })
    expect(first('{% set a %}b{% endset %}')).toMatchObject({
      type: 'Set',
      value: null,
      body: [{}],
    })
    expect(first('{% macro m(a, b=1) %}c{% endmacro %}')).toMatchObject({
      type: 'Macro',
      name: { value: 'm' },
      args: [{}, {}],
      body: [{}],
    })
    expect(first('{% call(a) m() %}b{% endcall %}')).toMatchObject({
      type: 'CallStatement',
      call: {},
      callerArgs: [{}],
      body: [{}],
    })
    expect(first('{% filter f %}b{% endfilter %}')).toMatchObject({
      type: 'FilterStatement',
      filter: {},
      body: [{}],
    })
    expect(first('{# c #}')).toMatchObject({ type: 'Comment' })
    expect(first('{% continue %}')).toMatchObject({ type: 'Continue' })
  })

  it('names tokens so', () => {
    const tokens = (jinja as any).tokenize('{{ a is b("c", [1], {}) . d | e }}') as {
      type: string
    }[]
    const types = new Set(tokens.map((token) => token.type))
    for (const type of [
      'Identifier',
      'OpenParen',
      'CloseParen',
      'StringLiteral',
      'Comma',
      'Dot',
      'Pipe',
      'NumericLiteral',
      'OpenSquareBracket',
      'CloseSquareBracket',
      'OpenCurlyBracket',
      'CloseCurlyBracket',
    ])
      expect(types).toContain(type)
  })

  it('dispatches every evaluation through evaluate', () => {
    const seen: string[] = []
    class Spy extends (jinja as any).Interpreter {
      evaluate(node: Tree, scope: unknown): unknown {
        if (node) seen.push(node['type'])
        return super['evaluate'](node, scope)
      }
    }
    const scope = new (jinja as any).Environment()
    new (Spy as any)(scope).evaluate(
      parse(
        '{% macro m(a=[1, (2, 3)]) %}{{ 1 }}{% endmacro %}{{ m() if 1 else 2 }}{% call m() %}{% endcall %}'
      ),
      scope
    )
    for (const type of [
      'Program',
      'Macro',
      'Ternary',
      'CallExpression',
      'ArrayLiteral',
      'TupleLiteral',
      'IntegerLiteral',
      'Identifier',
      'CallStatement',
    ])
      expect(seen).toContain(type)
  })

  // oxlint-disable no-underscore-dangle -- the package's names
  it('has these value classes and members', () => {
    const scope = new (jinja as any).Environment()
    const made = (name: string, sample: unknown): any => scope.set(name, sample)
    expect(made('a', '').type).toBe('StringValue')
    expect(made('b', 1).type).toBe('IntegerValue')
    expect(made('c', 1.5).type).toBe('FloatValue')
    expect(made('d', true).type).toBe('BooleanValue')
    expect(made('e', null).type).toBe('NullValue')
    expect(made('f', undefined).type).toBe('UndefinedValue')
    expect(made('g', [1])).toMatchObject({ type: 'ArrayValue', value: [{ value: 1 }] })
    expect(made('h', { k: 1 })).toMatchObject({ type: 'ObjectValue', value: expect.any(Map) })
    expect(made('i', () => 1)).toMatchObject({ type: 'FunctionValue', value: expect.any(Function) })
    expect(made('j', []).__bool__().value).toBe(false)
    expect(scope.variables).toBeInstanceOf(Map)
    expect(scope.variables.get('namespace').value([], scope).type).toBe('NamespaceValue')
    expect(new (jinja as any).Environment(scope).parent).toBe(scope)
    expect(scope.setVariable('k', made('l', 1)).type).toBe('IntegerValue')
  })

  it('finds varargs in a macro body that we replaced', () => {
    const { text } = compileTemplate(
      '{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, k=2) }}'
    ).render({})
    expect(text).toBe("[1]{'k': 2}")
  })

  it('passes named arguments last, in a value of their own', () => {
    const spy = values.callable((args) => values.string(args.map((arg) => arg.type).join()))
    expect(compileTemplate('{{ f(1, k=2) }}').render({ f: spy }).text).toBe(
      'IntegerValue,KeywordArgumentsValue'
    )
  })
})
