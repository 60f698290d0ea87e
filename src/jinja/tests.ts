// Jinja's tests: what stands behind `is`, and the names that select, reject and their relatives take.
import { TemplateError } from '../conversation.ts'
import type { Value } from './package.ts'
import { contains, equal, order } from './python.ts'
import {
  isArray,
  isBoolean,
  isDict,
  isFloat,
  isFunction,
  isInteger,
  isNull,
  isString,
  isUndefined,
  elementsOf,
  numeric,
  typeName,
} from './values.ts'

type Test = (value: Value, argument: Value) => boolean

function whole(value: Value): bigint {
  const number = numeric(value)
  if (number === undefined || isFloat(value)) {
    throw new TemplateError(`This test wants an integer, not ${typeName(value)}`)
  }
  return BigInt(number)
}

function same(a: Value, b: Value): boolean {
  if (isBoolean(a) || isNull(a)) return a.type === b.type && a.value === b.value
  return a === b || (a.type === b.type && !isArray(a) && !isDict(a) && a.value === b.value)
}

function letters(value: Value, turned: (text: string) => string): boolean {
  const text = isString(value) ? value.value : ''
  return /[\p{Lu}\p{Ll}\p{Lt}]/u.test(text) && text === turned(text)
}

const tests: Record<string, Test> = {
  boolean: (v) => isBoolean(v),
  callable: (v) => isFunction(v),
  defined: (v) => !isUndefined(v),
  undefined: (v) => isUndefined(v),
  divisibleby: (v, n) => whole(n) !== 0n && whole(v) % whole(n) === 0n,
  escaped: () => false,
  even: (v) => whole(v) % 2n === 0n,
  odd: (v) => whole(v) % 2n !== 0n,
  false: (v) => isBoolean(v) && !v.value,
  true: (v) => isBoolean(v) && v.value,
  float: (v) => isFloat(v),
  integer: (v) => isInteger(v),
  number: (v) => isInteger(v) || isFloat(v) || isBoolean(v),
  in: (v, container) => contains(container, v),
  iterable: (v) => elementsOf(v) !== undefined,
  lower: (v) => letters(v, (text) => text.toLowerCase()),
  upper: (v) => letters(v, (text) => text.toUpperCase()),
  mapping: (v) => isDict(v),
  none: (v) => isNull(v),
  sameas: same,
  sequence: (v) => isArray(v) || isDict(v) || isString(v) || isUndefined(v),
  string: (v) => isString(v),
  eq: equal,
  ne: (a, b) => !equal(a, b),
  lt: (a, b) => order(a, b) < 0,
  le: (a, b) => order(a, b) <= 0,
  gt: (a, b) => order(a, b) > 0,
  ge: (a, b) => order(a, b) >= 0,
}

const ALIASES: Record<string, string> = {
  '==': 'eq',
  equalto: 'eq',
  '!=': 'ne',
  '<': 'lt',
  lessthan: 'lt',
  '<=': 'le',
  '>': 'gt',
  greaterthan: 'gt',
  '>=': 'ge',
}
const BINARY = new Set(['divisibleby', 'in', 'sameas', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'])

export function applyTest(name: string, value: Value, args: Value[]): boolean {
  const known = Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name
  if (!Object.hasOwn(tests, known)) throw new TemplateError(`No test is named '${name}'`)
  if (args.length !== (BINARY.has(known) ? 1 : 0)) {
    throw new TemplateError(`The test '${name}' was given ${args.length} arguments`)
  }
  return tests[known]!(value, args[0]!)
}
