// How Python spells values and compares them: str(), repr(), json.dumps, ==, < and whitespace.
import { TemplateError } from '../conversation.ts'
import type { Value } from './package.ts'
import {
  isArray,
  isBoolean,
  isDict,
  isFloat,
  isFunction,
  isInteger,
  isNamespace,
  isNull,
  isString,
  isTuple,
  isUndefined,
  keyValue,
  numeric,
  string,
  typeName,
} from './values.ts'
import type { StringLike } from './package.ts'
import { spendSteps, spendText } from './work.ts'

/** What str.strip() strips: unlike JavaScript, U+001C–U+001F and U+0085, and not U+FEFF. */
export const SPACE =
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

/** repr(float): the exponent form from 1e16 up and below 1e-4, with two exponent digits. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0'
  const [digits, exponent] = value.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (power >= 16 || power < -4) {
    const size = String(Math.abs(power)).padStart(2, '0')
    return `${digits}e${power < 0 ? '-' : '+'}${size}`
  }
  if (Number.isInteger(value)) return `${BigInt(value)}.0`
  return power >= -6 ? String(value) : value.toFixed(20)
}

/** A number with a fixed count of decimals; a tie goes to the even digit, where JavaScript's goes up. */
export function fixed(value: number, decimals: number): string {
  if (Math.abs(value) >= 1e21)
    return Number.isFinite(value) ? `${BigInt(value)}.${'0'.repeat(decimals)}` : floatText(value)
  const exact = value.toFixed(Math.min(100, decimals + 30))
  const text = value.toFixed(decimals)
  const cut = exact.indexOf('.') + 1 + decimals
  if (!/^50*$/.test(exact.slice(cut))) return text
  const below = exact.slice(0, decimals === 0 ? cut - 1 : cut)
  return /[02468]$/.test(below) ? below : text
}

