// The kinds of value a flag can have, each read from text (flags, environment) or JSON (config file); options.ts names them.

/** How one kind of value is read; `read` throws an Error whose message ends a sentence that begins with the source. */
export interface Kind<T> {
  /** What --help shows behind the flag, '' where it needs no value. */
  placeholder: string
  read(text: string): T
  /** From the config file; text is read as on the command line unless the kind says otherwise. */
  fromJson(value: unknown): T
  shape: 'one' | 'many' | 'switch'
}

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? `"${value}"` : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

const wanted = (what: string, value: unknown): Error =>
  new Error(`expected ${what}, got ${shown(value)}`)

/** A kind whose JSON form is its text, or the number that the text would spell. */
const scalar = <T>(placeholder: string, what: string, read: (text: string) => T): Kind<T> => ({
  placeholder,
  read,
  shape: 'one',
  fromJson(value) {
    if (typeof value === 'string' || typeof value === 'number') return read(String(value))
    throw wanted(what, value)
  },
})

/** What a suffix multiplies by: lower case counts in thousands and upper case in 1024s, as vLLM has it. */
const SUFFIXES: { [suffix: string]: number } = {
  '': 1,
  k: 1000,
  K: 1024,
  m: 1e6,
  M: 1024 ** 2,
  g: 1e9,
  G: 1024 ** 3,
  t: 1e12,
  T: 1024 ** 4,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

/** `4096`, `1k`, `32K`, `1.5M`, `2GiB` as a whole number; undefined where it is none. */
export const counted = (text: string): number | undefined => {
  const [, digits, suffix = ''] = /^(-?\d+(?:\.\d+)?)\s?([a-zA-Z]*)$/.exec(text.trim()) ?? []
  const factor = Object.hasOwn(SUFFIXES, suffix) ? SUFFIXES[suffix] : undefined
  if (digits === undefined || factor === undefined) return undefined
  const value = Math.round(Number(digits) * factor)
  const exact = factor > 1 || Number.isInteger(Number(digits))
  return exact && Number.isSafeInteger(value) ? value : undefined
}

const span = (least: number, most: number): string => {
  if (most === Infinity) return `of at least ${least}`
  return `from ${least} to ${most}`
}

/** A whole number, suffixes allowed. */
export const integer = (least: number, most = Infinity, placeholder = 'N'): Kind<number> => {
  const what = `a whole number ${span(least, most)}`
  return scalar(placeholder, what, (text) => {
    const value = counted(text)
    if (value === undefined || value < least || value > most) throw wanted(what, text)
    return value
  })
}

/** A number, fractions allowed. */
export const decimal = (least: number, most: number): Kind<number> => {
  const what = `a number ${span(least, most)}`
  return scalar('X', what, (text) => {
    const value = /^\d*\.?\d+$/.test(text.trim()) ? Number(text) : Number.NaN
    if (!(value >= least && value <= most)) throw wanted(what, text)
    return value
  })
}

/** Seconds, fractions allowed. */
export const seconds = (least: number, most: number): Kind<number> => {
  const what = `a number of seconds ${span(least, most)}`
  return scalar('SECONDS', what, (text) => {
    const value = /^\d+(\.\d+)?s?$/.test(text.trim()) ? Number.parseFloat(text) : Number.NaN
    if (!(value >= least && value <= most)) throw wanted(what, text)
    return value
  })
}

/** Bytes, or a part of something whose size is known only at start, such as free memory. */
export type Size = { bytes: number } | { part: number }

const sizeFromText = scalar('SIZE', 'a size such as 2GiB or 80%', (given): Size => {
  const percent = /^(\d+(?:\.\d+)?)\s?%$/.exec(given.trim())?.[1]
  if (percent !== undefined && Number(percent) > 0 && Number(percent) <= 100)
    return { part: Number(percent) / 100 }
  const bytes = percent === undefined ? counted(given) : undefined
  if (bytes === undefined || bytes <= 0) throw wanted('a size such as 2GiB or 80%', given)
  return { bytes }
})

/** `2GiB`, `512M`, `1000000` or `80%`; embedders may pass it read already. */
export const size: Kind<Size> = {
  ...sizeFromText,
  fromJson: (value) =>
    typeof value === 'object' && value !== null && ('bytes' in value || 'part' in value)
      ? (value as Size)
      : sizeFromText.fromJson(value),
}

/** Any text that says something. */
export const text = (placeholder: string): Kind<string> =>
  scalar(placeholder, 'text', (given) => {
    if (given.trim() === '') throw wanted('text', given)
    return given
  })

/** A day as `2026-03-07`, one that there is. */
export const day: Kind<string> = scalar('YYYY-MM-DD', 'a day such as 2026-03-07', (given) => {
  const read = new Date(`${given}T00:00:00Z`)
  const real = !Number.isNaN(read.getTime()) && read.toISOString().startsWith(`${given}T`)
  if (!/^\d{4}-\d{2}-\d{2}$/.test(given) || !real) throw wanted('a day such as 2026-03-07', given)
  return given
})

/** One of a few words. */
export const choice = <const Word extends string>(
  words: readonly Word[],
  synonyms: { [synonym: string]: Word } = {}
): Kind<Word> => {
  const what = `one of ${words.join(', ')}`
  return scalar(words.join('|'), what, (given) => {
    const word = Object.hasOwn(synonyms, given) ? synonyms[given] : given
    const found = words.find((known) => known === word)
    if (found === undefined) throw wanted(what, given)
    return found
  })
}

/** On or off; needs no value, and `--no-…` turns it off. */
export const toggle: Kind<boolean> = {
  placeholder: '',
  shape: 'switch',
  read(given) {
    const word = given.trim().toLowerCase()
    if (['true', '1', 'yes', 'on'].includes(word)) return true
    if (['false', '0', 'no', 'off'].includes(word)) return false
    throw wanted('true or false', given)
  },
  fromJson(value) {
    if (typeof value === 'boolean') return value
    throw wanted('true or false', value)
  },
}

/** Several texts: the flag repeated, several values behind it, or a JSON list. Commas part them in the environment. */
export const texts = (placeholder: string): Kind<string[]> => ({
  placeholder,
  shape: 'many',
  read(given) {
    if (given.trim().startsWith('[')) return this.fromJson(parsedJson(given))
    const items = given.split(',').map((item) => item.trim())
    if (items.includes('')) throw wanted('text', given)
    return items
  },
  fromJson(value) {
    const items = Array.isArray(value) ? value : [value]
    for (const item of items)
      if (typeof item !== 'string' || item.trim() === '') throw wanted('a list of texts', value)
    return items as string[]
  },
})

/** JSON written as text. */
export const parsedJson = (given: string): unknown => {
  try {
    return JSON.parse(given)
  } catch {
    throw wanted('JSON', given)
  }
}

/** A JSON object, as text on the command line. */
export const object: Kind<{ [key: string]: unknown }> = {
  placeholder: 'JSON',
  shape: 'one',
  read(given) {
    return this.fromJson(parsedJson(given))
  },
  fromJson(value) {
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as { [key: string]: unknown }
    throw wanted('a JSON object such as {"thinking_budget": 512}', value)
  },
}
