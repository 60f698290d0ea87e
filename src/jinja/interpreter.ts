// The package's interpreter made to agree with Python's: a subclass that overrides `evaluate` and nothing else.
import { TemplateError } from '../conversation.ts'
import { Arguments } from './arguments.ts'
import { applyFilter } from './filters.ts'
import { methodOf } from './methods.ts'
import { binary, item, slice, unary } from './operators.ts'
import { PackageInterpreter, Scope, statementPrototype } from './package.ts'
import type { FunctionLike, Key, Node, StringLike, Value } from './package.ts'
import { str } from './python.ts'
import {
  boolean,
  callable,
  dict,
  elementsOf,
  falseValue,
  integer,
  isArray,
  isDict,
  isFunction,
  isNamespace,
  isString,
  isUndefined,
  keyOf,
  nullValue,
  ownText,
  string,
  TextBuilder,
  trueValue,
  truth,
  typeName,
  undefinedValue,
} from './values.ts'
import { applyTest } from './tests.ts'
import { nested, spendSteps, spendText } from './work.ts'

const BLOCK = '%block'
const CONSTANTS: Record<string, Value> = {
  true: trueValue,
  True: trueValue,
  false: falseValue,
  False: falseValue,
  none: nullValue,
  None: nullValue,
}
/** Statements whose value is not printed. */
const SILENT = new Set(['Set', 'Macro', 'Comment', 'Break', 'Continue'])

/**
 * Gets a parsed template ready, once: the bodies that the package itself runs (of macros and call blocks)
 * become one own node each, so that what they print goes through our printing, ranges and all; and what never
 * changes is made here.
 */
export function prepare(node: unknown): void {
  if (Array.isArray(node) || node instanceof Map) {
    for (const child of node) prepare(child)
    return
  }
  if (typeof node !== 'object' || node === null) return
  const record = node as Record<string, unknown>
  for (const child of Object.values(record)) prepare(child)
  if (record['type'] === 'StringLiteral') record['own'] = ownText(record['value'] as string)
  if (record['type'] === 'For') record['countsLoop'] = mentions(record['body'], 'loop')
  if (record['type'] === 'Macro' || record['type'] === 'CallStatement') {
    const block = Object.create(statementPrototype) as Record<string, unknown>
    block['type'] = BLOCK
    block['statements'] = record['body']
    record['body'] = [block]
  }
}

function mentions(node: unknown, name: string): boolean {
  if (Array.isArray(node)) return node.some((child) => mentions(child, name))
  if (node instanceof Map) return [...node].some((pair) => mentions(pair, name))
  if (typeof node !== 'object' || node === null) return false
  if ((node as Node).type === 'Identifier' && (node as Node)['value'] === name) return true
  return Object.values(node).some((child) => mentions(child, name))
}

export class PythonInterpreter extends PackageInterpreter {
  /** Set while a `break` or `continue` travels up to its loop; text printed before it is kept. */
  #leaving: 'Break' | 'Continue' | null = null
  /** What the last block printed: the package's macro call returns a bare string of it. */
  #printed: StringLike = string('')