function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const body = text.replace(/[\\'"\p{C}\p{Z}]/gu, (character) => {
    if (character === ' ') return ' '
    if (character === '\\') return '\\\\'
    if (character === "'" || character === '"')
      return character === quote ? `\\${quote}` : character
    if (character === '\n') return '\\n'
    if (character === '\r') return '\\r'
    if (character === '\t') return '\\t'
    const code = character.codePointAt(0)!
    const hex = code.toString(16)
    if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`
    return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
  })
  return quote + body + quote
}

export function repr(v: Value): string {
  spendSteps(1)
  if (isString(v)) {
    spendText(v.value.length)
    return stringRepr(v.value)
  }
  if (isArray(v)) {
    const items = v.value.map(repr).join(', ')
    if (!isTuple(v)) return `[${items}]`
    return v.value.length === 1 ? `(${items},)` : `(${items})`
  }
  if (isDict(v) || isNamespace(v)) {
    const pairs = [...v.value].map(([key, value]) => `${repr(keyValue(key))}: ${repr(value)}`)
    const body = `{${pairs.join(', ')}}`
    return isNamespace(v) ? `<Namespace ${body}>` : body
  }
  if (isUndefined(v)) return 'Undefined'
  if (isFunction(v)) return '<function>'
  return scalarText(v)
}

function scalarText(v: Value): string {
  if (isBoolean(v)) return v.value ? 'True' : 'False'
  if (isFloat(v)) return floatText(v.value)
  return isNull(v) ? 'None' : String(v.value)
}

/** str(value); a text stays itself, with its ranges. */
export function str(v: Value): StringLike {
  if (isString(v)) return v
  return string(isUndefined(v) ? '' : repr(v))
}

export interface JsonStyle {
  indent: string | null
  ascii: boolean
  item: string
  key: string
  sorted: boolean
}

/** json.dumps, as transformers' `tojson` calls it. */
export function json(v: Value, style: JsonStyle, depth = 0): string {
  spendSteps(1)
  if (isString(v)) {
    spendText(v.value.length)
    return jsonString(v.value, style.ascii)
  }
  if (isNull(v)) return 'null'
  if (isBoolean(v)) return v.value ? 'true' : 'false'
  if (isInteger(v)) return String(v.value)
  if (isFloat(v)) return jsonFloat(v.value)
  if (isArray(v))
    return bracketed(
      '[]',
      v.value.map((item) => json(item, style, depth + 1)),
      style,
      depth
    )
  if (!isDict(v)) throw new TemplateError(`tojson cannot write a value of type ${typeName(v)}`)
  let entries = [...v.value]
  if (style.sorted) entries = entries.toSorted(([a], [b]) => order(keyValue(a), keyValue(b)))
  const members = entries.map(([key, value]) => {
    const name = typeof key === 'string' ? key : json(keyValue(key), style)
    return jsonString(name, style.ascii) + style.key + json(value, style, depth + 1)
  })
  return bracketed('{}', members, style, depth)
}

function bracketed(pair: string, members: string[], style: JsonStyle, depth: number): string {
  if (members.length === 0) return pair
  if (style.indent === null) return pair[0] + members.join(style.item) + pair[1]
  spendText(style.indent.length * (depth + 1) * (members.length + 1))
  const outer = `\n${style.indent.repeat(depth)}`
  const inner = outer + style.indent
  return pair[0] + inner + members.join(style.item + inner) + outer + pair[1]
}

function jsonFloat(value: number): string {
  if (Number.isFinite(value)) return floatText(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
}

function jsonString(text: string, ascii: boolean): string {
  // JSON.stringify escapes lone surrogates, which Python leaves as they are unless ascii.
  const escaped = JSON.stringify(text)
  if (!ascii) return escaped
  return escaped.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

/** Python's ==. */
export function equal(a: Value, b: Value): boolean {
  if (a === b) return true
  spendSteps(1)
  const x = numeric(a)
  const y = numeric(b)
  // oxlint-disable-next-line eqeqeq -- 1n == 1 and 1 == 1.0
  if (x !== undefined && y !== undefined) return x == y
  if (a.type !== b.type) return isDict(a) && isDict(b) && equalDicts(a.value, b.value)
  if (isArray(a) && isArray(b)) {
    const other = b.value
    return a.value.length === other.length && a.value.every((item, i) => equal(item, other[i]!))
  }
  if (isDict(a) && isDict(b)) return equalDicts(a.value, b.value)
  return isUndefined(a) || a.value === b.value
}

function equalDicts(a: Map<unknown, Value>, b: Map<unknown, Value>): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) {
    const other = b.get(key)
    if (!other || !equal(value, other)) return false
  }
  return true
}

/** Negative, zero or positive as Python's < orders the two; raises where Python does. */
export function order(a: Value, b: Value): number {
  spendSteps(1)
  const x = numeric(a)
  const y = numeric(b)
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : 0
  if (isString(a) && isString(b)) return orderText(a.value, b.value)
  if (isArray(a) && isArray(b) && a.type === b.type) {
    for (let i = 0; i < Math.min(a.value.length, b.value.length); i += 1) {
      if (!equal(a.value[i]!, b.value[i]!)) return order(a.value[i]!, b.value[i]!)
    }
    return a.value.length - b.value.length
  }
  throw new TemplateError(`'<' does not compare ${typeName(a)} with ${typeName(b)}`)
}

/** By code point, as Python; JavaScript's < goes by UTF-16 unit. */
function orderText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i += 1
  if (i === length) return a.length - b.length
  const x = a.charCodeAt(i)
  const y = b.charCodeAt(i)
  if (isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1
  return x - y
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff

/** Python's `item in container`. */
export function contains(container: Value, item: Value): boolean {
  if (isArray(container)) return container.value.some((other) => equal(item, other))
  if (isDict(container)) return hasKey(container.value, item)
  if (isUndefined(container)) return false
  if (isString(container) && isString(item)) {
    spendSteps(1 + container.value.length / 1024)
    return container.value.includes(item.value)
  }
  throw new TemplateError(`'in' does not look for ${typeName(item)} in ${typeName(container)}`)
}

function hasKey(map: Map<unknown, Value>, item: Value): boolean {
  if (isString(item)) return map.has(item.value)
  const number = numeric(item)
  if (number !== undefined) return map.has(number)
  if (isArray(item) || isDict(item)) {
    throw new TemplateError(`unhashable type: '${typeName(item)}'`)
  }
  return isNull(item) && map.has(null)
}
