// JSON schema → the TypeScript types that harmony shows a model for its tools; tools.ts asks.
import { isMap, writeJson, type Node, type NodeMap } from './json.ts'

/** The type as openai-harmony writes it, its odd indents and all. */
export function typeOf(schema: Node | undefined, indent: string): string {
  if (!isMap(schema)) return 'any'
  const variants = schema.get('oneOf')
  if (Array.isArray(variants)) {
    return variants.map((variant) => `\n${indent} | ${topVariant(variant, indent)}`).join('')
  }
  const type = schema.get('type')
  if (Array.isArray(type)) {
    const names = type.filter((one) => typeof one === 'string').map(numeric)
    return names.length > 0 ? names.join(' | ') : 'any'
  }
  switch (type) {
    case 'object':
      return objectType(schema, indent)
    case 'string':
      return stringType(schema)
    case 'array':
      return schema.has('items') ? `${typeOf(schema.get('items'), indent)}[]` : 'Array<any>'
    case 'number':
    case 'integer':
      return 'number'
    case 'boolean':
      return 'boolean'
    default:
      return 'any'
  }
}

const numeric = (name: string): string => (name === 'integer' ? 'number' : name)

const isEnum = (schema: NodeMap): boolean => {
  const values = schema.get('enum')
  return Array.isArray(values) && values.length > 0
}

function stringType(schema: NodeMap): string {
  const values = schema.get('enum')
  const strings = Array.isArray(values) ? values.filter((one) => typeof one === 'string') : []
  return strings.length > 0 ? strings.map((one) => `"${one}"`).join(' | ') : 'string'
}

/** A type with what `nullable` adds to it. */
function nullableType(schema: Node, indent: string): string {
  const type = typeOf(schema, indent)
  const nullable = isMap(schema) && schema.get('nullable') === true
  return nullable && !type.includes('null') ? `${type} | null` : type
}

const textIn = (schema: Node | undefined, key: string): string | undefined => {
  const value = isMap(schema) ? schema.get(key) : undefined
  return typeof value === 'string' ? value : undefined
}

/** `default: …`: strings in quotes as they are, or bare where they are one of an enum. */
function defaultOf(schema: Node): string | undefined {
  const value = isMap(schema) ? schema.get('default') : undefined
  if (value === undefined || !isMap(schema)) return undefined
  if (typeof value !== 'string') return `default: ${writeJson(value)}`
  return isEnum(schema) ? `default: ${value}` : `default: "${value}"`
}

const trailing = (comments: (string | undefined)[]): string => {
  const said = comments.filter((one) => one !== undefined)
  return said.length > 0 ? ` // ${said.join(' ')}` : ''
}

function topVariant(variant: Node, indent: string): string {
  const type = nullableType(variant, `${indent}   `)
  const value = isMap(variant) && isEnum(variant) ? variant.get('default') : undefined
  // Only here an enum's default is written as JSON.
  const fallback = value === undefined ? defaultOf(variant) : `default: ${writeJson(value)}`
  return type + trailing([textIn(variant, 'description'), fallback])
}

function objectType(schema: NodeMap, indent: string): string {
  const description = textIn(schema, 'description')
  const properties = schema.get('properties')
  const required = schema.get('required')
  const needed = new Set(Array.isArray(required) ? required : [])
  let out = `${description === undefined ? '' : `${indent}// ${description}\n`}{\n`
  for (const [key, value] of isMap(properties) ? properties : []) {
    const name = `${indent}${key}${needed.has(key) ? '' : '?'}:`
    out += remarks(value, indent)
    const variants = isMap(value) ? value.get('oneOf') : undefined
    if (isMap(value) && Array.isArray(variants)) {
      out += unionProperty(name, value, variants, indent)
    } else {
      const fallback = isMap(value) && value.has('oneOf') ? undefined : defaultOf(value)
      out += `${name} ${nullableType(value, `${indent}    `)},${trailing([fallback])}\n`
    }
  }
  return `${out}${indent}}`
}

/** The comments above a property. */
function remarks(schema: Node, indent: string): string {
  if (!isMap(schema)) return ''
  const title = textIn(schema, 'title')
  const description = schema.has('oneOf') ? undefined : textIn(schema, 'description')
  const examples = schema.get('examples')
  let out = title === undefined ? '' : `${indent}// ${title}\n${indent}//\n`
  if (description !== undefined) out += `${indent}// ${description}\n`
  if (Array.isArray(examples) && examples.length > 0) {
    out += `${indent}// Examples:\n`
    for (const one of examples) if (typeof one === 'string') out += `${indent}// - "${one}"\n`
  }
  return out
}

function unionProperty(name: string, schema: NodeMap, variants: Node[], indent: string): string {
  const description = textIn(schema, 'description')
  const above = description !== undefined && textIn(variants[0], 'description') !== description
  const fallback = defaultOf(schema)
  let out = above ? `${indent}// ${description}\n` : ''
  if (fallback !== undefined) out += `${indent}// ${fallback}\n`
  out += `${name}\n`
  for (const [i, variant] of variants.entries()) {
    const own = textIn(variant, 'description')
    const shown = (i === 0 && above) || own === description ? undefined : own
    const type = nullableType(variant, `${indent}   `)
    out += `${indent} | ${type}${trailing([shown, defaultOf(variant)])}\n`
  }
  return `${out}${indent},\n`
}
