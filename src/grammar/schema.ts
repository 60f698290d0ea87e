// Makes a caller's JSON schema one that the engine's grammar holds by construction, or says which keyword it cannot hold.
import type { Json } from '../conversation.ts'
import { invalid } from '../errors.ts'
import { FORMATS, fromJavaScript, isOfZod } from './formats.ts'

export type Schema = { [key: string]: Json }

/** Bounds before anything is compiled: beyond them compiling takes seconds, gigabytes or the whole stack. */
const MOST = {
  bytes: 256 * 1024,
  depth: 64,
  references: 64,
  optional: 400,
  enumeration: 10_000,
  length: 4000,
  multiple: 10_000,
}

/** Say nothing about what is valid. */
const ANNOTATIONS = new Set(
  (
    '$schema $id $comment title description default example examples deprecated readOnly writeOnly contentMediaType ' +
    'contentEncoding discriminator xml externalDocs strict contentSchema'
  ).split(' ')
)

/** Hold by the grammar, with schemas inside or without. */
const PLAIN = new Set(
  (
    'type enum const minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems ' +
    'required minProperties maxProperties $ref'
  ).split(' ')
)
const ONE_INSIDE = new Set(['items', 'additionalItems', 'additionalProperties'])
const LIST_INSIDE = new Set(['anyOf', 'oneOf', 'allOf', 'prefixItems'])
const MAP_INSIDE = new Set(['properties', 'patternProperties', '$defs', 'definitions'])

const TYPES = new Set(['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'])

export const isSchema = (value: Json | undefined): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Parameter and path of what is being read, for complaints. */
interface Place {
  param: string
  path: string
}

const refuse = ({ param, path }: Place, what: string): never => {
  const place = path.length > 120 ? `…${path.slice(-120)}` : path
  const at = path === '' ? '' : ` at '${place}'`
  throw invalid(param, `Invalid schema for '${param}'${at}: ${what}`, 'invalid_json_schema')
}

const inside = ({ param, path }: Place, key: string): Place => ({
  param,
  path: path === '' ? key : `${path}.${key}`,
})

const typesOf = ({ type }: Schema): string[] =>
  (Array.isArray(type) ? type : [type]).filter((one) => typeof one === 'string')

const checkType = (schema: Schema, place: Place): void => {
  if (schema.type === undefined) return
  const types = Array.isArray(schema.type) ? schema.type : [schema.type]
  const wrong = types.find((type) => typeof type !== 'string' || !TYPES.has(type))
  if (types.length === 0 || wrong !== undefined)
    refuse(place, `'type' must be ${[...TYPES].join(', ')} or a list of these`)
}

const checkBounds = (schema: Schema, place: Place): void => {
  const { multipleOf, maxLength, minLength } = schema
  if (typeof multipleOf === 'number' && Number.isInteger(multipleOf) && multipleOf > MOST.multiple)
    refuse(inside(place, 'multipleOf'), `must be at most ${MOST.multiple} to be enforced`)
  for (const [key, value] of Object.entries({ maxLength, minLength }))
    if (typeof value === 'number' && value > MOST.length)
      refuse(inside(place, key), `must be at most ${MOST.length} to be enforced; or leave it out`)
  if (schema.enum !== undefined && (!Array.isArray(schema.enum) || schema.enum.length === 0))
    refuse(inside(place, 'enum'), 'must be a list of at least one value')
  if (Array.isArray(schema.enum) && schema.enum.length > MOST.enumeration)
    refuse(inside(place, 'enum'), `has more than ${MOST.enumeration} values`)
}

const checkRequired = (schema: Schema, place: Place): void => {
  const { required, properties } = schema
  const names = Array.isArray(required) ? required : []
  if (
    (required !== undefined && !Array.isArray(required)) ||
    names.some((name) => typeof name !== 'string')
  )
    refuse(inside(place, 'required'), 'must be a list of names')
  const known = new Set(names)
  const optional = Object.keys(isSchema(properties) ? properties : {}).filter((k) => !known.has(k))
  if (optional.length > MOST.optional)
    refuse(
      inside(place, 'properties'),
      `has ${optional.length} optional properties; at most ${MOST.optional} can be enforced`
    )
}

