// Python's operators on run-time values: arithmetic, comparison, concatenation, indexing and slicing.
import { TemplateError } from '../conversation.ts'
import type { StringLike, Value } from './package.ts'
import { formatPercent } from './formatting.ts'
import { contains, equal, order, str } from './python.ts'
import {
  boolean,
  charactersOf,
  concat,
  cut,
  float,
  integer,
  isArray,
  isDict,
  isFloat,
  isInteger,
  isNamespace,
  isString,
  isUndefined,
  joined,
  keyOf,
  list,
  numeric,
  string,
  tuple,
  typeName,
  undefinedValue,
} from './values.ts'
import { spendSteps, spendText } from './work.ts'

/** Everything but `and` and `or`, which do not evaluate both sides. */
export function binary(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case '==':
      return boolean(equal(left, right))
    case '!=':
      return boolean(!equal(left, right))
    case '~':
      return concat(str(left), str(right))
    case 'in':
      return boolean(contains(right, left))
    case 'not in':
      return boolean(!contains(right, left))
  }
  refuseUndefined(operator, left, right)
  switch (operator) {
    case '<':
      return boolean(order(left, right) < 0)
    case '>':
      return boolean(order(left, right) > 0)
    case '<=':
      return boolean(order(left, right) <= 0)
    case '>=':
      return boolean(order(left, right) >= 0)
  }
  return arithmetic(operator, left, right)
}

function refuseUndefined(operator: string, left: Value, right: Value): void {
  if (isUndefined(left) || isUndefined(right)) {
    throw new TemplateError(`'${operator}' was given an undefined value`)
  }
}

function arithmetic(operator: string, left: Value, right: Value): Value {
  if (operator === '+') {
    if (isString(left) && isString(right)) return concat(left, right)
    if (isArray(left) && left.type === right.type) {
      const other = right.value as Value[]
      spendText(8 * (left.value.length + other.length))
      const items = left.value.concat(other)
      return left.type === 'TupleValue' ? tuple(items) : list(items)
    }
  }
  if (operator === '%' && isString(left)) return formatPercent(left, right)
  if (operator === '*') {
    const repeated = repeat(left, right) ?? repeat(right, left)
    if (repeated) return repeated
  }
  const a = numeric(left)
  const b = numeric(right)
  if (a === undefined || b === undefined) {
    throw new TemplateError(
      `'${operator}' does not combine ${typeName(left)} with ${typeName(right)}`
    )
  }
  if (isFloat(left) || isFloat(right) || operator === '/') {
    return float(floatResult(operator, Number(a), Number(b)))
  }
  return integerResult(operator, a, b)
}

function repeat(sequence: Value, times: Value): Value | undefined {
  if (!isInteger(times) || !(isString(sequence) || isArray(sequence))) return undefined
  const count = Math.max(0, Number(times.value))
  spendText(count * sequence.value.length * (isString(sequence) ? 1 : 8))
  spendSteps(count)
  if (isString(sequence))
    return joined(
      Array.from({ length: count }, () => sequence),
      string('')
    )
  const items = Array.from({ length: count }, () => sequence.value).flat()
  return sequence.type === 'TupleValue' ? tuple(items) : list(items)
}

function refuseZero(divisor: number | bigint): void {
  if (Number(divisor) === 0) throw new TemplateError('division by zero')
}

function floatResult(operator: string, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '**':
      return a ** b
  }
  refuseZero(b)
  if (operator === '/') return a / b
  const remainder = a % b
  const modulo = remainder !== 0 && remainder < 0 !== b < 0 ? remainder + b : remainder
  if (operator === '%') return modulo
  return Math.floor((a - modulo) / b + 0.5)
}

/** In numbers while they are exact, in BigInts beyond. */
function integerResult(operator: string, a: number | bigint, b: number | bigint): Value {
  if (operator === '**' && b < 0) return float(Number(a) ** Number(b))
  if (operator === '//' || operator === '%') refuseZero(b)
  const quick = quickResult(operator, Number(a), Number(b))
  if (
    Number.isSafeInteger(quick) &&
    Number.isSafeInteger(Number(a)) &&
    Number.isSafeInteger(Number(b))
  ) {
    return integer(quick + 0)
  }
  if (!(Math.abs(quick) < 1e300))
    throw new TemplateError(`The result of '${operator}' is too large`)
  const x = BigInt(a)
  const y = BigInt(b)
  const remainder = operator === '%' || operator === '//' ? x % y : 0n
  const modulo = remainder !== 0n && remainder < 0n !== y < 0n ? remainder + y : remainder
  switch (operator) {
    case '+':
      return integer(x + y)
    case '-':
      return integer(x - y)
    case '*':
      return integer(x * y)
    case '**':
      return integer(x ** y)
    case '%':
      return integer(modulo)
    default:
      return integer((x - modulo) / y)
  }
}

