// Methods of Python's str, dict and list that templates call; those that would change a value do not exist.
import { TemplateError } from '../conversation.ts'
import { Arguments } from './arguments.ts'
import { formatBraces } from './formatting.ts'
import type { MapLike, StringLike, Value } from './package.ts'
import { equal, SPACE } from './python.ts'
import {
  boolean,
  callable,
  charactersOf,
  concat,
  cut,
  dict,
  integer,
  isArray,
  isDict,
  isString,
  joined,
  keyOf,
  keyValue,
  list,
  mapped,
  nullValue,
  string,
  TextBuilder,
  tuple,
} from './values.ts'
import { iterate } from './arguments.ts'
import { spendSteps, spendText } from './work.ts'

type Method<T> = (self: T, args: Arguments) => Value

const LEADING = new RegExp(`^[${SPACE}]+`)
const SPACES = new RegExp(`[${SPACE}]+`, 'g')
// oxlint-disable-next-line no-control-regex
const LINE_END = new RegExp('\\r\\n|[\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029]', 'g')
const isSpace = new RegExp(`^[${SPACE}]$`)

/** str.strip, lstrip and rstrip: of whitespace, or of the characters given. */
export function strip(
  text: StringLike,
  sides: 'both' | 'left' | 'right',
  set?: string
): StringLike {
  const units = set === undefined ? undefined : new Set(Array.from(set))
  const drop = (c: string): boolean => (units ? units.has(c) : isSpace.test(c))
  const value = text.value
  let start = 0
  let end = value.length
  const drops = { left: sides !== 'right', right: sides !== 'left' }
  while (drops.left && start < end && drop(characterAt(value, start))) {
    start += characterAt(value, start).length
  }
  while (drops.right && end > start && drop(characterBefore(value, end))) {
    end -= characterBefore(value, end).length
  }
  return cut(text, start, end)
}

function characterAt(text: string, at: number): string {
  return String.fromCodePoint(text.codePointAt(at)!)
}

function characterBefore(text: string, end: number): string {
  const pair = end > 1 ? characterAt(text, end - 2) : ''
  return pair.length === 2 ? pair : text[end - 1]!
}

export function capitalize(text: StringLike): StringLike {
  const first = Array.from(text.value.slice(0, 2))[0] ?? ''
  return mapped(text, first.toUpperCase() + text.value.slice(first.length).toLowerCase())
}

/** str.title(): a letter after a non-letter is upper case, others lower. */
export function title(text: StringLike): StringLike {
  const value = text.value.replace(/(\p{L})(\p{L}*)/gu, (_, first: string, rest: string) => {
    return first.toUpperCase() + rest.toLowerCase()
  })
  return mapped(text, value)
}

export function replace(
  text: StringLike,
  old: StringLike,
  fresh: StringLike,
  limit = -1
): StringLike {
  const builder = new TextBuilder()
  const parts = splitAt(text, old.value, limit)
  parts.forEach((part, i) => {
    if (i > 0) builder.add(fresh)
    builder.add(part)
  })
  return builder.done()
}

/** The text cut at each occurrence of `separator`, at most `limit` times; '' cuts everywhere, as replace wants. */
function splitAt(text: StringLike, separator: string, limit: number): StringLike[] {
  if (separator === '') {
    const characters = [string(''), ...charactersOf(text), string('')]
    if (limit < 0 || limit >= characters.length - 1) return characters
    const head = characters.slice(0, limit)
    return [...head, joined(characters.slice(limit), string(''))]
  }
  const parts: StringLike[] = []
  let at = 0
  const most = limit < 0 ? Infinity : limit
  while (parts.length < most) {
    const next = text.value.indexOf(separator, at)
    if (next < 0) break
    parts.push(cut(text, at, next))
    at = next + separator.length
  }
  spendSteps(parts.length)
  parts.push(cut(text, at))
  return parts
}

function split(text: StringLike, separator: StringLike | undefined, limit: number): StringLike[] {
  if (separator) {
    if (separator.value === '') throw new TemplateError('split() was given an empty separator')
    return splitAt(text, separator.value, limit)
  }
  const parts: StringLike[] = []
  let at = LEADING.exec(text.value)?.[0].length ?? 0
  SPACES.lastIndex = at
  const most = limit < 0 ? Infinity : limit
  while (at < text.value.length && parts.length < most) {
    SPACES.lastIndex = at
    const space = SPACES.exec(text.value)
    parts.push(cut(text, at, space?.index ?? text.value.length))
    at = space ? space.index + space[0].length : text.value.length
  }
  spendSteps(parts.length)
  if (at < text.value.length) parts.push(cut(text, at))
  return parts
}

