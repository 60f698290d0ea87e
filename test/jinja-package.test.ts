// What src/jinja relies on in @huggingface/jinja beyond its promises: an update must fail here, not in a prompt.
// oxlint-disable consistent-function-scoping -- what one describe uses stands in it
import { readFileSync } from 'node:fs'
import * as jinja from '@huggingface/jinja'
import { describe, expect, it } from 'vitest'
import { compileTemplate, values } from '../src/jinja.ts'

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