  override evaluate(node: Node | undefined, scope: Scope): Value {
    if (!node) return undefinedValue
    spendSteps(1)
    switch (node.type) {
      case 'Program':
        return this.#print(node['body'], scope)
      case BLOCK:
        return this.#print(node['statements'], scope)
      case 'If':
        return this.#print(
          this.#true(node['test'], scope) ? node['body'] : node['alternate'],
          scope
        )
      case 'For':
        return this.#loop(node, scope)
      case 'Set':
        return this.#assign(node, scope)
      case 'Break':
      case 'Continue':
        this.#leaving = node.type
        return nullValue
      case 'Macro':
        return this.#define(node, scope)
      case 'FilterStatement':
        return this.#filter(node['filter'], this.#print(node['body'], new Scope(scope)), scope)
      case 'StringLiteral':
        return node['own']
      case 'Identifier':
        return lookup(node['value'], scope)
      case 'ObjectLiteral':
        return this.#dict(node['value'], scope)
      case 'BinaryExpression':
        return this.#binary(node, scope)
      case 'UnaryExpression':
        return this.#unary(node, scope)
      case 'MemberExpression':
        return this.#member(node, scope)
      case 'CallExpression':
        return this.#call(node, scope)
      case 'FilterExpression':
        return this.#filter(node['filter'], this.evaluate(node['operand'], scope), scope)
      case 'TestExpression': {
        const passes = applyTest(node['test'].value, this.evaluate(node['operand'], scope), [])
        return boolean(passes !== node['negate'])
      }
      default:
        return super.evaluate(node, scope)
    }
  }

  #true(node: Node, scope: Scope): boolean {
    return truth(this.evaluate(node, scope))
  }

  /** Prints a list of statements with Python's str(), up to a `break` or `continue`. */
  #print(statements: Node[], scope: Scope): StringLike {
    const builder = new TextBuilder()
    for (const statement of statements) {
      const value = this.evaluate(statement, scope)
      if (!SILENT.has(statement.type)) builder.add(str(value))
      if (this.#leaving) break
    }
    this.#printed = builder.done()
    return this.#printed
  }

  #loop(node: Node, scope: Scope): StringLike {
    const filtered = node['iterable'].type === 'SelectExpression'
    const source = this.evaluate(filtered ? node['iterable'].lhs : node['iterable'], scope)
    let items = elementsOf(source)
    if (!items)
      throw new TemplateError(`A for loop cannot go through a value of type ${typeName(source)}`)
    spendSteps(3 * items.length)
    if (filtered) {
      items = items.filter((value) => {
        const inner = new Scope(scope)
        bind(node['loopvar'], value, inner)
        return this.#true(node['iterable'].test, inner)
      })
    }
    const builder = new TextBuilder()
    let completed = false
    for (let i = 0; i < items.length; i += 1) {
      const inner = new Scope(scope)
      bind(node['loopvar'], items[i]!, inner)
      if (node['countsLoop']) inner.setVariable('loop', loopValue(items, i))
      builder.add(this.#print(node['body'], inner))
      const left = this.#leaving
      this.#leaving = null
      if (left === 'Break') break
      completed ||= left === null
    }
    if (!completed) builder.add(this.#print(node['defaultBlock'], new Scope(scope)))
    return builder.done()
  }

  #assign(node: Node, scope: Scope): Value {
    const value: Value = node['value']
      ? this.evaluate(node['value'], scope)
      : this.#print(node['body'], new Scope(scope))
    const target: Node = node['assignee']
    if (target.type !== 'MemberExpression') {
      bind(target, value, scope)
      return nullValue
    }
    const object = this.evaluate(target['object'], scope)
    const name = String(target['property'].value)
    if (!isNamespace(object) || target['computed']) {
      throw new TemplateError(`Only a namespace's attributes can be set, not '${name}'`)
    }
    if (name.startsWith('_')) throw new TemplateError(`A namespace cannot hold '${name}'`)
    object.value.set(name, value)
    return nullValue
  }

  /** A macro sees the scope it was defined in; the package hands it the caller's. */
  #define(node: Node, scope: Scope): Value {
    super.evaluate(node, scope)
    const name: string = node['name'].value
    const macro = scope.variables.get(name) as FunctionLike
    scope.setVariable(
      name,
      callable((args, from) => {
        const inner = new Scope(scope)
        const caller = from.variables.get('caller')
        if (caller && isFunction(caller)) inner.setVariable('caller', this.#printing(caller))
        return this.#printing(macro).value(args, inner)
      })
    )
    return nullValue
  }

  /** A package function that runs one of our blocks, giving the block's own text instead of a bare copy. */
  #printing(run: FunctionLike): FunctionLike {
    return callable((args, scope) => {
      const result = nested(() => run.value(args, scope))
      return result.value === this.#printed.value ? this.#printed : result
    })
  }

  #dict(entries: Map<Node, Node>, scope: Scope): Value {
    const map = new Map<Key, Value>()
    for (const [keyNode, valueNode] of entries) {
      const keyResult = this.evaluate(keyNode, scope)
      const key = keyOf(keyResult)
      if (key === undefined)
        throw new TemplateError(`A dict key cannot be of type ${typeName(keyResult)}`)
      map.set(key, this.evaluate(valueNode, scope))
    }
    return dict(map)
  }

  #binary(node: Node, scope: Scope): Value {
    const operator: string = node['operator'].value
    const left = this.evaluate(node['left'], scope)
    if (operator === 'and') return truth(left) ? this.evaluate(node['right'], scope) : left
    if (operator === 'or') return truth(left) ? left : this.evaluate(node['right'], scope)
    return binary(operator, left, this.evaluate(node['right'], scope))
  }

  #unary(node: Node, scope: Scope): Value {
    const value = this.evaluate(node['argument'], scope)
    return node['operator'].value === 'not'
      ? boolean(!truth(value))
      : unary(node['operator'].value, value)
  }

  #member(node: Node, scope: Scope): Value {
    const object = this.evaluate(node['object'], scope)
    const property: Node = node['property']
    if (isUndefined(object)) {
      const name =
        property.type === 'Identifier' && !node['computed'] ? `.${property['value']}` : '[…]'
      throw new TemplateError(`The template reads '${name}' of an undefined value`)
    }
    if (property.type === 'SliceExpression') {
      const [start, stop, step] = [property['start'], property['stop'], property['step']].map(
        (bound: Node | undefined) => this.evaluate(bound, scope)
      )
      return slice(object, start!, stop!, step!)
    }
    if (node['computed']) {
      const key = this.evaluate(property, scope)
      return (
        item(object, key) ??
        (isString(key) ? methodOf(object, key.value) : undefined) ??
        undefinedValue
      )
    }
    if (property.type !== 'Identifier')
      return item(object, integer(property['value'])) ?? undefinedValue
    // An attribute comes before a key: `properties.items()` is the method even where a key is named items.
    const name: string = property['value']
    return methodOf(object, name) ?? attribute(object, name) ?? undefinedValue
  }

  #call(node: Node, scope: Scope): Value {
    const result = super.evaluate(node, scope)
    if (isString(result)) spendText(result.value.length)
    return result
  }

  #filter(filter: Node, operand: Value, scope: Scope): Value {
    const called = filter.type === 'CallExpression'
    const name: string = called ? filter['callee'].value : filter['value']
    const args = called ? this.#arguments(name, filter['args'], scope) : new Arguments(name, [])
    const test = /^is( not)? (\w+)$/.exec(name)
    if (test)
      return boolean(applyTest(test[2]!, operand, args.positional) !== (test[1] !== undefined))
    return applyFilter(name, operand, args)
  }

  #arguments(name: string, nodes: Node[], scope: Scope): Arguments {
    const positional: Value[] = []
    const named = new Map<Key, Value>()
    for (const node of nodes) {
      if (node.type === 'KeywordArgumentExpression') {
        named.set(node['key'].value, this.evaluate(node['value'], scope))
      } else if (node.type === 'SpreadExpression') {
        positional.push(...(elementsOf(this.evaluate(node['argument'], scope)) ?? []))
      } else if (node.type === 'KeywordSpreadExpression') {
        const rest = this.evaluate(node['argument'], scope)
        if (isDict(rest)) for (const [key, value] of rest.value) named.set(key, value)
      } else positional.push(this.evaluate(node, scope))
    }
    return new Arguments(name, positional, named)
  }
}

