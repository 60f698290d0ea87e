// The interpreter against Python's jinja2: expressions, whole templates, limits, and whose text is whose.
// oxlint-disable consistent-function-scoping -- what one describe uses stands in it
import { readFileSync } from 'node:fs'
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
