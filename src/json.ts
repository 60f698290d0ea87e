// JSON as source text: tokens of a document and the text of a part of it, where parsing would lose how it was written.

const BLANK = /[ \t\n\r]*/y
const SCALAR = /[-+.\w]+/y

function skipBlank(text: string, at: number): number {
  BLANK.lastIndex = at
  BLANK.exec(text)
  return BLANK.lastIndex
}

/** Where the token that starts at `at` ends. */
function tokenEnd(text: string, at: number): number {
  if (text[at] === '"') {
    let quote = text.indexOf('"', at + 1)
    while (quote >= 0 && escaped(text, quote)) quote = text.indexOf('"', quote + 1)
    return quote < 0 ? text.length : quote + 1
  }
  SCALAR.lastIndex = at
  return SCALAR.exec(text) ? SCALAR.lastIndex : at + 1
}

function escaped(text: string, quote: number): boolean {
  let at = quote - 1
  while (text[at] === '\\') at -= 1
  return (quote - at) % 2 === 0
}

/** The tokens of a valid JSON document, in order; a string keeps its quotes. */
export function* jsonTokens(text: string): Generator<string, undefined> {
  let at = skipBlank(text, 0)
  while (at < text.length) {
    const end = tokenEnd(text, at)
    yield text.slice(at, end)
    at = skipBlank(text, end)
  }
  return undefined
}

/** Where the value that starts at `at` ends, whatever it holds. */
function valueEnd(text: string, at: number): number {
  let depth = 0
  let end = at
  do {
    const start = skipBlank(text, end)
    end = tokenEnd(text, start)
    const mark = text[start]
    if (mark === '[' || mark === '{') depth += 1
    if (mark === ']' || mark === '}') depth -= 1
  } while (depth > 0 && end < text.length)
  return end
}

interface Span {
  start: number
  end: number
}

/** Goes through the members of the array or object at `at`; keys of an array are its indices. */
function* membersOf(
  text: string,
  at: number
): Generator<Span & { key: string | number }, undefined> {
  const object = text[at] === '{'
  if (!object && text[at] !== '[') return undefined
  let start = skipBlank(text, at + 1)
  for (
    let index = 0;
    start < text.length && text[start] !== ']' && text[start] !== '}';
    index += 1
  ) {
    let key: string | number = index
    if (object) {
      const end = tokenEnd(text, start)
      key = JSON.parse(text.slice(start, end)) as string
      start = skipBlank(text, skipBlank(text, end) + 1)
    }
    const end = valueEnd(text, start)
    yield { key, start, end }
    const comma = skipBlank(text, end)
    start = text[comma] === ',' ? skipBlank(text, comma + 1) : comma
  }
  return undefined
}

function find(text: string, path: readonly (string | number)[]): Span | undefined {
  const start = skipBlank(text, 0)
  let span: Span = { start, end: valueEnd(text, start) }
  for (const step of path) {
    let member: Span | undefined
    // Of members with the same key the last one counts, as in JSON.parse.
    for (const candidate of membersOf(text, span.start)) {
      if (candidate.key === step) member = candidate
    }
    if (!member) return undefined
    span = member
  }
  return span
}

/** The source text of the part of a valid JSON document at `path`, undefined where there is none. */
export function sourceOf(text: string, path: readonly (string | number)[]): string | undefined {
  const span = find(text, path)
  return span && text.slice(span.start, span.end)
}

/** The source texts of an array's items, or of an object's values, in one pass. */
export function sourcesOf(text: string, path: readonly (string | number)[]): string[] {
  const span = find(text, path)
  if (!span) return []
  return [...membersOf(text, span.start)].map((member) => text.slice(member.start, member.end))
}