/** What format and pattern say of a string, as patterns of the engine; on numbers formats say nothing it could hold. */
const patternsOf = (schema: Schema, place: Place): string[] => {
  const { format, pattern } = schema
  if (pattern !== undefined && typeof pattern !== 'string')
    refuse(inside(place, 'pattern'), 'must be a regular expression')
  const given = typeof pattern === 'string' ? fromJavaScript(pattern) : undefined
  const types = typesOf(schema)
  const isText = types.length === 0 || types.includes('string')
  if (format === undefined || !isText) return given === undefined ? [] : [given]
  const known = typeof format === 'string' && Object.hasOwn(FORMATS, format)
  const same = typeof format === 'string' && isOfZod(format, pattern)
  if (!known && !same)
    refuse(
      inside(place, 'format'),
      `${JSON.stringify(format)?.slice(0, 60)} cannot be enforced; ${Object.keys(FORMATS).join(', ')} can`
    )
  const own = known ? [`^(${FORMATS[format as string]})$`] : []
  return given === undefined || (known && same) ? own : [...own, given]
}

const OVERLAPS =
  'its schemas must exclude each other (by type, or by a required property of differing const) to be enforced; or use anyOf'

const requiredOf = ({ required }: Schema): string[] =>
  Array.isArray(required) ? required.filter((key) => typeof key === 'string') : []

/** Whether one needs a property that the other, which takes no others, does not know. */
const lacks = (other: Schema, one: Schema): boolean => {
  const known = isSchema(other.properties) ? other.properties : {}
  return (
    other.additionalProperties === false &&
    other.patternProperties === undefined &&
    requiredOf(one).some((key) => !Object.hasOwn(known, key))
  )
}

const targetOf = (reference: string, root: Schema): Json | undefined => {
  let at: Json | undefined = root
  for (const step of reference.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    const key = step.replace(/~1/g, '/').replace(/~0/g, '~')
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Schema)[key]
  }
  return at
}

/** What a schema's references lead to, at last; `{}` where they lead nowhere. */
export const dereferenced = (value: Json, root: Schema): Json => {
  let at: Json | undefined = value
  for (let hops = 0; isSchema(at) && typeof at.$ref === 'string'; hops += 1) {
    if (hops > MOST.references) return {}
    at = targetOf(at.$ref, root)
  }
  return at ?? {}
}

class Reader {
  private root: Schema
  private param: string

  constructor(root: Schema, param: string) {
    this.root = root
    this.param = param
  }

  /** Longest way along references, cycles not counted twice: each of its steps is one of the compiler's stack. */
  checkReferences(): void {
    const longest = new Map<Json, number>()
    const open = new Set<Json>()
    const follow = (value: Json | undefined): number => {
      if (typeof value !== 'object' || value === null || open.has(value)) return 0
      const known = longest.get(value)
      if (known !== undefined) return known
      open.add(value)
      if (open.size > 4096) refuse({ param: this.param, path: '' }, 'it refers too deeply')
      let length = 0
      for (const [key, one] of Object.entries(value)) {
        if (key === '$defs' || key === 'definitions') continue
        length = Math.max(
          length,
          key === '$ref' && typeof one === 'string'
            ? 1 + follow(targetOf(one, this.root))
            : follow(one)
        )
      }
      open.delete(value)
      longest.set(value, length)
      return length
    }
    if (follow(this.root) > MOST.references)
      refuse(
        { param: this.param, path: '' },
        `it has a chain of more than ${MOST.references} references ('$ref')`
      )
  }

  /** Whether no value can follow two of the schemas: then one of them is any of them. */
  private isExclusive(list: Json[]): boolean {
    const schemas = list.map((one) => dereferenced(one, this.root))
    return schemas.every((one, n) =>
      schemas.slice(n + 1).every((other) => this.areApart(one, other))
    )
  }

  private areApart(one: Json, other: Json): boolean {
    if (!isSchema(one) || !isSchema(other)) return one === false || other === false
    const values = [this.valuesOf(one), this.valuesOf(other)]
    if (values[0] && values[1]) return !values[0].some((value) => values[1]!.includes(value))
    const types = [typesOf(one), typesOf(other)]
    const numeric = (list: string[]): string[] =>
      list.map((type) => (type === 'integer' ? 'number' : type))
    if (types[0]!.length > 0 && types[1]!.length > 0)
      if (!numeric(types[0]!).some((type) => numeric(types[1]!).includes(type))) return true
    const objects = types.every((list) => list.length === 1 && list[0] === 'object')
    return objects && (this.isTagged(one, other) || lacks(one, other) || lacks(other, one))
  }

  /** The only values a schema allows, as JSON. */
  private valuesOf(schema: Schema): string[] | undefined {
    if (schema.const !== undefined) return [JSON.stringify(schema.const)]
    return Array.isArray(schema.enum) ? schema.enum.map((one) => JSON.stringify(one)) : undefined
  }

