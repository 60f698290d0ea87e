// JSON as openai-harmony reads and writes it: members in the order written, numbers spelled its way. schema.ts reads with it.
import { jsonTokens } from '../../json.ts'

/** A number, told apart from other values so that its spelling outlives the reading. */
export class Numeral {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }
}

export type Node = null | boolean | string | Numeral | Node[] | NodeMap
export type NodeMap = Map<string, Node>

type Tokens = Iterator<string, undefined>

/** As deep as serde_json reads. */
const MAX_DEPTH = 127

/** Reads a JSON document; throws SyntaxError if it is none, or too deep. */
export function readJson(text: string): Node {
  JSON.parse(text)
  return readValue(jsonTokens(text), 0)
}

function readValue(tokens: Tokens, depth: number, first = next(tokens)): Node {
  if (depth > MAX_DEPTH) throw new SyntaxError(`JSON is nested more than ${MAX_DEPTH} deep`)
  if (first === '{') return readMembers(tokens, depth + 1)
  if (first === '[') return readItems(tokens, depth + 1)
  if (first.startsWith('"')) return JSON.parse(first) as string
  if (first === 'null') return null
  return first === 'true' || first === 'false' ? first === 'true' : new Numeral(first)
}

const next = (tokens: Tokens): string => tokens.next().value ?? 'null'

function readMembers(tokens: Tokens, depth: number): NodeMap {
  const members: NodeMap = new Map()
  for (let token = next(tokens); token !== '}'; token = next(tokens)) {
    if (token === ',') continue
    next(tokens)
    members.set(JSON.parse(token) as string, readValue(tokens, depth))
  }
  return members
}

function readItems(tokens: Tokens, depth: number): Node[] {
  const items: Node[] = []
  for (let token = next(tokens); token !== ']'; token = next(tokens)) {
    if (token !== ',') items.push(readValue(tokens, depth, token))
  }
  return items
}

export const isMap = (node: Node | undefined): node is NodeMap => node instanceof Map

/** Writes compact JSON. */
export function writeJson(node: Node): string {
  if (node instanceof Numeral) return spelled(node.source)
  if (Array.isArray(node)) return `[${node.map(writeJson).join(',')}]`
  if (!isMap(node)) return JSON.stringify(node)
  const members = Array.from(node, ([key, value]) => `${JSON.stringify(key)}:${writeJson(value)}`)
  return `{${members.join(',')}}`
}

/** Whole numbers as they are; others as Rust's shortest form, which always shows that they are no whole ones. */
function spelled(source: string): string {
  if (/^-?\d{1,19}$/.test(source)) return source
  const [mantissa = '0', power = '0'] = Number(source).toExponential().split('e')
  const sign = mantissa.startsWith('-') ? '-' : ''
  const digits = mantissa.replace(/[-.]/g, '')
  const point = Number(power) + 1
  if (digits.length <= point && point <= 16) return `${sign}${digits.padEnd(point, '0')}.0`
  if (0 < point && point <= 16) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
  if (-5 < point && point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  return `${mantissa}e${point - 1}`
}
