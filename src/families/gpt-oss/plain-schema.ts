// Says a JSON schema in the words that harmony's TypeScript can show: no $ref, anyOf, const or allOf. tools.ts asks.
import { isMap, writeJson, type Node, type NodeMap } from './json.ts'

/** So deep a schema is shown; below it, and where it holds itself, stands `any`. */
const MAX_DEPTH = 24
/** References may multiply a schema; by so many characters of it they may. */
const MAX_REFERRED = 1 << 18

interface Reading {
  root: Node
  /** References being followed, so that a type which holds itself ends. */
  open: string[]
  left: number
  /** What following each reference costs. */
  sizes: Map<string, number>
}

/** Schemas without those words come back as they are. */
export const plainSchema = (root: Node): Node =>
  simplify(root, { root, open: [], left: MAX_REFERRED, sizes: new Map() }, 0)

const ANY: NodeMap = new Map()

function simplify(node: Node, reading: Reading, depth: number): Node {
  if (!isMap(node)) return node
  if (depth > MAX_DEPTH) return ANY
  const reference = node.get('$ref')
  if (typeof reference === 'string') return followed(node, reference, reading, depth)
  const within = (one: Node): Node => simplify(one, reading, depth + 1)
  const out: NodeMap = new Map(node)
  const { properties, items, oneOf, anyOf, allOf } = Object.fromEntries(node)
  if (isMap(properties))
    out.set('properties', new Map(Array.from(properties, ([key, one]) => [key, within(one)])))
  if (items !== undefined) out.set('items', within(items))
  if (Array.isArray(oneOf)) out.set('oneOf', oneOf.map(within))
  if (Array.isArray(allOf) && !out.has('type')) return merged(out, allOf.map(within))
  if (Array.isArray(anyOf) && !out.has('oneOf') && !out.has('type')) {
    return union(out, anyOf.map(within))
  }
  return constant(out)
}

/** A constant string is an enum of one. */
function constant(schema: NodeMap): NodeMap {
  const value = schema.get('const')
  if (typeof value !== 'string' || schema.has('enum')) return schema
  if (schema.has('type') && schema.get('type') !== 'string') return schema
  return schema.set('type', 'string').set('enum', [value])
}

/** Follows `#/…`; what stands beside the reference (a description, a default) goes before what it points to. */
function followed(node: NodeMap, reference: string, reading: Reading, depth: number): Node {
  const target = pointed(reading.root, reference)
  const beside = new Map(node)
  beside.delete('$ref')
  if (target === undefined || reading.open.includes(reference)) return beside
  const size = reading.sizes.get(reference) ?? writeJson(target).length
  reading.sizes.set(reference, size)
  if (size > reading.left) return beside
  reading.left -= size
  reading.open.push(reference)
  const found = simplify(target, reading, depth + 1)
  reading.open.pop()
  return isMap(found) ? new Map([...found, ...beside]) : beside
}

function pointed(root: Node, reference: string): Node | undefined {
  if (reference === '#') return root
  if (!reference.startsWith('#/')) return undefined
  let at: Node | undefined = root
  for (const step of reference.slice(2).split('/')) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~')
    at = isMap(at) ? at.get(key) : Array.isArray(at) ? at[Number(key)] : undefined
  }
  return at
}

const isNull = (node: Node): boolean => isMap(node) && node.get('type') === 'null'

/** anyOf as oneOf; of one variant, or of one and null, as that variant itself. */
function union(schema: NodeMap, variants: Node[]): NodeMap {
  schema.delete('anyOf')
  const kept = variants.filter((one) => !isNull(one))
  const [only] = kept
  const nullable = kept.length < variants.length
  if (kept.length === 1 && isMap(only)) {
    const one = new Map([...only, ...schema])
    return nullable ? one.set('nullable', true) : one
  }
  const last = kept.at(-1)
  const marked =
    nullable && isMap(last) ? [...kept.slice(0, -1), new Map(last).set('nullable', true)] : kept
  return marked.length > 0 ? schema.set('oneOf', marked) : schema
}

/** allOf of objects as one object with all their properties. */
function merged(schema: NodeMap, parts: Node[]): NodeMap {
  schema.delete('allOf')
  const maps = [...parts, schema].filter(isMap)
  const properties: NodeMap = new Map()
  const required: Node[] = []
  const out: NodeMap = new Map()
  for (const part of maps) {
    const { properties: own, required: needed } = Object.fromEntries(part)
    for (const [key, value] of isMap(own) ? own : []) properties.set(key, value)
    if (Array.isArray(needed)) required.push(...needed)
    for (const [key, value] of part) out.set(key, value)
  }
  if (properties.size > 0) out.set('type', 'object').set('properties', properties)
  return required.length > 0 ? out.set('required', required) : out
}
