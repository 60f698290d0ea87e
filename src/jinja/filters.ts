// Jinja's filters as Python's jinja2 has them, with transformers' own tojson.
import { TemplateError } from '../conversation.ts'
import { Arguments, iterate } from './arguments.ts'
import { formatPercent } from './formatting.ts'
import { capitalize, methodOf, pad, replace, strip } from './methods.ts'
import type { Value } from './package.ts'
import { fixed, json, str } from './python.ts'
import { attributeGetter, sequenceFilters } from './sequences.ts'
import {
  charactersOf,
  concat,
  dict,
  float,
  integer,
  isArray,
  isDict,
  isFloat,
  isNull,
  isString,
  isUndefined,
  joined,
  list,
  mapped,
  numeric,
  string,
  tuple,
  truth,
  typeName,
  undefinedValue,
} from './values.ts'
import { spendText } from './work.ts'

export type Filter = (value: Value, args: Arguments) => Value

function lengthOf(value: Value): number {
  if (isArray(value)) return value.value.length
  if (isDict(value)) return value.value.size
  if (isUndefined(value)) return 0
  if (!isString(value)) throw new TemplateError(`A value of type ${typeName(value)} has no length`)
  const surrogatePairs = value.value.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0
  return value.value.length - surrogatePairs
}

function toInteger(value: Value, args: Arguments): Value {
  const otherwise = args.get(0, 'default') ?? integer(0)
  if (isUndefined(value)) throw new TemplateError("The filter 'int' was given an undefined value")
  if (isString(value)) {
    const text = strip(value, 'both').value.replace(/(?<=\d)_(?=\d)/g, '')
    if (/^[-+]?\d{1,4000}$/.test(text)) return integer(BigInt(text.replace('+', '')))
    const number = numberOf(text)
    return number === undefined || !Number.isFinite(number)
      ? otherwise
      : integer(BigInt(Math.trunc(number)))
  }
  const number = numeric(value)
  if (number === undefined || !Number.isFinite(Number(number))) return otherwise
  return isFloat(value) ? integer(BigInt(Math.trunc(value.value))) : integer(number)
}

function numberOf(text: string): number | undefined {
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined
}

function toFloat(value: Value, args: Arguments): Value {
  const otherwise = args.get(0, 'default') ?? float(0)
  if (isUndefined(value)) throw new TemplateError("The filter 'float' was given an undefined value")
  const number = isString(value) ? numberOf(strip(value, 'both').value) : numeric(value)
  return number === undefined ? otherwise : float(Number(number))
}

function round(value: Value, args: Arguments): Value {
  const number = numeric(value)
  if (number === undefined) throw args.wrong('value', 'a number', value)
  const precision = args.integer(0, 'precision') ?? 0
  const method = args.text(1, 'method')?.value ?? 'common'
  if (method === 'common' && !isFloat(value) && precision >= 0) return integer(number)
  const scale = 10 ** precision
  if (method === 'ceil') return float(Math.ceil(Number(number) * scale) / scale)
  if (method === 'floor') return float(Math.floor(Number(number) * scale) / scale)
  if (precision >= 0) return float(Number(fixed(Number(number), Math.min(precision, 60))))
  const scaled = Number(number) * scale
  const below = Math.floor(scaled)
  // Python rounds a tie to the even neighbour.
  const even = below % 2 === 0 ? below : below + 1
  const nearest = (scaled - below === 0.5 ? even : Math.round(scaled)) / scale
  return isFloat(value) ? float(nearest) : integer(nearest)
}

function indent(value: Value, args: Arguments): Value {
  const width = args.get(0, 'width') ?? integer(4)
  let margin = string('')
  if (isString(width)) margin = width
  else {
    const spaces = args.integer(0, 'width') ?? 4
    spendText(Math.max(0, spaces))
    margin = string(' '.repeat(Math.max(0, spaces)))
  }
  const text = concat(str(value), string('\n'))
  const lines = iterate('indent', callMethod(text, 'splitlines')).map(str)
  const blank = args.flag(2, 'blank')
  const first = args.flag(1, 'first')
  const indented = lines.map((line, i) => {
    const bare = i === 0 ? !first : !blank && line.value === ''
    return bare ? line : concat(margin, line)
  })
  return joined(indented, string('\n'))
}

function callMethod(object: Value, name: string, args: Value[] = []): Value {
  const method = methodOf(object, name) as { value: (args: Value[]) => Value } | undefined
  if (!method)
    throw new TemplateError(`A value of type ${typeName(object)} has no method '${name}'`)
  return method.value(args)
}

