// Reads options from where people write them: flags, environment, config file; each mistake names its source.
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  type Flag,
  kebab,
  nearest,
  type Schema,
  UsageError,
  type Values,
  variable,
} from './schema.ts'

type Raw = { [key: string]: unknown }
type Meaningless = { [flag: string]: { why: string; value: boolean } }
type Environment = { [name: string]: string | undefined }

export interface Sources {
  argv: string[]
  env?: Environment
  meaningless?: Meaningless
  /** The key a bare word sets, such as the model of `serve`. */
  positional?: string
  /** Of what there can be several, each with options of its own. */
  sections?: Sections
}

/** Each time the flag `opens` is given a section begins; what is said behind it of `own` is the section's. */
export interface Sections {
  opens: string
  own: Schema
  /** The key that holds them where there are several; of one, its options are everybody's. */
  into: string
}

export interface Read<S extends Schema> {
  values: Values<S>
  /** Sentences to show: what had no meaning, what was probably misspelt in the environment. */
  notes: string[]
  /** Set where --help was asked for; '' is all of it. */
  help?: string
  version: boolean
}

const NAMELESS = { help: 'help', h: 'help', version: 'version', v: 'version' } as const

/** A flag as it is written on the command line. */
const written = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`)

/** Every spelling of every flag, with the key it sets. */
const spellings = (schema: Schema): Map<string, string> => {
  const names = new Map<string, string>()
  for (const [key, { aliases }] of Object.entries(schema))
    for (const name of [kebab(key), ...aliases]) names.set(name, key)
  return names
}

const told = <T>(source: string, read: () => T): T => {
  try {
    return read()
  } catch (error) {
    throw new UsageError(`${source}: ${(error as Error).message}`)
  }
}

/** Walks the arguments once; one reader per call, because lists gather across it. */
class Arguments {
  found: Raw = {}
  without: string[] = []
  help: string | undefined
  version = false
  private words: string[]
  private schema: Schema
  private names: Map<string, string>
  private sources: Sources
  private sections: Raw[] = []

  constructor(schema: Schema, sources: Sources) {
    this.words = [...sources.argv]
    this.schema = schema
    this.names = spellings(schema)
    this.sources = sources
    while (this.words.length > 0) this.next(this.words.shift()!)
    this.join()
  }

  /** Where a key's value goes: to the section that is open, if it may have it. */
  private placeOf(key: string): Raw {
    const { sections: { own, opens } = {} } = this.sources
    if (key === opens) this.sections.push({})
    return (own && Object.hasOwn(own, key) ? this.sections.at(-1) : undefined) ?? this.found
  }

  /** One section is no more than what is said of everything. */
  private join(): void {
    const [only, second] = this.sections
    if (second) this.found[this.sources.sections!.into] = this.sections
    else
      for (const [key, value] of Object.entries(only ?? {})) this.found[key] = this.more(key, value)
  }

  private more(key: string, value: unknown): unknown {
    const before = this.found[key]
    return Array.isArray(value) && Array.isArray(before) ? [...before, ...value] : value
  }

  private next(word: string): void {
    const [, spelled, inline] = /^--?([a-zA-Z][^=]*)(?:=([^]*))?$/.exec(word) ?? []
    if (spelled === undefined) return this.bare(word)
    const name = spelled.replaceAll('_', '-').toLowerCase()
    const special = Object.hasOwn(NAMELESS, name) ? NAMELESS[name as 'help'] : undefined
    if ((special as string) === 'version') this.version = true
    else if (special) this.help = inline ?? ''
    // Letters have one dash, words have two.
    else if (word.startsWith('--') === (name.length === 1)) throw this.unknown(word, name)
    else this.named(name, inline)
  }

  private bare(word: string): void {
    const { positional } = this.sources
    const taken = this.sections.length > 0 || (positional !== undefined && positional in this.found)
    if (positional === undefined || word.startsWith('-') || taken)
      throw new UsageError(`"${word}" belongs to no flag`)
    this.placeOf(positional)[positional] = word
  }

  private named(name: string, inline: string | undefined): void {
    const { meaningless = {} } = this.sources
    const off = name.startsWith('no-') ? this.names.get(name.slice(3)) : undefined
    const key = this.names.get(name) ?? off
    if (key !== undefined) {
      const flag = this.schema[key]!
      if (this.names.has(name)) this.set(key, flag, written(name), inline)
      else if (flag.kind.shape === 'switch' && inline === undefined) this.placeOf(key)[key] = false
      else throw new UsageError(`--${name}: --${kebab(key)} cannot be turned off`)
      return
    }
    const idle = Object.hasOwn(meaningless, name) ? meaningless[name] : undefined
    if (!idle) throw this.unknown(written(name), name)
    if (inline === undefined && (idle.value || this.saysTruth())) this.words.shift()
    this.without.push(`${written(name)} (${idle.why})`)
  }

  private unknown(shown: string, name: string): UsageError {
    const words = [...this.names.keys()].filter((one) => one.length > 1)
    const meant = nearest(name, [...words, 'help', 'version'])
    return new UsageError(
      `unknown flag ${shown}${meant ? `; did you mean --${meant}?` : '; see --help'}`
    )
  }

  private saysTruth = (): boolean => /^(true|false)$/i.test(this.words[0] ?? '')

  private set(key: string, { kind }: Flag<any>, shown: string, inline: string | undefined): void {
    if (kind.shape === 'switch') {
      const value = inline ?? (this.saysTruth() ? this.words.shift()! : 'true')
      this.placeOf(key)[key] = told(shown, () => kind.read(value))
      return
    }
    const value = inline ?? this.words.shift()
    if (value === undefined || (inline === undefined && value.startsWith('--')))
      throw new UsageError(`${shown} needs a value: ${shown} ${kind.placeholder}`)
    const place = this.placeOf(key)
    if (kind.shape === 'one') {
      place[key] = told(shown, () => kind.read(value))
      return
    }
    const values = [value]
    if (kind.placeholder.endsWith('…') && inline === undefined)
      while (this.words.length > 0 && !this.words[0]!.startsWith('-'))
        values.push(this.words.shift()!)
    const before = (place[key] as string[] | undefined) ?? []
    place[key] = [...before, ...values.flatMap((one) => told(shown, () => kind.read(one)))]
  }
}

/** Variables that are read elsewhere. */
const OTHER_VARIABLES = new Set(['SEED_NATIVE', 'SEED_ENGINE_PANIC_AT_STEP'])

const fromEnvironment = (schema: Schema, env: Environment, notes: string[]): Raw => {
  const found: Raw = {}
  const known = new Map(Object.keys(schema).map((key) => [variable(key), key]))
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('SEED_') || value === undefined || value === '') continue
    const key = known.get(name)
    if (key !== undefined) found[key] = told(name, () => schema[key]!.kind.read(value))
    else if (!OTHER_VARIABLES.has(name)) {
      const meant = nearest(name, known.keys())
      if (meant) notes.push(`${name} in the environment means nothing; did you mean ${meant}?`)
    }
  }
  return found
}

/** PORT and HOST as hosting platforms set them; HOST only where it is an address, for shells use the name too. */
const fromPlatform = (schema: Schema, { PORT, HOST }: Environment): Raw => {
  const found: Raw = {}
  if ('port' in schema && PORT) found.port = told('PORT', () => schema.port!.kind.read(PORT))
  if ('host' in schema && HOST && (isIP(HOST) || HOST === 'localhost')) found.host = HOST
  return found
}

/** Options written as a JSON object, their names in any spelling; throws a sentence without its source. */
export const fromObject = (schema: Schema, json: object): Raw => {
  const names = spellings(schema)
  const found: Raw = {}
  for (const [spelled, value] of Object.entries(json)) {
    const name = kebab(spelled).replaceAll('_', '-')
    const key = names.get(name)
    if (key === undefined || key === 'config') {
      const meant = nearest(name, names.keys())
      throw new Error(`unknown option "${spelled}"${meant ? `; did you mean "${meant}"?` : ''}`)
    }
    if (value === null || value === undefined) continue
    found[key] = told(`"${spelled}"`, () => schema[key]!.kind.fromJson(value))
  }
  return found
}

const fromFile = (schema: Schema, path: string): Raw =>
  told(path, () => {
    const json: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new Error('expected a JSON object of options')
    return fromObject(schema, json)
  })

/** Says once what is served: the first source that names one or several goes before the others. */
const naming = (sources: Raw[], { opens, into }: Sections): Raw[] => {
  let named = false
  return sources.map((source) => {
    const { [opens]: one, [into]: many, ...rest } = source
    if (named) return rest
    named = one !== undefined || many !== undefined
    return source
  })
}

/** All options: flags go before SEED_*, that before PORT and HOST, that before the config file, that before defaults. */
export const readOptions = <S extends Schema>(schema: S, sources: Sources): Read<S> => {
  const { env = {} } = sources
  const notes: string[] = []
  const given = new Arguments(schema, sources)
  const rest = {
    notes,
    version: given.version,
    ...(given.help === undefined ? {} : { help: given.help }),
  }
  const defaults = Object.fromEntries(
    Object.entries(schema).map(([key, { default: value }]) => [key, value])
  )
  if (given.help !== undefined || given.version) return { ...rest, values: defaults as Values<S> }
  const environment = { ...fromPlatform(schema, env), ...fromEnvironment(schema, env, notes) }
  const path = given.found.config ?? environment.config
  const file = typeof path === 'string' ? fromFile(schema, path) : {}
  if (given.without.length > 0)
    notes.push(`accepted, but without meaning here: ${given.without.join(', ')}`)
  const { sections } = sources
  const all = [given.found, environment, file]
  const values = Object.assign(defaults, ...(sections ? naming(all, sections) : all).toReversed())
  return { ...rest, values: values as Values<S> }
}

/** Options from a program instead of a command line: checked the same, absent ones get their defaults. */
export const withDefaults = <S extends Schema>(schema: S, given: object): Values<S> => {
  const values: Raw = {}
  for (const [key, flag] of Object.entries(schema)) values[key] = flag.default
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue
    const flag = Object.hasOwn(schema, key) ? schema[key] : undefined
    if (!flag) {
      const meant = nearest(key, Object.keys(schema))
      throw new UsageError(`unknown option ${key}${meant ? `; did you mean ${meant}?` : ''}`)
    }
    values[key] = told(key, () => flag.kind.fromJson(value))
  }
  return values as Values<S>
}
