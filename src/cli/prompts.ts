// Reads --prompts of generate: one prompt, or several as a JSON or Python list of strings.

const ESCAPES: { [letter: string]: string } = {
  n: '\n',
  t: '\t',
  r: '\r',
  '0': '\0',
  a: '\u0007',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
}

/** The text of a Python string literal's inside. */
const unescaped = (inside: string): string =>
  inside.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([^]))/g,
    (_, two?: string, four?: string, eight?: string, letter?: string) => {
      const hex = two ?? four ?? eight
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
      return ESCAPES[letter!] ?? (/['"\\]/.test(letter!) ? letter! : `\\${letter}`)
    }
  )

const ITEM = /\s*(?:'((?:[^'\\]|\\[^])*)'|"((?:[^"\\]|\\[^])*)")\s*(,|$)/y

/** The strings of `['a', "b"]` as Python reads it; undefined where it is no such list. */
const pythonList = (literal: string): string[] | undefined => {
  const inside = literal.slice(1, -1)
  const items: string[] = []
  ITEM.lastIndex = 0
  while (ITEM.lastIndex < inside.trimEnd().length) {
    const match = ITEM.exec(inside)
    if (!match) return undefined
    items.push(unescaped(match[1] ?? match[2] ?? ''))
  }
  return items
}

const jsonList = (literal: string): string[] | undefined => {
  try {
    const list: unknown = JSON.parse(literal)
    const strings = Array.isArray(list) && list.every((item) => typeof item === 'string')
    return strings ? (list as string[]) : undefined
  } catch {
    return undefined
  }
}

/** What is no list of strings is one prompt, brackets and all. */
export const promptsIn = (written: string): string[] => {
  const literal = written.trim()
  if (!literal.startsWith('[') || !literal.endsWith(']')) return [written]
  const list = jsonList(literal) ?? pythonList(literal)
  return list && list.length > 0 ? list : [written]
}