  /** Both need a property, whose values differ. */
  private isTagged(one: Schema, other: Schema): boolean {
    return requiredOf(one).some((key) => {
      if (!requiredOf(other).includes(key)) return false
      const [mine, theirs] = [one, other].map(({ properties }) =>
        isSchema(properties) ? dereferenced(properties[key] ?? {}, this.root) : {}
      )
      return this.areApart(mine!, theirs!)
    })
  }

  private checkReference(reference: Json, place: Place): void {
    if (typeof reference !== 'string' || !reference.startsWith('#'))
      refuse(inside(place, '$ref'), 'must refer into the same schema (#/…)')
    if (targetOf(reference as string, this.root) === undefined)
      refuse(inside(place, '$ref'), `${JSON.stringify(reference).slice(0, 100)} leads nowhere`)
  }

  read(value: Json | undefined, place: Place, depth: number): Json {
    if (typeof value === 'boolean') return value
    if (!isSchema(value)) return refuse(place, 'must be a schema: an object, true or false')
    if (depth > MOST.depth) refuse(place, `is nested more than ${MOST.depth} deep`)
    checkType(value, place)
    checkBounds(value, place)
    checkRequired(value, place)
    const out: Schema = {}
    for (const [key, one] of Object.entries(value)) this.keyword(out, key, one, place, depth)
    const [first, second] = patternsOf(value, place)
    if (first !== undefined) out.pattern = first
    if (second !== undefined)
      out.allOf = [...(Array.isArray(out.allOf) ? out.allOf : []), { pattern: second }]
    // An answer keeps to the properties that are named; that is within what the schema allows.
    const closes = isSchema(out.properties) || typesOf(value).includes('object')
    if (closes && isSchema(out.properties) && out.additionalProperties === undefined)
      if (!isSchema(out.patternProperties)) out.additionalProperties = false
    return value.nullable === true ? nullable(out) : out
  }

  private keyword(out: Schema, key: string, one: Json, place: Place, depth: number): void {
    if (
      ANNOTATIONS.has(key) ||
      key.startsWith('x-') ||
      ['format', 'pattern', 'nullable'].includes(key)
    )
      return
    if ((key === 'uniqueItems' && one === false) || key === '$anchor') return
    if (key === '$ref') this.checkReference(one, place)
    if (PLAIN.has(key)) out[key] = one
    else if (ONE_INSIDE.has(key)) out[key] = this.read(one, inside(place, key), depth + 1)
    else if (LIST_INSIDE.has(key)) {
      if (!Array.isArray(one) || one.length === 0)
        refuse(inside(place, key), 'must be a list of schemas')
      const list = (one as Json[]).map((item, n) =>
        this.read(item, inside(place, `${key}[${n}]`), depth + 1)
      )
      if (key === 'oneOf' && out.anyOf === undefined) {
        if (!this.isExclusive(one as Json[])) refuse(inside(place, key), OVERLAPS)
        out.anyOf = list
      } else if (key === 'anyOf' && out.anyOf !== undefined) {
        refuse(inside(place, key), `cannot be enforced beside 'oneOf'`)
      } else if (key === 'oneOf') refuse(inside(place, key), `cannot be enforced beside 'anyOf'`)
      else out[key] = key === 'allOf' && Array.isArray(out.allOf) ? [...out.allOf, ...list] : list
    } else if (MAP_INSIDE.has(key)) {
      if (!isSchema(one)) refuse(inside(place, key), 'must be an object of schemas')
      out[key] = Object.fromEntries(
        Object.entries(one as Schema).map(([name, item]) => [
          name,
          this.read(item, inside(place, `${key}.${name}`), depth + 1),
        ])
      )
    } else
      refuse(
        inside(place, key),
        'this keyword cannot be enforced; leave it out, or do not ask for strictness'
      )
  }
}

/** OpenAPI's way to allow null. */
const nullable = (schema: Schema): Schema => {
  const types = typesOf(schema)
  if (types.length === 0) return { anyOf: [schema, { type: 'null' }] }
  const open: Schema = { ...schema, type: [...new Set([...types, 'null'])] }
  if (Array.isArray(schema.enum)) open.enum = [...new Set([...schema.enum, null])]
  return open
}

/** The schema as the grammar takes it; throws 400 that names the keyword and its place under `param`. */
export const preparedSchema = (schema: Json | undefined, param: string): Json => {
  const place = { param, path: '' }
  if (JSON.stringify(schema ?? {}).length > MOST.bytes)
    refuse(place, `it is longer than ${MOST.bytes} bytes`)
  const root = isSchema(schema) ? schema : {}
  const reader = new Reader(root, param)
  const prepared = reader.read(schema ?? {}, place, 0)
  reader.checkReferences()
  return prepared
}
