// From JSON to run-time values: JSON text without losing how numbers are spelled or keys ordered, and parsed JSON.
import { TemplateError } from '../conversation.ts'
import type { Json } from '../conversation.ts'
import { jsonTokens } from '../json.ts'
import type { Key, Value } from './package.ts'
import {
  boolean,
  dict,
  float,
  integer,
  list,
  nullValue,
  string,
  trueValue,
  falseValue,
} from './values.ts'

/** How deeply arrays and objects may nest in what a template is given. */
export const MAX_DEPTH = 64

function tooDeep(): TemplateError {
  return new TemplateError(`JSON may nest at most ${MAX_DEPTH} levels deep`)
}

/** Throws a SyntaxError for text that is not JSON, a TemplateError for what nests too deeply. */
export function fromJsonText(text: string): Value {
  JSON.parse(text)
  const tokens = jsonTokens(text)
  const next = (): string => tokens.next().value as string
  const read = (token: string, depth: number): Value => {
    if (depth > MAX_DEPTH) throw tooDeep()
    if (token === '[') {
      const items: Value[] = []
      for (let at = next(); at !== ']'; at = next()) if (at !== ',') items.push(read(at, depth + 1))
      return list(items)
    }
    if (token !== '{') return scalar(token)
    const members = new Map<Key, Value>()
    for (let at = next(); at !== '}'; at = next()) {
      if (at === ',') continue
      next() // the colon
      members.set(JSON.parse(at) as string, read(next(), depth + 1))
    }
    return dict(members)
  }
  return read(next(), 0)
}

function scalar(token: string): Value {
  if (token.startsWith('"')) return string(JSON.parse(token) as string)
  if (token === 'true') return trueValue
  if (token === 'false') return falseValue
  if (token === 'null') return nullValue
  if (/[.eE]/.test(token)) return float(Number(token))
  if (token.length > 4300) throw new TemplateError('A number has more than 4300 digits')
  return integer(token.length < 16 ? Number(token) + 0 : BigInt(token))
}

/** From parsed JSON; properties that are undefined do not exist. */
export function fromJson(json: Json | undefined, depth = 0): Value {
  if (depth > MAX_DEPTH) throw tooDeep()
  if (json === null || json === undefined) return nullValue
  if (typeof json === 'string') return string(json)
  if (typeof json === 'boolean') return boolean(json)
  if (typeof json === 'number') return Number.isInteger(json) ? integer(json) : float(json)
  if (Array.isArray(json)) return list(json.map((item) => fromJson(item, depth + 1)))
  const members = new Map<Key, Value>()
  for (const [key, value] of Object.entries(json)) {
    if (value !== undefined) members.set(key, fromJson(value, depth + 1))
  }
  return dict(members)
}