function quickResult(operator: string, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '**':
      return a ** b
    case '//':
      return Math.floor(a / b)
    default: {
      const remainder = a % b
      return remainder !== 0 && remainder < 0 !== b < 0 ? remainder + b : remainder
    }
  }
}

export function unary(operator: string, value: Value): Value {
  const number = numeric(value)
  if (number === undefined) {
    throw new TemplateError(`'${operator}' was given ${typeName(value)}`)
  }
  if (isFloat(value)) return float(operator === '-' ? -value.value : value.value)
  return integer(operator === '-' ? (number === 0 ? 0 : -number) : number)
}

/** `object[key]` without the fallback to attributes; undefined where Python finds nothing. */
export function item(object: Value, key: Value): Value | undefined {
  if (isDict(object) || isNamespace(object)) {
    const name = keyOf(key)
    return name === undefined ? undefined : object.value.get(name)
  }
  const index = isFloat(key) ? undefined : numeric(key)
  if (index === undefined) return undefined
  if (isArray(object)) return object.value.at(Number(index))
  if (!isString(object)) return undefined
  return sequenceOf(object).at(Number(index))
}

function sequenceOf(text: StringLike): { length: number; at(i: number): StringLike | undefined } {
  if (/[\ud800-\udfff]/.test(text.value)) return charactersOf(text)
  const length = text.value.length
  return {
    length,
    at(i: number): StringLike | undefined {
      const start = i < 0 ? i + length : i
      return start >= 0 && start < length ? cut(text, start, start + 1) : undefined
    },
  }
}

/** `object[start:stop:step]`; bounds that were left out are undefined values or None. */
export function slice(object: Value, start: Value, stop: Value, step: Value): Value {
  const stride = bound(step) ?? 1
  if (stride === 0) throw new TemplateError('slice step cannot be zero')
  if (isArray(object)) {
    const items = picked(object.value.length, bound(start), bound(stop), stride).map(
      (i) => object.value[i]!
    )
    return object.type === 'TupleValue' ? tuple(items) : list(items)
  }
  if (!isString(object)) throw new TemplateError(`${typeName(object)} cannot be sliced`)
  const plain = !/[\ud800-\udfff]/.test(object.value)
  if (plain && stride === 1) {
    const [from, to] = range(object.value.length, bound(start), bound(stop), 1)
    return cut(object, from, Math.max(from, to))
  }
  const characters = charactersOf(object)
  const chosen = picked(characters.length, bound(start), bound(stop), stride)
  return joined(
    chosen.map((i) => characters[i]!),
    string('')
  )
}

function bound(value: Value): number | undefined {
  if (value === undefinedValue || isUndefined(value) || value.type === 'NullValue') return undefined
  const number = numeric(value)
  if (number === undefined || isFloat(value)) {
    throw new TemplateError('slice indices must be integers or None')
  }
  return Number(number)
}

function range(
  length: number,
  start: number | undefined,
  stop: number | undefined,
  step: number
): [number, number] {
  const low = step > 0 ? 0 : -1
  const high = step > 0 ? length : length - 1
  const clip = (i: number): number => Math.min(Math.max(i < 0 ? i + length : i, low), high)
  const from = start === undefined ? (step > 0 ? low : high) : clip(start)
  const to = stop === undefined ? (step > 0 ? high : low) : clip(stop)
  return [from, to]
}

function picked(
  length: number,
  start: number | undefined,
  stop: number | undefined,
  step: number
): number[] {
  const [from, to] = range(length, start, stop, step)
  const indices: number[] = []
  for (let i = from; step > 0 ? i < to : i > to; i += step) indices.push(i)
  spendSteps(indices.length)
  return indices
}
