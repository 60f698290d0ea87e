// The schema as people read it: --help in groups, README's table, --print-config; the command line and tools ask.
import type { Size } from './kinds.ts'
import { type Flag, kebab, nearest, type Schema, UsageError } from './schema.ts'

const WIDTH = 32

const bytes = (value: number): string => {
  for (const [power, unit] of [
    [30, 'GiB'],
    [20, 'MiB'],
    [10, 'KiB'],
  ] as const)
    if (value >= 2 ** power && value % 2 ** power === 0) return `${value / 2 ** power}${unit}`
  return String(value)
}

/** A default as it would be written behind the flag; '' where there is none to show. */
const shownDefault = ({ kind, default: value }: Flag<any>): string => {
  if (value === undefined || value === false) return ''
  if (kind.placeholder === 'SIZE' && typeof value === 'number') return bytes(value)
  return value === true ? 'on' : String(value)
}

/** A switch that is on is shown by the flag that turns it off. */
const shownFlag = (key: string, { kind, default: value, aliases }: Flag<any>): string => {
  const name = kind.shape === 'switch' && value === true ? `no-${kebab(key)}` : kebab(key)
  const letters = aliases.filter((alias) => alias.length === 1).map((letter) => `-${letter}, `)
  return `${letters.join('')}--${name}${kind.placeholder === '' ? '' : ` ${kind.placeholder}`}`
}

const meaning = (flag: Flag<any>): string =>
  flag.kind.shape === 'switch' && flag.default === true ? `do not ${flag.help}` : flag.help

const line = (key: string, flag: Flag<any>): string => {
  const left = `  ${shownFlag(key, flag)}`
  const value = flag.default === true ? '' : shownDefault(flag)
  const right = `${meaning(flag)}${value === '' ? '' : ` [${value}]`}`
  return left.length < WIDTH
    ? `${left.padEnd(WIDTH)}${right}`
    : `${left}\n${' '.repeat(WIDTH)}${right}`
}

/** The text of --help; `only` picks one group. */
export const helpText = (
  schema: Schema,
  groups: { readonly [group: string]: string },
  head: string,
  only = ''
): string => {
  if (only !== '' && !Object.hasOwn(groups, only)) {
    const meant = nearest(only, Object.keys(groups))
    throw new UsageError(
      `--help=${only}: there is no such group${meant ? `; did you mean --help=${meant}?` : `, but ${Object.keys(groups).join(', ')}`}`
    )
  }
  const parts = Object.entries(groups)
    .filter(([group]) => only === '' || only === group)
    .map(([group, title]) => {
      const flags = Object.entries(schema).filter(([, flag]) => flag.group === group)
      return [`${title} (--help=${group})`, ...flags.map(([key, flag]) => line(key, flag))].join(
        '\n'
      )
    })
  return `${[...(only === '' ? [head] : []), ...parts].join('\n\n')}\n`
}

const cell = (value: string): string => value.replaceAll('|', '\\|')

/** README's table of flags, group by group. */
export const flagTable = (schema: Schema): string => {
  const groups = [...new Set(Object.values(schema).map(({ group }) => group))]
  const flags = groups.flatMap((name) =>
    Object.entries(schema).filter(([, { group }]) => group === name)
  )
  const rows = flags.map(([key, flag]) => {
    const value = flag.default === true ? '' : shownDefault(flag)
    return `| \`${cell(shownFlag(key, flag))}\` | ${cell(meaning(flag))} | ${value === '' ? '' : `\`${value}\``} |`
  })
  return ['| flag | what it does | default |', '|---|---|---|', ...rows].join('\n')
}

const isSize = (value: unknown): value is Size =>
  typeof value === 'object' && value !== null && ('bytes' in value || 'part' in value)

type Options = { [key: string]: unknown }

const stated = (schema: Schema, values: Options): Options => {
  const entries = Object.keys(schema)
    .filter((key) => !['apiKey', 'config', 'printConfig'].includes(key))
    .map((key) => {
      const value = values[key]
      if (isSize(value)) return [kebab(key), 'part' in value ? `${value.part * 100}%` : value.bytes]
      const several = schema[key]!.kind.shape === 'one' && Array.isArray(value)
      return [kebab(key), several ? value.map((one) => stated(schema, one as Options)) : value]
    })
  return Object.fromEntries(entries) as Options
}

/** The options as a config file would state them, keys left out that must not be shown. */
export const configText = (schema: Schema, values: Options): string =>
  `${JSON.stringify(stated(schema, values), null, 2)}\n`
