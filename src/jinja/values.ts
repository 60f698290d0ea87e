// Run-time values as the interpreter sees them: making, telling apart, and text that remembers what the template wrote.
import {
  ArrayValue,
  BooleanValue,
  FloatValue,
  FunctionValue,
  IntegerValue,
  NamespaceValue,
  NullValue,
  ObjectValue,
  StringValue,
  TupleValue,
  UndefinedValue,
} from './package.ts'
import type {
  ArrayLike,
  Call,
  FunctionLike,
  Key,
  MapLike,
  NumberLike,
  StringLike,
  Value,
} from './package.ts'
import { spendText } from './work.ts'

/**
 * Half-open ranges `[start, end, start, end, …]` of a text, in UTF-16 units, that the template itself wrote.
 * A plain StringValue has none: whatever forgets to keep its ranges becomes the caller's text, never the reverse.
 */
export type Ranges = readonly number[]

const NONE: Ranges = []

/** Text of which some ranges are the template's own. */
export class MarkedText extends StringValue {
  readonly ranges: Ranges

  constructor(value: string, ranges: Ranges) {
    super(value)
    this.ranges = ranges
  }
}

export const undefinedValue: Value = new UndefinedValue(undefined)
export const nullValue: Value = new NullValue(null)
export const trueValue: Value = new BooleanValue(true)
export const falseValue: Value = new BooleanValue(false)

export const string = (value: string): StringLike => new StringValue(value)
const EMPTY = string('')
export const ownText = (value: string): StringLike => new MarkedText(value, [0, value.length])
export const boolean = (value: boolean): Value => (value ? trueValue : falseValue)
export const float = (value: number): Value => new FloatValue(value)
export const list = (value: Value[]): ArrayLike => new ArrayValue(value)
export const tuple = (value: Value[]): ArrayLike => new TupleValue(value)
export const dict = (value: Map<Key, Value>): MapLike => new ObjectValue(value)
export const namespace = (value: Map<Key, Value>): MapLike => new NamespaceValue(value)
export const callable = (value: Call): FunctionLike => new FunctionValue(value)

/** Making a value of the package's classes is slow, and loops count in small numbers. */
const SMALL = Array.from({ length: 256 }, (_, i) => new IntegerValue(i))

export function integer(value: number | bigint): NumberLike {
  const small = typeof value === 'number' ? SMALL[value] : undefined
  if (small) return small
  if (typeof value === 'bigint' && BigInt.asIntN(53, value) === value) value = Number(value)
  return new IntegerValue(value)
}

export const isString = (v: Value): v is StringLike => v.type === 'StringValue'
export const isInteger = (v: Value): v is NumberLike => v.type === 'IntegerValue'
export const isFloat = (v: Value): v is Value & { value: number } => v.type === 'FloatValue'
export const isBoolean = (v: Value): v is Value & { value: boolean } => v.type === 'BooleanValue'
export const isUndefined = (v: Value): boolean => v.type === 'UndefinedValue'
export const isNull = (v: Value): boolean => v.type === 'NullValue'
export const isTuple = (v: Value): v is ArrayLike => v.type === 'TupleValue'
export const isArray = (v: Value): v is ArrayLike =>
  v.type === 'ArrayValue' || v.type === 'TupleValue'
export const isDict = (v: Value): v is MapLike =>
  v.type === 'ObjectValue' || v.type === 'KeywordArgumentsValue'
export const isNamespace = (v: Value): v is MapLike => v.type === 'NamespaceValue'
export const isFunction = (v: Value): v is FunctionLike => v.type === 'FunctionValue'
// oxlint-disable-next-line no-underscore-dangle -- the package's name
export const truth = (v: Value): boolean => v.__bool__().value

/** A number as Python's arithmetic sees it: booleans are 0 and 1. */
export function numeric(v: Value): number | bigint | undefined {
  if (isInteger(v) || isFloat(v)) return v.value
  return isBoolean(v) ? Number(v.value) : undefined
}

