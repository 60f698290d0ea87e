// Types the values of a Seed-OSS call by its tool's schema; parser.ts asks for each parameter.
import type { Json, Tool } from '../../conversation.ts'
import { jsonNumber, type Literal, readLiteral } from './literal.ts'

export interface ArgumentType {
  /** Nothing but a string is possible, so a value can be sent while it arrives. */
  streams: boolean
  /** The value as JSON text; what fits no type of the schema is a string. */
  convert(raw: string): string
}

export type ArgumentTypes = (key: string) => ArgumentType

type Schema = { [key: string]: Json }
type TypeName = 'null' | 'integer' | 'number' | 'boolean' | 'object' | 'array' | 'string'

/** A reference to a reference to itself leads nowhere. */
const MAX_HOPS = 16

const STRING: ArgumentType = { streams: true, convert: (raw) => JSON.stringify(raw) }

const isSchema = (value: Json | undefined): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** JSON schema's names, and those of other languages that people write. */
function typeNamed(name: string): TypeName {
  const lower = name.trim().toLowerCase()
  if (/^(null|none|nonetype)$/.test(lower)) return 'null'
  if (/^(int|uint|long|short|unsigned)/.test(lower)) return 'integer'
  if (/^(num|float|double|decimal)/.test(lower)) return 'number'
  if (/^(bool|binary)/.test(lower)) return 'boolean'
  if (/^(object|dict|map)/.test(lower)) return 'object'
  if (/^(array|arr$|list|tuple|sequence)/.test(lower)) return 'array'
  return 'string'
}

function typeOfValue(value: Json): TypeName {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value === 'object' ? 'object' : typeof value === 'boolean' ? 'boolean' : 'string'
}

/** The schema a `$ref` into the same document points to. */
function resolved(schema: Schema, root: Schema): Schema {
  let at = schema
  for (let hops = 0; typeof at['$ref'] === 'string' && hops < MAX_HOPS; hops += 1) {
    const path = at['$ref'].replace(/^#\/?/, '').split('/')
    let target: Json | undefined = root
    for (const step of at['$ref'].startsWith('#') ? path.filter(Boolean) : []) {
      const key = step.replace(/~1/g, '/').replace(/~0/g, '~')
      target = isSchema(target) && Object.hasOwn(target, key) ? target[key] : undefined
    }
    if (!isSchema(target) || target === at) return at
    at = target
  }
  return at
}

/** Alternatives of a schema, itself included, references followed; each once, however they refer to each other. */
function alternatives(schema: Schema, root: Schema): Schema[] {
  const found = new Set([resolved(schema, root)])
  for (const one of found) {
    for (const key of ['anyOf', 'oneOf', 'allOf']) {
      const list = one[key]
      if (!Array.isArray(list)) continue
      for (const other of list) if (isSchema(other)) found.add(resolved(other, root))
    }
  }
  return [...found]
}

function typesOf(schema: Schema, root: Schema): Set<TypeName> {
  const types = new Set<TypeName>()
  for (const one of alternatives(schema, root)) {
    const named = one['type']
    const names = Array.isArray(named) ? named : [named]
    for (const name of names) if (typeof name === 'string') types.add(typeNamed(name))
    if (one['nullable'] === true) types.add('null')
    if (named !== undefined) continue
    const values = Array.isArray(one['enum']) ? one['enum'] : []
    for (const value of values) types.add(typeOfValue(value))
    if (one['const'] !== undefined) types.add(typeOfValue(one['const']))
    if (isSchema(one['properties'])) types.add('object')
    if (one['items'] !== undefined) types.add('array')
  }
  return types
}

const INTEGER = /^[-+]?\d+(\.0+)?$/

/** Booleans as JSON and Python write them, and as 1 and 0. */
function booleanOf(text: string): string | null {
  if (/^(true|1)$/i.test(text)) return 'true'
  return /^(false|0)$/i.test(text) ? 'false' : null
}

/** Text as JSON of the first type that it can be: null, integer, number, boolean, object, array, string. */
function typed(raw: string, types: Set<TypeName>, schema: Schema, root: Schema): string {
  const text = raw.trim()
  if (types.has('null') && /^(null|none)$/i.test(text)) return 'null'
  const number =
    types.has('number') || (types.has('integer') && INTEGER.test(text)) ? jsonNumber(text) : null
  if (number !== null) return number
  const boolean = types.has('boolean') ? booleanOf(text) : null
  if (boolean !== null) return boolean
  if ((types.has('object') && text[0] === '{') || (types.has('array') && /^[[(]/.test(text))) {
    const literal = readLiteral(text)
    if (
      literal &&
      (literal.kind === 'object' || literal.kind === 'array') &&
      types.has(literal.kind)
    )
      return written(literal, schema, root)
  }
  return JSON.stringify(raw)
}

/** The schema of an object's member or an array's items. */
function schemaInside(schema: Schema, root: Schema, key: string | null): Schema | null {
  for (const one of alternatives(schema, root)) {
    const { properties, items, additionalProperties: rest } = one
    if (key === null && isSchema(items)) return items
    if (key === null) continue
    if (isSchema(properties) && Object.hasOwn(properties, key) && isSchema(properties[key]))
      return properties[key]
    if (isSchema(rest)) return rest
  }
  return null
}

/** A literal as JSON; a string inside becomes what the schema wants there, as at the top. */
function written(literal: Literal, schema: Schema | null, root: Schema): string {
  const inside = (one: Literal, key: string | null): string =>
    written(one, schema && schemaInside(schema, root, key), root)
  switch (literal.kind) {
    case 'string': {
      const types = schema ? typesOf(schema, root) : null
      if (!schema || !types || types.size === 0 || types.has('string'))
        return JSON.stringify(literal.value)
      return typed(literal.value, types, schema, root)
    }
    case 'array':
      return `[${literal.items.map((item) => inside(item, null)).join(',')}]`
    case 'object': {
      const entries = literal.entries.map(
        ([key, value]) => `${JSON.stringify(key)}:${inside(value, key)}`
      )
      return `{${entries.join(',')}}`
    }
    default:
      return literal.json
  }
}

function argumentType(schema: Schema, root: Schema): ArgumentType {
  const types = typesOf(schema, root)
  if (types.size === 0 || (types.size === 1 && types.has('string'))) return STRING
  return { streams: false, convert: (raw) => typed(raw, types, schema, root) }
}

/** Types by parameter; of a tool or a parameter that nobody declared, strings. */
export function argumentTypes(tool: Tool | undefined): ArgumentTypes {
  const root = tool?.parameters
  if (!isSchema(root)) return () => STRING
  const known = new Map<string, ArgumentType>()
  return (key) => {
    let type = known.get(key)
    if (!type) {
      const schema = ownProperty(root, key)
      type = schema ? argumentType(schema, root) : STRING
      known.set(key, type)
    }
    return type
  }
}

function ownProperty(root: Schema, key: string): Schema | null {
  for (const { properties } of alternatives(root, root)) {
    const schema =
      isSchema(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
    if (isSchema(schema)) return schema
  }
  return null
}
