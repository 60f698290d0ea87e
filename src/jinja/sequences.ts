// Jinja's filters that go through a sequence: sorting, selecting, mapping, grouping.
import { TemplateError } from '../conversation.ts'
import { Arguments, iterate } from './arguments.ts'
import type { Value } from './package.ts'
import { equal, order, str } from './python.ts'
import { applyTest } from './tests.ts'
import {
  integer,
  isDict,
  isInteger,
  isString,
  isUndefined,
  joined,
  list,
  string,
  truth,
  tuple,
  keyValue,
  mapped,
  undefinedValue,
} from './values.ts'
import { spendSteps } from './work.ts'
import { binary, item } from './operators.ts'

type Getter = (value: Value) => Value

/** What `attribute="a.b"` or `attribute=0` reads from an item. */
export function attributeGetter(attribute: Value | undefined, otherwise?: Value): Getter {
  if (!attribute || attribute.type === 'NullValue') return (value) => value
  if (isInteger(attribute)) return (value) => item(value, attribute) ?? otherwise ?? undefinedValue
  const path = str(attribute).value.split('.')
  return (value) => {
    let at: Value = value
    for (const part of path) {
      if (isUndefined(at)) throw new TemplateError(`An undefined value has no attribute '${part}'`)
      const key = /^\d+$/.test(part) ? integer(Number(part)) : string(part)
      at = item(at, key) ?? undefinedValue
      if (isUndefined(at) && otherwise) return otherwise
    }
    return at
  }
}

const folded: Getter = (value) =>
  isString(value) ? mapped(value, value.value.toLowerCase()) : value

/** Sorts by a key, stably; reversed keeps the order of equal items, as Python does. */
function sortedBy(values: Value[], key: Getter, reverse: boolean): Value[] {
  const keyed = values.map((value) => ({ value, key: key(value) }))
  keyed.sort((a, b) => (reverse ? order(b.key, a.key) : order(a.key, b.key)))
  return keyed.map((entry) => entry.value)
}

function sort(value: Value, args: Arguments): Value {
  const attribute = args.get(2, 'attribute')
  const names = attribute && isString(attribute) ? attribute.value.split(',') : []
  const fold = args.flag(1, 'case_sensitive') ? (v: Value): Value => v : folded
  const getters =
    names.length > 1
      ? names.map((name) => attributeGetter(string(name)))
      : [attributeGetter(attribute)]
  const key: Getter =
    getters.length === 1
      ? (v) => fold(getters[0]!(v))
      : (v) => tuple(getters.map((getter) => fold(getter(v))))
  return list(sortedBy([...iterate('sort', value)], key, args.flag(0, 'reverse')))
}

function dictSort(value: Value, args: Arguments): Value {
  if (!isDict(value)) throw new TemplateError('dictsort wants a dict')
  const by = args.text(1, 'by')?.value ?? 'key'
  const fold = args.flag(0, 'case_sensitive') ? (v: Value): Value => v : folded
  const pairs = [...value.value].map(([key, entry]) => tuple([keyValue(key), entry]))
  spendSteps(pairs.length)
  const key: Getter = (pair) => fold((pair.value as Value[])[by === 'value' ? 1 : 0]!)
  return list(sortedBy(pairs, key, args.flag(2, 'reverse')))
}

/** select, reject, selectattr and rejectattr: `wanted` keeps what passes the test. */
function selecting(wanted: boolean, byAttribute: boolean) {
  return (value: Value, args: Arguments): Value => {
    const rest = byAttribute ? args.positional.slice(1) : args.positional
    const getter = byAttribute ? attributeGetter(args.require(0, 'attribute')) : (v: Value) => v
    const test = rest[0] && str(rest[0]).value
    // Python's generator never starts on what is empty, None included.
    if (!truth(value)) return list([])
    const passes = (v: Value): boolean =>
      test === undefined ? truth(v) : applyTest(test, v, rest.slice(1))
    return list(iterate(args.callee, value).filter((v) => passes(getter(v)) === wanted))
  }
}

function join(value: Value, args: Arguments): Value {
  const getter = attributeGetter(args.get(1, 'attribute'))
  const separator = args.get(0, 'd')
  const texts = iterate('join', value).map((v) => str(getter(v)))
  return joined(texts, separator ? str(separator) : string(''))
}

function unique(value: Value, args: Arguments): Value {
  const getter = attributeGetter(args.get(1, 'attribute'))
  const fold = args.flag(0, 'case_sensitive') ? (v: Value): Value => v : folded
  const seen: Value[] = []
  return list(
    iterate('unique', value).filter((v) => {
      const key = fold(getter(v))
      if (seen.some((other) => equal(other, key))) return false
      seen.push(key)
      return true
    })
  )
}

function extreme(sign: 1 | -1) {
  return (value: Value, args: Arguments): Value => {
    const getter = attributeGetter(args.get(1, 'attribute'))
    const fold = args.flag(0, 'case_sensitive') ? (v: Value): Value => v : folded
    const key: Getter = (v) => fold(getter(v))
    const values = iterate(args.callee, value)
    if (values.length === 0) return undefinedValue
    return values.reduce((best, v) => (sign * order(key(v), key(best)) > 0 ? v : best))
  }
}

function sum(value: Value, args: Arguments): Value {
  const getter = attributeGetter(args.get(0, 'attribute'))
  const start: Value = args.get(1, 'start') ?? integer(0)
  return iterate('sum', value).reduce((total, v) => binary('+', total, getter(v)), start)
}

function groupBy(value: Value, args: Arguments): Value {
  const getter = attributeGetter(args.require(0, 'attribute'), args.get(1, 'default'))
  const fold = args.flag(2, 'case_sensitive') ? (v: Value): Value => v : folded
  const groups: { key: Value; label: Value; members: Value[] }[] = []
  for (const v of sortedBy([...iterate('groupby', value)], (x) => fold(getter(x)), false)) {
    const key = fold(getter(v))
    const last = groups.at(-1)
    if (last && equal(last.key, key)) last.members.push(v)
    else groups.push({ key, label: getter(v), members: [v] })
  }
  return list(groups.map((group) => tuple([group.label, list(group.members)])))
}

function batch(value: Value, args: Arguments): Value {
  const size = args.integer(0, 'linecount') ?? 0
  const fill = args.get(1, 'fill_with')
  const values = iterate('batch', value)
  const rows: Value[] = []
  for (let at = 0; at < values.length; at += Math.max(1, size)) {
    const row = values.slice(at, at + Math.max(1, size))
    if (fill && fill.type !== 'NullValue') {
      spendSteps(Math.max(0, size - row.length))
      while (row.length < size) row.push(fill)
    }
    rows.push(list(row))
  }
  return list(rows)
}

export const sequenceFilters: Record<string, (value: Value, args: Arguments) => Value> = {
  batch,
  dictsort: dictSort,
  first: (v) => iterate('first', v)[0] ?? undefinedValue,
  groupby: groupBy,
  join,
  last: (v) => iterate('last', v).at(-1) ?? undefinedValue,
  max: extreme(1),
  min: extreme(-1),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  sort,
  sum,
  unique,
}