function splitFromRight(
  text: StringLike,
  separator: StringLike | undefined,
  limit: number
): StringLike[] {
  if (limit < 0) return split(text, separator, -1)
  const parts: StringLike[] = []
  let rest = separator ? text : strip(text, 'right')
  while (parts.length < limit && rest.value !== '') {
    const mark = separator ? separator.value : lastSpace(rest.value)
    const at = mark === '' ? -1 : rest.value.lastIndexOf(mark)
    if (at < 0) break
    parts.unshift(cut(rest, at + mark.length))
    rest = cut(rest, 0, at)
    if (!separator) rest = strip(rest, 'right')
  }
  return rest.value === '' && !separator ? parts : [rest, ...parts]
}

function lastSpace(text: string): string {
  return Array.from(text).findLast((c) => isSpace.test(c)) ?? ''
}

function splitLines(text: StringLike, keep: boolean): StringLike[] {
  const lines: StringLike[] = []
  let at = 0
  for (const match of text.value.matchAll(LINE_END)) {
    lines.push(cut(text, at, match.index + (keep ? match[0].length : 0)))
    at = match.index + match[0].length
  }
  if (at < text.value.length) lines.push(cut(text, at))
  spendSteps(lines.length)
  return lines
}

function affix(self: StringLike, args: Arguments, test: 'startsWith' | 'endsWith'): Value {
  const wanted = args.require(0, 'prefix')
  const options = isArray(wanted) ? wanted.value : [wanted]
  return boolean(
    options.some((option) => {
      if (!isString(option)) throw args.wrong('prefix', 'text', option)
      return self.value[test](option.value)
    })
  )
}

function found(self: StringLike, args: Arguments, from: 'indexOf' | 'lastIndexOf'): number {
  const index = self.value[from](args.requireText(0, 'sub').value)
  return index < 0 ? -1 : Array.from(self.value.slice(0, index)).length
}

function partition(self: StringLike, args: Arguments, from: 'indexOf' | 'lastIndexOf'): Value {
  const separator = args.requireText(0, 'sep')
  const at = self.value[from](separator.value)
  if (at < 0) {
    return tuple(
      from === 'indexOf' ? [self, string(''), string('')] : [string(''), string(''), self]
    )
  }
  return tuple([cut(self, 0, at), separator, cut(self, at + separator.value.length)])
}

export function pad(
  text: StringLike,
  width: number,
  where: 'left' | 'right' | 'center',
  fill = ' '
): StringLike {
  const missing = width - Array.from(text.value).length
  if (missing <= 0) return text
  spendText(missing)
  // str.center puts the odd space on the left only for odd widths.
  const half = Math.floor(missing / 2) + (missing & width & 1)
  const before = where === 'left' ? 0 : where === 'right' ? missing : half
  return concat(string(fill.repeat(before)), text, string(fill.repeat(missing - before)))
}

const matches =
  (pattern: RegExp): Method<StringLike> =>
  (s) =>
    boolean(pattern.test(s.value))
const cased = (s: StringLike): boolean => /[\p{Lu}\p{Ll}\p{Lt}]/u.test(s.value)

