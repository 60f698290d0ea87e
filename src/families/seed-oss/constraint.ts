// The grammar of a whole Seed-OSS reply: thought, then text, or calls whose typed parameters follow their schema.
// routes/chat.ts has it compiled.
import type { ConstraintRequest, Json } from '../../conversation.ts'
import { calleesOf, mustCall } from '../../grammar/calls.ts'
import { json, literal, shapeRules, TEXT } from '../../grammar/lark.ts'
import { dereferenced, isSchema, type Schema } from '../../grammar/schema.ts'
import { stringRules, TAG_END, VALUE, VALUE_RULE } from './strings.ts'
import { CALL, CALL_END, REFLECT, REFLECT_END, THINK, THINK_END } from './tokens.ts'

const typesOf = ({ type, enum: values, const: value }: Schema): string[] => {
  if (type !== undefined) return (Array.isArray(type) ? type : [type]) as string[]
  const listed = Array.isArray(values) ? values : value === undefined ? [] : [value]
  return listed.map((one) => (one === null ? 'null' : typeof one))
}

/** A schema without a reference or `allOf` of its own; what is wrong with them was found before. */
const resolved = (schema: Json, root: Schema): Schema => {
  const at = dereferenced(schema, root)
  if (!isSchema(at)) return {}
  return Array.isArray(at.allOf) ? merged(at, root) : at
}

/** A schema with its `allOf` in it, where it may be a string; else it is left as JSON's grammar takes it. */
const merged = ({ allOf, ...others }: Schema, root: Schema): Schema => {
  const parts = [others, ...(allOf as Json[]).map((part) => resolved(part, root))]
  const typed = parts.map(typesOf).filter((types) => types.length > 0)
  const types = typed.reduce(
    (left, right) => left.filter((type) => right.includes(type)),
    [...(typed[0] ?? [])]
  )
  if (typed.length > 0 && !types.includes('string'))
    return { ...others, allOf: allOf!, type: types }
  const patterns = parts.flatMap((part) => [part, ...(Array.isArray(part.allOf) ? part.allOf : [])])
  return {
    ...Object.assign({}, ...parts),
    allOf: patterns.filter((part) => isSchema(part) && typeof part.pattern === 'string'),
    ...(typed.length > 0 ? { type: types } : {}),
  }
}

/** Rules of one function's parameters. */
class Call {
  private rules: string[] = []
  private name: string
  private root: Schema
  private param: string

  constructor(name: string, root: Schema, param: string) {
    this.name = name
    this.root = root
    this.param = param
  }

  /** Parameters in the schema's order, each once, the required ones all. */
  build(): string {
    const { properties, required } = resolved(this.root, this.root)
    const needed = new Set(Array.isArray(required) ? required : [])
    const entries = Object.entries(isSchema(properties) ? properties : {})
    const parts = entries.map(([key, schema], n) => {
      const rule = `${this.name}_${n}`
      this.rules.push(
        `${rule}: ${literal(`<parameter=${key}>`)} ${this.value(schema, `${rule}_v`, key)} ${literal('\n')}`
      )
      return needed.has(key) ? rule : `${rule}?`
    })
    return [`${this.name}_all: ${parts.join(' ') || '""'}`, ...this.rules].join('\n')
  }

  /** A value with its end tag: strings as they are, all else as JSON. */
  private value(given: Json, name: string, key: string): string {
    const schema = resolved(given, this.root)
    const one = this.alternatives(schema)
    const strings = one.filter(
      (each) => typesOf(each).includes('string') || typesOf(each).length === 0
    )
    const others = one
      .map((each) => this.withoutStrings(each))
      .filter((each): each is Schema => each !== undefined)
    const forms = strings.map((each, n) => {
      const rules = stringRules(each, `${name}_s${n}`, `${this.param}.properties.${key}`)
      this.rules.push(rules)
      return `${name}_s${n}`
    })
    if (others.length > 0) {
      const shape = others.length === 1 ? others[0]! : { anyOf: others }
      const { $defs, definitions } = this.root
      const shared = { ...($defs ? { $defs } : {}), ...(definitions ? { definitions } : {}) }
      this.rules.push(
        `${name}_j: ${name}_json ${literal(TAG_END)}\n${name}_json: ${json({ ...shape, ...shared })}`
      )
      forms.push(`${name}_j`)
    }
    this.rules.push(`${name}: ${forms.join(' | ')}`)
    return name
  }

  private alternatives(schema: Schema): Schema[] {
    const list = schema.anyOf ?? schema.oneOf
    if (!Array.isArray(list)) return [schema]
    return list.flatMap((each) => this.alternatives(resolved(each, this.root)))
  }

  /** The part of a schema that is no string; undefined where nothing is left. */
  private withoutStrings(schema: Schema): Schema | undefined {
    const types = typesOf(schema)
    if (!types.includes('string')) return types.length === 0 ? undefined : schema
    const rest = types.filter((type) => type !== 'string')
    if (rest.length === 0) return undefined
    const { enum: values, ...others } = schema
    const left = Array.isArray(values) ? values.filter((value) => typeof value !== 'string') : []
    if (Array.isArray(values)) return left.length > 0 ? { enum: left } : undefined
    return { ...others, type: [...new Set(rest)] }
  }
}

/** Whatever a function is given, in form. */
const FREE = `free: ("<parameter=" NAME ">" value "\\n")*\nNAME: /[^<>\\n]{1,200}/`

export const constraint = async (request: ConstraintRequest): Promise<string | undefined> => {
  const { conversation, start } = request
  const { answer, parallelToolCalls } = conversation
  const parallel = parallelToolCalls !== false
  const must = mustCall(conversation)
  const calls = calleesOf(conversation)
  if (!answer && !must && !calls.some(({ held }) => held)) return undefined

  const rules = [
    `think: ${THINK} thought`,
    `thought: TEXT ((${REFLECT} | ${REFLECT_END}) TEXT)* ${THINK_END}`,
    'WS: /[ \\n]{0,2}/',
    // The template ends a thought with a newline, which is no part of the answer.
    'gap: "\\n"?',
    TEXT,
    `value: ${VALUE}`,
    VALUE_RULE,
  ]
  const functions = calls.map(({ tool, held }, at) => {
    if (held) {
      const schema = isSchema(held.schema) ? held.schema : {}
      rules.push(new Call(`p${at}`, schema, held.param).build())
    }
    rules.push(
      `f${at}: ${literal(`<function=${tool.name}>\n`)} ${held ? `p${at}_all` : 'free'} "</function>"`
    )
    return `f${at}`
  })
  if (calls.some(({ held }) => !held)) rules.push(FREE)
  if (functions.length > 0)
    rules.push(`block: ${CALL} "\\n" (${functions.join(' | ')}) "\\n" ${CALL_END}`)
  if (answer) rules.push(shapeRules(answer, 'answer'))
  const blocks = parallel ? 'WS block (WS block)*' : 'WS block'
  const said = answer ? 'answer' : 'TEXT'
  const free = parallel ? '(block TEXT)*' : '(block WS)?'
  let reply = said
  if (must) reply = blocks
  else if (functions.length > 0) reply = answer ? `(${said} | ${blocks})` : `TEXT ${free}`
  const begun = {
    auto: `(think gap)? ${reply}`,
    reasoning: `thought gap ${reply}`,
    content: reply,
  }
  return [`start: ${begun[start]}`, ...rules].join('\n')
}
