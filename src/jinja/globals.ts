// The functions every template may call: range, raise_exception, strftime_now, dict and joiner.
import { TemplateError } from '../conversation.ts'
import { Arguments, iterate } from './arguments.ts'
import type { Key, Value } from './package.ts'
import { str } from './python.ts'
import { callable, dict, integer, isDict, keyOf, list, namespace, string } from './values.ts'
import { spendSteps } from './work.ts'

/** Names that mean something to every template, so no caller may set them. */
export const GLOBAL_NAMES = [
  'namespace',
  'range',
  'raise_exception',
  'strftime_now',
  'dict',
  'joiner',
  'cycler',
  'lipsum',
  'loop',
  'self',
  'caller',
  'varargs',
  'kwargs',
  'true',
  'false',
  'none',
  'True',
  'False',
  'None',
] as const

const MAX_RANGE = 100_000

function range(args: Arguments): Value {
  const whole = (index: number): number | undefined => {
    if (args.positional[index]?.type === 'NullValue')
      throw args.wrong('bound', 'an integer', args.positional[index])
    return args.integer(index, 'bound')
  }
  const one = whole(0)
  if (one === undefined) throw new TemplateError('range() needs a bound')
  const two = whole(1)
  const start = two === undefined ? 0 : one
  const stop = two ?? one
  const step = whole(2) ?? 1
  if (step === 0) throw new TemplateError('range() was given a step of 0')
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (count > MAX_RANGE) {
    throw new TemplateError(`range() makes at most ${MAX_RANGE} numbers, not ${count}`)
  }
  spendSteps(count)
  return list(Array.from({ length: count }, (_, i) => integer(start + i * step)))
}

const MONTHS =
  'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')
const two = (n: number): string => String(n).padStart(2, '0')
const dayOfYear = (d: Date): number =>
  Math.round(
    (Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) - Date.UTC(d.getFullYear(), 0, 0)) /
      86_400_000
  )

const dateParts: Record<string, (d: Date) => string> = {
  Y: (d) => String(d.getFullYear()),
  y: (d) => two(d.getFullYear() % 100),
  m: (d) => two(d.getMonth() + 1),
  d: (d) => two(d.getDate()),
  e: (d) => String(d.getDate()).padStart(2),
  H: (d) => two(d.getHours()),
  I: (d) => two(d.getHours() % 12 || 12),
  M: (d) => two(d.getMinutes()),
  S: (d) => two(d.getSeconds()),
  f: (d) => String(d.getMilliseconds() * 1000).padStart(6, '0'),
  p: (d) => (d.getHours() < 12 ? 'AM' : 'PM'),
  A: (d) => DAYS[d.getDay()]!,
  a: (d) => DAYS[d.getDay()]!.slice(0, 3),
  B: (d) => MONTHS[d.getMonth()]!,
  b: (d) => MONTHS[d.getMonth()]!.slice(0, 3),
  j: (d) => String(dayOfYear(d)).padStart(3, '0'),
  w: (d) => String(d.getDay()),
  F: (d) => dateFormat('%Y-%m-%d', d),
  T: (d) => dateFormat('%H:%M:%S', d),
  R: (d) => dateFormat('%H:%M', d),
  D: (d) => dateFormat('%m/%d/%y', d),
  Z: () => '',
  z: () => '',
  '%': () => '%',
}

/** datetime.strftime in the C locale; `%-d` drops leading zeros. */
export function dateFormat(format: string, date: Date): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (all, bare: string, code: string) => {
    const part = dateParts[code]?.(date)
    if (part === undefined) return all
    return bare ? part.replace(/^[0 ]+(?=.)/, '') : part
  })
}

/** joiner(", "): nothing the first time it is called, the separator after. */
function joiner(args: Arguments): Value {
  const separator = str(args.get(0, 'sep') ?? string(', '))
  let used = false
  return callable(() => {
    const text = used ? separator : string('')
    used = true
    return text
  })
}

/** What dict() and namespace() make of a dict or pairs, and named arguments. */
function entriesOf(args: Arguments): Map<Key, Value> {
  const source = args.positional[0]
  const entries = new Map<Key, Value>()
  const pairs = !source || isDict(source) ? [] : iterate(`${args.callee}()`, source)
  if (source && isDict(source)) for (const [key, value] of source.value) entries.set(key, value)
  for (const pair of pairs) {
    const [key, value] = iterate(`${args.callee}()`, pair)
    const name = key && keyOf(key)
    if (name === undefined || !value) throw args.wrong('mapping', 'pairs', pair)
    entries.set(name, value)
  }
  for (const [key, value] of args.named) entries.set(key, value)
  return entries
}

function makeNamespace(args: Arguments): Value {
  const entries = entriesOf(args)
  for (const name of entries.keys()) {
    if (String(name).startsWith('_')) throw new TemplateError(`A namespace cannot hold '${name}'`)
  }
  return namespace(entries)
}

function raise(args: Arguments): Value {
  throw new TemplateError(str(args.get(0, 'message') ?? string('raise_exception()')).value)
}

export function globals(now: Date): [string, Value][] {
  const bound: [string, (args: Arguments) => Value][] = [
    ['range', range],
    ['raise_exception', raise],
    ['strftime_now', (args) => string(dateFormat(args.requireText(0, 'format').value, now))],
    ['dict', (args) => dict(entriesOf(args))],
    ['namespace', makeNamespace],
    ['joiner', joiner],
  ]
  return bound.map(([name, body]) => [name, callable((args) => body(Arguments.ofCall(name, args)))])
}