const stringMethods: Record<string, Method<StringLike>> = {
  upper: (s) => mapped(s, s.value.toUpperCase()),
  lower: (s) => mapped(s, s.value.toLowerCase()),
  casefold: (s) => mapped(s, s.value.toLowerCase()),
  swapcase: (s) =>
    mapped(
      s,
      s.value.replace(/./gu, (c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase()))
    ),
  capitalize,
  title,
  strip: (s, a) => strip(s, 'both', a.text(0, 'chars')?.value),
  lstrip: (s, a) => strip(s, 'left', a.text(0, 'chars')?.value),
  rstrip: (s, a) => strip(s, 'right', a.text(0, 'chars')?.value),
  startswith: (s, a) => affix(s, a, 'startsWith'),
  endswith: (s, a) => affix(s, a, 'endsWith'),
  split: (s, a) => list(split(s, a.text(0, 'sep'), a.integer(1, 'maxsplit') ?? -1)),
  rsplit: (s, a) => list(splitFromRight(s, a.text(0, 'sep'), a.integer(1, 'maxsplit') ?? -1)),
  splitlines: (s, a) => list(splitLines(s, a.flag(0, 'keepends'))),
  partition: (s, a) => partition(s, a, 'indexOf'),
  rpartition: (s, a) => partition(s, a, 'lastIndexOf'),
  replace: (s, a) =>
    replace(s, a.requireText(0, 'old'), a.requireText(1, 'new'), a.integer(2, 'count') ?? -1),
  removeprefix: (s, a) => {
    const prefix = a.requireText(0, 'prefix').value
    return s.value.startsWith(prefix) ? cut(s, prefix.length) : s
  },
  removesuffix: (s, a) => {
    const suffix = a.requireText(0, 'suffix').value
    return suffix && s.value.endsWith(suffix) ? cut(s, 0, s.value.length - suffix.length) : s
  },
  join: (s, a) => {
    const parts = iterate('join()', a.require(0, 'iterable'))
    return joined(
      parts.map((part) => {
        if (!isString(part)) throw a.wrong('iterable', 'texts', part)
        return part
      }),
      s
    )
  },
  find: (s, a) => integer(found(s, a, 'indexOf')),
  rfind: (s, a) => integer(found(s, a, 'lastIndexOf')),
  index: (s, a) => {
    const at = found(s, a, 'indexOf')
    if (at < 0) throw new TemplateError('index() did not find the text')
    return integer(at)
  },
  count: (s, a) => integer(splitAt(s, a.requireText(0, 'sub').value, -1).length - 1),
  format: (s, a) => formatBraces(s, a.positional, a.named),
  zfill: (s, a) => {
    const width = a.integer(0, 'width') ?? 0
    const sign = /^[-+]/.test(s.value) ? 1 : 0
    return concat(cut(s, 0, sign), pad(cut(s, sign), width - sign, 'right', '0'))
  },
  ljust: (s, a) => pad(s, a.integer(0, 'width') ?? 0, 'left', a.text(1, 'fillchar')?.value),
  rjust: (s, a) => pad(s, a.integer(0, 'width') ?? 0, 'right', a.text(1, 'fillchar')?.value),
  center: (s, a) => pad(s, a.integer(0, 'width') ?? 0, 'center', a.text(1, 'fillchar')?.value),
  isdigit: matches(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u),
  isdecimal: matches(/^\p{Nd}+$/u),
  isnumeric: matches(/^\p{N}+$/u),
  isalpha: matches(/^\p{L}+$/u),
  isalnum: matches(/^[\p{L}\p{N}]+$/u),
  isspace: matches(new RegExp(`^[${SPACE}]+$`)),
  isupper: (s) => boolean(cased(s) && s.value === s.value.toUpperCase()),
  islower: (s) => boolean(cased(s) && s.value === s.value.toLowerCase()),
}

const dictMethods: Record<string, Method<MapLike>> = {
  items: (d) => list([...d.value].map(([key, value]) => tuple([keyValue(key), value]))),
  keys: (d) => list([...d.value.keys()].map(keyValue)),
  values: (d) => list([...d.value.values()]),
  get: (d, a) => {
    const key = keyOf(a.require(0, 'key'))
    const value = key === undefined ? undefined : d.value.get(key)
    return value ?? a.get(1, 'default') ?? nullValue
  },
  copy: (d) => dict(new Map(d.value)),
}

const listMethods: Record<string, Method<Value & { value: Value[] }>> = {
  index: (l, a) => {
    const wanted = a.require(0, 'value')
    const at = l.value.findIndex((item) => equal(item, wanted))
    if (at < 0) throw new TemplateError('index() did not find the value')
    return integer(at)
  },
  count: (l, a) => {
    const wanted = a.require(0, 'value')
    return integer(l.value.filter((item) => equal(item, wanted)).length)
  },
  copy: (l) => list([...l.value]),
}

/** The method `name` of a value, ready to call, if Python has it and the sandbox allows it. */
export function methodOf(object: Value, name: string): Value | undefined {
  if (isString(object)) return bind(stringMethods, object, name)
  if (isDict(object)) return bind(dictMethods, object, name)
  return isArray(object) ? bind(listMethods, object, name) : undefined
}

function bind<T>(methods: Record<string, Method<T>>, self: T, name: string): Value | undefined {
  if (!Object.hasOwn(methods, name)) return undefined
  const method = methods[name]!
  return callable((args) => method(self, Arguments.ofCall(name, args)))
}
