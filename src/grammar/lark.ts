// Writes pieces of llguidance's Lark dialect: JSON, regular expressions, choices, a caller's own grammar. Families put
// them into the grammar of a whole generation.
import type { AnswerShape, Json } from '../conversation.ts'
import { invalid } from '../errors.ts'

/** A string of the grammar. */
export const literal = (text: string): string => JSON.stringify(text)

/** The same, nothing where it is empty. */
const quoted = (text: string): string => (text === '' ? '' : literal(text))

/** A regular expression of the grammar; it stands for the whole text. */
export const regex = (pattern: string): string =>
  `/${pattern.replace(/\\[\s\S]|\/|\n/g, (found) => (found === '/' ? '\\/' : found === '\n' ? '\\n' : found))}/`

/** Compact, or one space after separators: a small model could write blanks for ever. */
const SPACING = { item_separator: ', ?', key_separator: ': ?', whitespace_flexible: false }

/** JSON that follows a prepared schema. */
export const json = (schema: Json, whitespace?: string): string => {
  const spacing = whitespace === undefined ? SPACING : { whitespace_pattern: whitespace }
  const shape = schema === true ? {} : schema
  if (shape === false) return `%json ${JSON.stringify({ enum: [] })}`
  return `%json ${JSON.stringify({ 'x-guidance': spacing, ...(shape as object) })}`
}

/** Any text, control tokens aside. */
export const TEXT = 'TEXT: /(.|\\n)*/'

const triggered = (triggers: string[]): string => triggers.map(escaped).join('|')

/** Text up to a trigger, and none of the others, then one of its tags; after the last tag, text without triggers. */
const tagRules = ({ triggers, tags }: Extract<AnswerShape, { kind: 'tags' }>, name: string) => {
  const upper = name.toUpperCase()
  const pieces = triggers.map((trigger, t) => {
    const others = triggers.filter((other) => other !== trigger)
    const alone = others.length > 0 ? ` & ~/(.|\\n)*(${triggered(others)})(.|\\n)*/` : ''
    const own = tags.flatMap(({ begin, end }, n) =>
      begin.startsWith(trigger)
        ? [`${quoted(begin.slice(trigger.length))} ${name}_json_${n} ${quoted(end)}`]
        : []
    )
    return [
      `${name}_${t}: ${name}_text_${t} (${own.join(' | ')})`,
      `${name}_text_${t}[lazy]: ${upper}_TEXT_${t}`,
      `${upper}_TEXT_${t}: /(.|\\n)*${escaped(trigger)}/${alone}`,
    ].join('\n')
  })
  return [
    `${name}: (${triggers.map((_, t) => `${name}_${t}`).join(' | ')})* ${upper}_TAIL`,
    `${upper}_TAIL: /(.|\\n)*/ & ~/(.|\\n)*(${triggered(triggers)})(.|\\n)*/`,
    ...pieces,
    ...tags.map(({ schema }, n) => `${name}_json_${n}: ${json(schema)}`),
  ].join('\n')
}

/** Rules that define `name` as the shape. */
export const shapeRules = (shape: AnswerShape, name: string): string => {
  switch (shape.kind) {
    case 'json':
      return `${name}: ${json(shape.schema, shape.whitespace)}`
    case 'regex':
      return `${name}: ${name.toUpperCase()}\n${name.toUpperCase()}: ${regex(shape.pattern)}`
    case 'choice':
      return `${name}: ${shape.options.map(literal).join(' | ')}`
    case 'lark':
      return `${name}: own_start\n${shape.rules}`
    case 'tags':
      return tagRules(shape, name)
  }
}

/** A text as a regular expression. */
export const escaped = (text: string): string =>
  text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&').replace(/\n/g, '\\n')

/** Strings, regular expressions and comments of a grammar, or a name, or what only the server may write. */
const PARTS =
  /("(?:[^"\\\n]|\\.)*"i?|\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[imslux]*|\/\/[^\n]*|#[^\n]*)|(\[[a-z_]+(?:=[^\]\n]*)?(?:,[^\]\n]*)?\](?=\s*:))|([A-Za-z_][\w-]*)|([%@<>])/g

/**
 * A caller's Lark grammar with `own_` before each of its names, so that they cannot meet the family's. Directives,
 * sub-grammars and control tokens are the server's.
 */
export const ownGrammar = (grammar: string, param: string): string => {
  if (grammar.includes('::='))
    throw invalid(param, `'${param}' must be a Lark grammar (start: …), not EBNF with '::='`)
  if (Buffer.byteLength(grammar) > 64 * 1024)
    throw invalid(param, `'${param}' must be at most 64 KiB long`)
  let starts = false
  const rules = grammar.replace(PARTS, (found, text, attributes, name, special) => {
    if (text !== undefined) return text.startsWith('//') || text.startsWith('#') ? '' : text
    if (attributes !== undefined) return attributes
    if (special !== undefined)
      throw invalid(
        param,
        `'${param}' must not use '${special}': directives and control tokens are not for requests`
      )
    starts ||= name === 'start'
    return /^_?[A-Z]/.test(name) ? `OWN_${name}` : `own_${name}`
  })
  if (!starts) throw invalid(param, `'${param}' must have a rule named 'start'`)
  return rules
}