/** What Python calls the value's type, for error sentences. */
export function typeName(v: Value): string {
  const names: Record<string, string> = {
    StringValue: 'str',
    IntegerValue: 'int',
    FloatValue: 'float',
    BooleanValue: 'bool',
    NullValue: 'None',
    UndefinedValue: 'undefined',
    ArrayValue: 'list',
    TupleValue: 'tuple',
    ObjectValue: 'dict',
    NamespaceValue: 'namespace',
    FunctionValue: 'function',
  }
  return names[v.type] ?? v.type
}

/** A dict's key for a value; in Python 1, 1.0 and True are one key. */
export function keyOf(v: Value): Key | undefined {
  if (isString(v)) return v.value
  if (isNull(v)) return null
  const number = numeric(v)
  return typeof number === 'bigint' && BigInt.asIntN(53, number) === number
    ? Number(number)
    : number
}

export function keyValue(key: Key): Value {
  if (typeof key === 'string') return string(key)
  if (key === null) return nullValue
  return typeof key === 'number' && !Number.isInteger(key) ? float(key) : integer(key)
}

/** The elements a `for` would visit, or undefined where Python raises. */
export function elementsOf(v: Value): Value[] | undefined {
  if (isArray(v)) return v.value
  if (isDict(v)) return [...v.value.keys()].map(keyValue)
  if (isString(v)) return charactersOf(v)
  return isUndefined(v) ? [] : undefined
}

export function rangesOf(v: Value): Ranges {
  return v instanceof MarkedText ? v.ranges : NONE
}

/** Part of a text, its ranges kept. */
export function cut(v: StringLike, start: number, end: number = v.value.length): StringLike {
  if (start <= 0 && end >= v.value.length) return v
  const part = v.value.slice(start, end)
  const kept: number[] = []
  const ranges = rangesOf(v)
  for (let i = 0; i < ranges.length; i += 2) {
    const from = Math.max(ranges[i]!, start)
    const to = Math.min(ranges[i + 1]!, end)
    if (from < to) kept.push(from - start, to - start)
  }
  return kept.length > 0 ? new MarkedText(part, kept) : string(part)
}

/** A text of the same length in which each character stands for the old one at its place. */
export function mapped(v: StringLike, value: string): StringLike {
  return value.length === v.value.length && v instanceof MarkedText
    ? new MarkedText(value, v.ranges)
    : string(value)
}

export function charactersOf(v: StringLike): StringLike[] {
  let at = 0
  return Array.from(v.value, (character) => {
    at += character.length
    return cut(v, at - character.length, at)
  })
}

/** Joins texts; ranges that touch become one, so a token spelled in two of the template's strings is whole. */
export class TextBuilder {
  #value = ''
  #ranges: number[] = []
  /** The one text added so far, handed back as it is if no other comes. */
  #only: StringLike | null = null

  add(text: StringLike): this {
    const { length } = text.value
    if (length === 0) return this
    spendText(length)
    const offset = this.#value.length
    this.#only = offset === 0 ? text : null
    const ranges = rangesOf(text)
    for (let i = 0; i < ranges.length; i += 2) {
      const start = ranges[i]! + offset
      if (this.#ranges.at(-1) === start) this.#ranges.pop()
      else this.#ranges.push(start)
      this.#ranges.push(ranges[i + 1]! + offset)
    }
    this.#value += text.value
    return this
  }

  done(): StringLike {
    if (this.#only) return this.#only
    if (this.#value === '') return EMPTY
    return this.#ranges.length > 0 ? new MarkedText(this.#value, this.#ranges) : string(this.#value)
  }
}

export function concat(...texts: StringLike[]): StringLike {
  const builder = new TextBuilder()
  for (const text of texts) builder.add(text)
  return builder.done()
}

export function joined(texts: readonly StringLike[], separator: StringLike): StringLike {
  const builder = new TextBuilder()
  texts.forEach((text, i) => {
    if (i > 0) builder.add(separator)
    builder.add(text)
  })
  return builder.done()
}
