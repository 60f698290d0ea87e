// Reads one value written as JSON or as a Python literal, numbers as they are spelled; values.ts asks.

/** A number, boolean or null is the JSON text it is written back as. */
export type Literal =
  | { kind: 'number' | 'boolean' | 'null'; json: string }
  | { kind: 'string'; value: string }
  | { kind: 'array'; items: Literal[] }
  | { kind: 'object'; entries: [string, Literal][] }

/** Deeper values stay strings. */
const MAX_DEPTH = 200

const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/y
const WORD = /[A-Za-z]+/y
const BLANK = /[ \t\n\r\f\v]*/y

const WORDS: { [word: string]: Literal } = {
  true: { kind: 'boolean', json: 'true' },
  True: { kind: 'boolean', json: 'true' },
  false: { kind: 'boolean', json: 'false' },
  False: { kind: 'boolean', json: 'false' },
  null: { kind: 'null', json: 'null' },
  None: { kind: 'null', json: 'null' },
}

const ESCAPES: { [mark: string]: string } = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  v: '\v',
  a: '\u0007',
  '0': '\0',
  '\n': '',
  '\\': '\\',
  '/': '/',
  "'": "'",
  '"': '"',
}

const HEX_DIGITS: { [mark: string]: number } = { x: 2, u: 4, U: 8 }

/** JSON's spelling of a number, changed only where JSON has no such form (`+1`, `.5`, `5.`, `007`); null if infinite. */
export function jsonNumber(source: string): string | null {
  NUMBER.lastIndex = 0
  if (!NUMBER.test(source) || NUMBER.lastIndex !== source.length) return null
  if (!Number.isFinite(Number(source))) return null
  return source
    .replace(/^\+/, '')
    .replace(/^(-?)\./, '$10.')
    .replace(/^(-?)0+(?=\d)/, '$1')
    .replace(/\.(?=$|[eE])/, '.0')
}

class LiteralReader {
  private text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  /** The value, if the whole text is one. */
  whole(): Literal | null {
    const value = this.value(0)
    this.blank()
    return this.at === this.text.length ? value : null
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found === undefined) return null
    this.at += found.length
    return found
  }

  private blank(): void {
    this.match(BLANK)
  }

  private takes(mark: string): boolean {
    if (this.text[this.at] !== mark) return false
    this.at += 1
    return true
  }

  private value(depth: number): Literal | null {
    if (depth > MAX_DEPTH) return null
    this.blank()
    const mark = this.text[this.at] ?? ''
    if (mark === '{') return this.object(depth)
    if (mark === '[') return this.array(']', depth)
    if (mark === '(') return this.array(')', depth)
    if (mark === '"' || mark === "'") return this.string(mark)
    const word = this.match(WORD)
    if (word !== null) return Object.hasOwn(WORDS, word) ? (WORDS[word] ?? null) : null
    const json = jsonNumber(this.match(NUMBER) ?? '')
    return json === null ? null : { kind: 'number', json }
  }

  private array(close: string, depth: number): Literal | null {
    this.at += 1
    const items: Literal[] = []
    let commas = 0
    for (;;) {
      this.blank()
      if (this.takes(close)) break
      if (items.length > commas) return null
      const item = this.value(depth + 1)
      if (!item) return null
      items.push(item)
      this.blank()
      if (this.takes(',')) commas += 1
    }
    // In Python (1) is 1, (1,) is a tuple.
    const [only] = items
    return close === ')' && only && commas === 0 ? only : { kind: 'array', items }
  }

  private object(depth: number): Literal | null {
    this.at += 1
    const entries: [string, Literal][] = []
    let commas = 0
    for (;;) {
      this.blank()
      if (this.takes('}')) return { kind: 'object', entries }
      if (entries.length > commas) return null
      const key = this.value(depth + 1)
      this.blank()
      if (!key || key.kind === 'array' || key.kind === 'object' || !this.takes(':')) return null
      const value = this.value(depth + 1)
      if (!value) return null
      entries.push([key.kind === 'string' ? key.value : key.json, value])
      this.blank()
      if (this.takes(',')) commas += 1
    }
  }

  private string(quote: string): Literal | null {
    this.at += 1
    const pieces: string[] = []
    for (let from = this.at; ;) {
      const mark = this.text[this.at]
      if (mark === undefined) return null
      if (mark !== quote && mark !== '\\') {
        this.at += 1
        continue
      }
      pieces.push(this.text.slice(from, this.at))
      this.at += 1
      if (mark === quote) return { kind: 'string', value: pieces.join('') }
      pieces.push(this.escape())
      from = this.at
    }
  }

  /** What an escape stands for; an unknown one stands for itself, as in Python. */
  private escape(): string {
    const mark = this.text[this.at] ?? ''
    this.at += mark.length
    const digits = HEX_DIGITS[mark]
    if (digits === undefined) return Object.hasOwn(ESCAPES, mark) ? ESCAPES[mark]! : `\\${mark}`
    const hex = this.text.slice(this.at, this.at + digits)
    const code = hex.length === digits && /^[\da-fA-F]+$/.test(hex) ? parseInt(hex, 16) : Infinity
    if (code > 0x10ffff) return `\\${mark}`
    this.at += digits
    return String.fromCodePoint(code)
  }
}

export const readLiteral = (text: string): Literal | null => new LiteralReader(text).whole()