function toJson(value: Value, args: Arguments): Value {
  const width = args.get(1, 'indent')
  const indented = width !== undefined && !isNull(width)
  const spaces = indented && !isString(width) ? (args.integer(1, 'indent') ?? 0) : 0
  if (spaces > 1000) throw new TemplateError('tojson: an indent of at most 1000 is supported')
  const margin = indented ? (isString(width) ? width.value : ' '.repeat(Math.max(0, spaces))) : null
  const separators = args.get(2, 'separators')
  const [itemSeparator, keySeparator] =
    separators && !isNull(separators)
      ? iterate('tojson', separators).map((s) => str(s).value)
      : [indented ? ',' : ', ', ': ']
  const text = json(value, {
    indent: margin,
    ascii: args.flag(0, 'ensure_ascii'),
    item: itemSeparator ?? ', ',
    key: keySeparator ?? ': ',
    sorted: args.flag(3, 'sort_keys'),
  })
  return string(text)
}

function escapeHtml(text: string): string {
  const names: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&#34;',
    "'": '&#39;',
  }
  return text.replace(/[&<>"']/g, (c) => names[c]!)
}

/** jinja2's own title: words begin after spaces, hyphens and opening brackets. */
function titleWords(text: string): string {
  return text
    .split(/([-\s({[<]+)/)
    .map((word) => {
      const first = Array.from(word.slice(0, 2))[0] ?? ''
      return first.toUpperCase() + word.slice(first.length).toLowerCase()
    })
    .join('')
}

function absolute(value: Value): Value {
  const number = numeric(value)
  if (number === undefined)
    throw new TemplateError(`abs was given a value of type ${typeName(value)}`)
  if (isFloat(value)) return float(Math.abs(value.value))
  return integer(number < 0 ? -number : number)
}

function toList(value: Value): Value {
  return list([...iterate('list', value)])
}

function reverse(value: Value): Value {
  if (isString(value)) return joined(charactersOf(value).toReversed(), string(''))
  return list([...iterate('reverse', value)].toReversed())
}

function items(value: Value): Value {
  if (isUndefined(value)) return list([])
  if (!isDict(value)) throw new TemplateError(`items wants a dict, not ${typeName(value)}`)
  return callMethod(value, 'items')
}

function attribute(value: Value, args: Arguments): Value {
  const name = args.requireText(0, 'name')
  return methodOf(value, name.value) ?? undefinedValue
}

function fallback(value: Value, args: Arguments): Value {
  const missing = isUndefined(value) || (args.flag(1, 'boolean') && !truth(value))
  return missing ? (args.get(0, 'default_value') ?? string('')) : value
}

function urlEncode(value: Value): Value {
  if (isDict(value)) {
    const pairs = [...value.value].map(
      ([k, v]) => `${encodePart(String(k))}=${encodePart(str(v).value)}`
    )
    return string(pairs.join('&').replaceAll('%20', '+'))
  }
  return string(encodePart(str(value).value).replaceAll('%2F', '/'))
}

function encodePart(text: string): string {
  return encodeURIComponent(text.replace(/\p{Cs}/gu, '\ufffd')).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`
  )
}

function map(value: Value, args: Arguments): Value {
  const source = truth(value) ? iterate('map', value) : []
  const path = args.named.get('attribute')
  if (path) return list(source.map(attributeGetter(path, args.named.get('default'))))
  const name = args.requireText(0, 'filter').value
  const rest = new Arguments(name, args.positional.slice(1), args.named)
  return list(source.map((v) => applyFilter(name, v, rest)))
}

const filters: Record<string, Filter> = {
  ...sequenceFilters,
  abs: absolute,
  attr: attribute,
  capitalize: (v) => capitalize(str(v)),
  center: (v, a) => pad(str(v), a.integer(0, 'width') ?? 80, 'center'),
  count: (v) => integer(lengthOf(v)),
  length: (v) => integer(lengthOf(v)),
  d: fallback,
  default: fallback,
  e: (v) => string(escapeHtml(str(v).value)),
  escape: (v) => string(escapeHtml(str(v).value)),
  float: toFloat,
  format: (v, a) => formatPercent(str(v), a.named.size > 0 ? dict(a.named) : tuple(a.positional)),
  indent,
  int: toInteger,
  items,
  list: toList,
  map,
  'empty-tuple': () => tuple([]),
  'one-tuple': (v) => tuple([v]),
  lower: (v) => mapped(str(v), str(v).value.toLowerCase()),
  upper: (v) => mapped(str(v), str(v).value.toUpperCase()),
  replace: (v, a) =>
    replace(
      str(v),
      str(a.require(0, 'old')),
      str(a.require(1, 'new')),
      a.integer(2, 'count') ?? -1
    ),
  reverse,
  round,
  safe: (v) => v,
  string: (v) => str(v),
  title: (v) => mapped(str(v), titleWords(str(v).value)),
  tojson: toJson,
  trim: (v, a) => strip(str(v), 'both', a.text(0, 'chars')?.value),
  urlencode: urlEncode,
  wordcount: (v) => integer(str(v).value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0),
}

export function applyFilter(name: string, value: Value, args: Arguments): Value {
  if (!Object.hasOwn(filters, name)) throw new TemplateError(`No filter is named '${name}'`)
  return filters[name]!(value, args)
}
