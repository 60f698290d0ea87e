// Python's two ways of filling a text: `"%s" % value` and `"{}".format(value)`, as far as chat templates use them.
import { TemplateError } from '../conversation.ts'
import type { Key, StringLike, Value } from './package.ts'
import { fixed, floatText, repr, str } from './python.ts'
import { cut, isDict, isFloat, isTuple, numeric, string, TextBuilder, typeName } from './values.ts'
import { spendText } from './work.ts'

export function formatPercent(format: StringLike, argument: Value): StringLike {
  const positional = isTuple(argument) ? argument.value : [argument]
  const builder = new TextBuilder()
  let next = 0
  let at = 0
  for (const match of format.value.matchAll(
    /%(?:\((\w+)\))?([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g
  )) {
    builder.add(cut(format, at, match.index))
    at = match.index + match[0].length
    const [, name, flags, width, precision, kind] = match
    if (kind === '%') {
      builder.add(string('%'))
      continue
    }
    const value = name === undefined ? positional[next++] : named(argument, name)
    if (!value) throw new TemplateError('not enough arguments for format string')
    builder.add(padded(converted(kind!, value, precision), flags!, Number(width || 0)))
  }
  const unused = next < positional.length && !isDict(argument)
  if (unused) throw new TemplateError('not all arguments converted during string formatting')
  return builder.add(cut(format, at)).done()
}

function named(argument: Value, name: Key): Value | undefined {
  return isDict(argument) ? argument.value.get(name) : undefined
}

function converted(kind: string, value: Value, precision: string | undefined): StringLike {
  if (kind === 's')
    return precision === undefined ? str(value) : cut(str(value), 0, Number(precision))
  if (kind === 'r') return string(repr(value))
  const number = numeric(value)
  if (number === undefined)
    throw new TemplateError(`%${kind} needs a number, not ${typeName(value)}`)
  if (kind === 'd' || kind === 'i') {
    return string(String(typeof number === 'bigint' ? number : Math.trunc(number) + 0))
  }
  if (kind === 'f' && Number(precision ?? 6) <= 100)
    return string(fixed(Number(number), Number(precision ?? 6)))
  if (kind === 'x') return string(number.toString(16))
  throw new TemplateError(`%${kind} is not supported in chat templates`)
}

function padded(text: StringLike, flags: string, width: number): StringLike {
  const missing = width - text.value.length
  if (missing <= 0) return text
  spendText(missing)
  const builder = new TextBuilder()
  if (flags.includes('-'))
    return builder
      .add(text)
      .add(string(' '.repeat(missing)))
      .done()
  return builder
    .add(string((flags.includes('0') ? '0' : ' ').repeat(missing)))
    .add(text)
    .done()
}

export function formatBraces(
  format: StringLike,
  positional: Value[],
  keywords: Map<Key, Value>
): StringLike {
  const builder = new TextBuilder()
  let next = 0
  let at = 0
  for (const match of format.value.matchAll(/\{\{|\}\}|\{(\w*)(![rs])?(?::([^{}]*))?\}/g)) {
    builder.add(cut(format, at, match.index))
    at = match.index + match[0].length
    if (match[0] === '{{' || match[0] === '}}') {
      builder.add(cut(format, match.index, match.index + 1))
      continue
    }
    const [, name, conversion, spec] = match
    const value =
      name === '' ? positional[next++] : (keywords.get(name!) ?? positional[Number(name)])
    if (!value) throw new TemplateError(`format() was given no value for '${match[0]}'`)
    builder.add(conversion === '!r' ? string(repr(value)) : specified(value, spec ?? ''))
  }
  return builder.add(cut(format, at)).done()
}

/** The few format specs seen in templates: `.2f`, `,`, `d`, `05d` and widths. */
function specified(value: Value, spec: string): StringLike {
  if (spec === '' || spec === 's') return str(value)
  const match = /^([<>]?)(0?)(\d{0,4})(,?)(?:\.(\d{1,2}))?([dfs]?)$/.exec(spec)
  if (!match) throw new TemplateError(`format() does not know the format '${spec}'`)
  const [, align, zero, width, comma, precision, kind] = match
  const number = numeric(value)
  let text = str(value)
  if (number !== undefined && kind !== 's') {
    let digits =
      kind === 'f' || precision
        ? fixed(Number(number), Number(precision ?? 6))
        : isFloat(value)
          ? floatText(value.value)
          : String(number)
    if (comma) digits = digits.replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, ',')
    text = string(digits)
  }
  const left = align === '<' || (align === '' && number === undefined)
  return padded(text, (left ? '-' : '') + zero, Number(width || 0))
}