/** The package's own lookup swallows every error, a stack overflow too. */
function lookup(name: string, scope: Scope): Value {
  if (Object.hasOwn(CONSTANTS, name)) return CONSTANTS[name]!
  for (let at: Scope | undefined = scope; at; at = at.parent) {
    const value = at.variables.get(name)
    if (value) return value
  }
  return undefinedValue
}

function attribute(object: Value, name: string): Value | undefined {
  return isDict(object) || isNamespace(object) ? object.value.get(name) : undefined
}

/** Binds a loop's or a set's target: a name, or names to unpack into. */
function bind(target: Node, value: Value, scope: Scope): void {
  if (target.type === 'Identifier') {
    scope.setVariable(target['value'], value)
    return
  }
  if (target.type !== 'TupleLiteral')
    throw new TemplateError('The template assigns to something that is not a name')
  const names: Node[] = target['value']
  const parts = isArray(value) ? value.value : elementsOf(value)
  if (!parts || parts.length !== names.length) {
    throw new TemplateError(
      `The template unpacks a value of type ${typeName(value)} into ${names.length} names`
    )
  }
  names.forEach((name, i) => bind(name, parts[i]!, scope))
}

function loopValue(items: Value[], i: number): Value {
  const count = items.length
  return dict(
    new Map<Key, Value>([
      ['index', integer(i + 1)],
      ['index0', integer(i)],
      ['revindex', integer(count - i)],
      ['revindex0', integer(count - i - 1)],
      ['first', boolean(i === 0)],
      ['last', boolean(i === count - 1)],
      ['length', integer(count)],
      ['depth', integer(1)],
      ['depth0', integer(0)],
      ['previtem', items[i - 1] ?? undefinedValue],
      ['nextitem', items[i + 1] ?? undefinedValue],
      ['cycle', callable((args) => args[i % args.length] ?? undefinedValue)],
    ])
  )
}
