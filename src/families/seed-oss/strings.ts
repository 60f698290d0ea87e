// String values of a Seed-OSS call as rules of a grammar: raw text up to the end tag, which is part of the rule.
import { invalid } from '../../errors.ts'
import { escaped, regex } from '../../grammar/lark.ts'
import type { Schema } from '../../grammar/schema.ts'

export const TAG_END = '</parameter>'

const TAG = TAG_END.slice(1)

/** Any proper beginning of the tag's rest, then what shows that it was none: `<` stands only at the tag's start. */
const unfinished = (): string => {
  let rest = ''
  for (const letter of [...TAG].slice(0, -1).toReversed()) rest = `(${escaped(letter)}${rest})?`
  return rest
}

const deviation = (): string =>
  [...TAG].map((letter, n) => `${escaped(TAG.slice(0, n))}[^<${escaped(letter)}]`).join('|')

/** Any text with its end tag, which it does not hold before. */
const BODY = `([^<]|(<${unfinished()})*(<(${deviation()})))*(<${unfinished()})*${escaped(TAG_END)}`

export const VALUE = 'VALUE'
/** The terminal that `value` needs. */
export const VALUE_RULE = `VALUE: /${BODY}/`

/** The alternatives a pattern has outside of all groups. */
const alternatives = (pattern: string): string[] => {
  const parts = ['']
  let depth = 0
  for (const [found] of pattern.matchAll(/\\[\s\S]|\[(?:\\[\s\S]|[^\]\\])*\]|[\s\S]/g)) {
    if (found === '(') depth += 1
    if (found === ')') depth -= 1
    if (found === '|' && depth === 0) parts.push('')
    else parts.push(parts.pop() + found)
  }
  return parts
}

/** A pattern matches anywhere in a text, unless it says where it begins and ends. */
const anywhere = (pattern: string): string => alternatives(pattern).map(found).join('|')

const found = (pattern: string): string => {
  const start = pattern.startsWith('^') ? '' : '(?s:.*)'
  const end = /(^|[^\\])(\\\\)*\$$/.test(pattern) ? '' : '(?s:.*)'
  const body = pattern.slice(start === '' ? 1 : 0, end === '' ? -1 : undefined)
  return `${start}(${body})${end}`
}

/** Rules that define `name` as a string of the schema with its end tag behind it. */
export const stringRules = (schema: Schema, name: string, param: string): string => {
  const { minLength, maxLength } = schema
  const listed = Array.isArray(schema.enum)
    ? schema.enum
    : schema.const === undefined
      ? undefined
      : [schema.const]
  if (listed) {
    const texts = listed.filter((one) => typeof one === 'string')
    const wrong = texts.find((text) => text.includes(TAG_END) || text !== text.trim())
    if (wrong !== undefined)
      throw invalid(
        param,
        `${JSON.stringify(wrong).slice(0, 80)} cannot be a value of this model's calls`
      )
    return `${name}: (${texts.map((text) => JSON.stringify(text)).join(' | ')}) ${JSON.stringify(TAG_END)}`
  }
  const conditions: string[] = []
  for (const each of [schema, ...(Array.isArray(schema.allOf) ? schema.allOf : [])]) {
    const { pattern } = each as Schema
    if (typeof pattern === 'string') conditions.push(anywhere(pattern))
  }
  if (typeof minLength === 'number' || typeof maxLength === 'number')
    conditions.push(`(?s:.){${minLength ?? 0},${maxLength ?? ''}}`)
  // A newline at its start would be its frame, and no part of it.
  if (conditions.length > 0) conditions.push('([^\\n](?s:.*))?')
  if (conditions.length === 0) return `${name}: VALUE`
  const terminal = name.toUpperCase()
  const all = conditions.map((one) => regex(`(${one})${escaped(TAG_END)}`))
  return `${name}: ${terminal}\n${terminal}: ${[...all, `/${BODY}/`].join(' & ')}`
}
