// What an option is and how a table of them becomes a type; options.ts and cli/generate.ts write such tables.
import type { Kind } from './kinds.ts'

export interface Flag<T> {
  group: string
  kind: Kind<Exclude<T, undefined>>
  help: string
  default: T
  /** Other flags that mean the same, kebab-case; one of a single letter is written `-p`. */
  aliases: readonly string[]
}

export interface MakeFlag {
  <T>(group: string, kind: Kind<T>, help: string): Flag<T | undefined>
  <T>(
    group: string,
    kind: Kind<T>,
    help: string,
    value: undefined,
    aliases: string[]
  ): Flag<T | undefined>
  <T>(group: string, kind: Kind<T>, help: string, value: T, aliases?: string[]): Flag<T>
}

/** An option; without a default it may be absent. */
export const flag = ((
  group: string,
  kind: Kind<any>,
  help: string,
  value?: unknown,
  aliases: string[] = []
): Flag<any> => ({ group, kind, help, default: value, aliases })) as MakeFlag

/** The same option under another heading, for another command. */
export const inGroup = <T>(group: string, option: Flag<T>): Flag<T> => ({ ...option, group })

export type Schema = { readonly [key: string]: Flag<any> }

/** The values a schema describes. */
export type Values<S extends Schema> = {
  -readonly [Key in keyof S]: S[Key] extends Flag<infer T> ? T : never
}

/** A mistake in how the command was called; the process ends with 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** `maxModelLen` as `max-model-len`. */
export const kebab = (key: string): string =>
  key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** `maxModelLen` as `SEED_MAX_MODEL_LEN`. */
export const variable = (key: string): string =>
  `SEED_${kebab(key).replaceAll('-', '_').toUpperCase()}`

/** Letters to change, add or drop to make one word of the other. */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, n) => n)
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same))
    }
    row = next
  }
  return row[other.length]!
}

/** The word somebody probably meant; undefined where none is near. */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 2)) + 1
  for (const candidate of known) {
    const cut = candidate.startsWith(word) || word.startsWith(candidate)
    const far = Math.min(distance(word, candidate), cut && word.length > 3 ? 2 : Infinity)
    if (far < least) {
      best = candidate
      least = far
    }
  }
  return best
}
