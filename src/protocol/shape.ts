// The shape an answer is asked to have: response_format, text.format, structured_outputs and vLLM's older guided_*
// fields, told as one AnswerShape; protocol/chat.ts and the routes ask.
import { z } from 'zod'
import type { AnswerShape, Json, ResponseFormat } from '../conversation.ts'
import { invalid } from '../errors.ts'
import { fromJavaScript } from '../grammar/formats.ts'
import { ownGrammar } from '../grammar/lark.ts'
import { preparedSchema } from '../grammar/schema.ts'
import { sourceOf } from '../json.ts'
import { check } from './schema.ts'

const MAX_PATTERN = 16 * 1024
const MAX_OPTIONS = 1000
const MAX_OPTION_BYTES = 16 * 1024
const MAX_TAGS = 64

type Body = { [key: string]: unknown }

/** What is asked of an answer, and the field that asks it. */
export interface Asked {
  shape: AnswerShape
  param: string
  /** As families whose prompts speak of formats show it. */
  format?: ResponseFormat
}

const FORMAT_NAME = /^[a-zA-Z0-9_-]{1,64}$/

const schemaOf = (value: unknown, param: string): Json => {
  let schema = value
  if (typeof value === 'string') {
    try {
      schema = JSON.parse(value)
    } catch {
      throw invalid(param, `'${param}' must be a JSON schema, as an object or as its JSON text`)
    }
  }
  if (typeof schema !== 'boolean' && (typeof schema !== 'object' || schema === null))
    throw invalid(param, `'${param}' must be a JSON schema: an object`)
  return preparedSchema(schema as Json, param)
}

const ANY_OBJECT: Json = { type: 'object' }

/** A named schema: chat has it in `json_schema`, the Responses API beside the type. */
const named = (given: Body, param: string, text: string, path: string[]): Asked => {
  const { name, schema, description } = given
  if (typeof name !== 'string' || !FORMAT_NAME.test(name))
    throw invalid(`${param}.name`, `'${param}.name' must be 1 to 64 letters, digits, _ or -`)
  if (schema === undefined || schema === null)
    throw invalid(`${param}.schema`, `Missing required field '${param}.schema'`)
  const shape: AnswerShape = { kind: 'json', schema: schemaOf(schema, `${param}.schema`) }
  return {
    shape,
    param,
    format: {
      name,
      ...(typeof description === 'string' ? { description } : {}),
      schema: sourceOf(text, [...path, 'schema']) ?? JSON.stringify(schema),
    },
  }
}

const tagSchema = z.looseObject({
  begin: z.string().min(1, 'must not be empty').max(1024),
  schema: z.unknown(),
  end: z.string().min(1, 'must not be empty').max(1024),
})

const structuresSchema = z.looseObject({
  structures: z.array(tagSchema).min(1, 'must not be empty').max(MAX_TAGS),
  triggers: z.array(z.string().min(1, 'must not be empty')).min(1, 'must not be empty'),
})

const triggeredSchema = z.looseObject({
  type: z.literal('triggered_tags', {
    error: `must be 'triggered_tags', the only format of tags served here`,
  }),
  triggers: z.array(z.string().min(1, 'must not be empty')).min(1, 'must not be empty'),
  tags: z
    .array(
      z.looseObject({
        begin: tagSchema.shape.begin,
        content: z.looseObject({
          type: z.literal('json_schema', { error: `must be 'json_schema'` }),
          json_schema: z.unknown(),
        }),
        end: tagSchema.shape.end,
      })
    )
    .min(1, 'must not be empty')
    .max(MAX_TAGS),
})

const checkIn = <T>(schema: z.ZodType<T>, value: unknown, param: string): T =>
  (check(z.object({ [param]: schema }), { [param]: value }) as { [key: string]: T })[param]!

/** Tags of a structural_tag, in its first form or in that with a `format`. */
const tagsOf = (given: Body, param: string): AnswerShape => {
  const triggered =
    given.format === undefined
      ? undefined
      : checkIn(triggeredSchema, given.format, `${param}.format`)
  const structures = triggered ? undefined : checkIn(structuresSchema, given, param)
  const tags = triggered
    ? triggered.tags.map(({ begin, content, end }, n) => ({
        begin,
        end,
        schema: schemaOf(content.json_schema, `${param}.format.tags[${n}].content.json_schema`),
      }))
    : structures!.structures.map(({ begin, schema, end }, n) => ({
        begin,
        end,
        schema: schemaOf(schema, `${param}.structures[${n}].schema`),
      }))
  const { triggers } = (triggered ?? structures)!
  const lost = tags.find(({ begin }) => !triggers.some((trigger) => begin.startsWith(trigger)))
  if (lost)
    throw invalid(
      param,
      `'${param}' has a tag that begins with ${JSON.stringify(lost.begin).slice(0, 80)}, which none of its triggers begins`
    )
  return { kind: 'tags', triggers, tags }
}

const TYPES = 'text, json_object, json_schema or structural_tag'

const formatAsked = (body: Body, text: string): Asked | undefined => {
  const param = 'response_format'
  const format = body[param] as Body | string | null | undefined
  if (format === undefined || format === null) return undefined
  if (typeof format !== 'object' || typeof format.type !== 'string')
    throw invalid(param, `Invalid value for '${param}': it needs a 'type' of ${TYPES}`)
  switch (format.type) {
    case 'text':
      return undefined
    case 'json_object':
      return { shape: { kind: 'json', schema: ANY_OBJECT }, param }
    case 'json_schema': {
      const inner = format.json_schema as Body | null | undefined
      if (typeof inner !== 'object' || inner === null)
        throw invalid(
          `${param}.json_schema`,
          `'${param}.json_schema' must be an object with 'name' and 'schema'`
        )
      return named(inner, `${param}.json_schema`, text, [param, 'json_schema'])
    }
    case 'structural_tag':
      return { shape: tagsOf(format, param), param }
    default:
      throw invalid(`${param}.type`, `Invalid value for '${param}.type': must be ${TYPES}`)
  }
}

/** The format of a Responses body. */
const textAsked = (body: Body, text: string): Asked | undefined => {
  const param = 'text.format'
  const format = (body.text as { format?: Body | null } | null | undefined)?.format
  if (format === undefined || format === null || format.type === 'text') return undefined
  if (format.type === 'json_object') return { shape: { kind: 'json', schema: ANY_OBJECT }, param }
  if (format.type === 'json_schema') return named(format, param, text, ['text', 'format'])
  throw invalid(
    `${param}.type`,
    `Invalid value for '${param}.type': must be text, json_object or json_schema`
  )
}

const regexOf = (value: unknown, param: string): AnswerShape => {
  if (typeof value !== 'string' || value === '')
    throw invalid(param, `'${param}' must be a regular expression`)
  if (Buffer.byteLength(value) > MAX_PATTERN)
    throw invalid(param, `'${param}' must be at most ${MAX_PATTERN} bytes`)
  return { kind: 'regex', pattern: fromJavaScript(value) }
}

const choiceOf = (value: unknown, param: string): AnswerShape => {
  const isList = Array.isArray(value) && value.length > 0 && value.length <= MAX_OPTIONS
  const isText = (one: unknown): boolean =>
    typeof one === 'string' && one !== '' && Buffer.byteLength(one) <= MAX_OPTION_BYTES
  if (!isList || !value.every(isText))
    throw invalid(param, `'${param}' must be a list of 1 to ${MAX_OPTIONS} texts, none empty`)
  return { kind: 'choice', options: [...new Set(value as string[])] }
}

const grammarOf = (value: unknown, param: string): AnswerShape => {
  if (typeof value !== 'string' || value.trim() === '')
    throw invalid(param, `'${param}' must be a Lark grammar`)
  return { kind: 'lark', rules: ownGrammar(value, param) }
}

const tagTextOf = (value: unknown, param: string): AnswerShape => {
  let given = value
  if (typeof value === 'string') {
    try {
      given = JSON.parse(value)
    } catch {
      throw invalid(param, `'${param}' must be JSON`)
    }
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalid(param, `'${param}' must be an object`)
  return tagsOf(given as Body, param)
}

/** How each member of structured_outputs is read. */
const READERS: { [key: string]: (value: unknown, param: string) => AnswerShape } = {
  json: (value, param) => ({ kind: 'json', schema: schemaOf(value, param) }),
  json_object: () => ({ kind: 'json', schema: ANY_OBJECT }),
  regex: regexOf,
  choice: choiceOf,
  grammar: grammarOf,
  structural_tag: tagTextOf,
}

const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== false

/** What an object of such members asks; its fields are called by `prefix` before their keys. */
const membersAsked = (given: Body, prefix: string): Asked | undefined => {
  const keys = Object.keys(READERS).filter((key) => isSet(given[key]))
  const [key] = keys
  if (key === undefined) return undefined
  if (keys.length > 1)
    throw invalid(
      `${prefix}${keys[1]}`,
      `An answer can have one shape only: leave out '${prefix}${key}' or '${prefix}${keys[1]}'`
    )
  const param = `${prefix}${key}`
  const shape = READERS[key]!(given[key], param)
  const blank = given.whitespace_pattern
  if (!isSet(blank)) return { shape, param }
  if (shape.kind !== 'json' || typeof blank !== 'string' || Buffer.byteLength(blank) > 1024)
    throw invalid(
      `${prefix}whitespace_pattern`,
      `'${prefix}whitespace_pattern' must be a short regular expression, and goes with JSON only`
    )
  return { shape: { ...shape, whitespace: blank }, param }
}

const outputsAsked = ({ structured_outputs: given }: Body): Asked | undefined => {
  if (!isSet(given)) return undefined
  if (typeof given !== 'object' || Array.isArray(given))
    throw invalid('structured_outputs', `'structured_outputs' must be an object`)
  const asked = membersAsked(given as Body, 'structured_outputs.')
  if (!asked)
    throw invalid(
      'structured_outputs',
      `'structured_outputs' needs one of ${Object.keys(READERS).join(', ')}`
    )
  return asked
}

const guidedAsked = (body: Body): Asked | undefined => {
  const prefix = 'guided_'
  const given = Object.entries(body).filter(([key]) => key.startsWith(prefix))
  return membersAsked(
    Object.fromEntries(given.map(([key, value]) => [key.slice(prefix.length), value])),
    prefix
  )
}

const single = (all: (Asked | undefined)[]): Asked | undefined => {
  const [first, second] = all.filter((one) => one !== undefined)
  if (first && second)
    throw invalid(
      second.param,
      `An answer can have one shape only: leave out '${first.param}' or '${second.param}'`
    )
  return first
}

/** What a chat or completions body asks of its answer; `text` is the body as sent. Throws 400. */
export const askedOf = (body: Body, text: string): Asked | undefined =>
  single([formatAsked(body, text), outputsAsked(body), guidedAsked(body)])

/** What a Responses body asks of its answer. */
export const askedOfResponse = (body: Body, text: string): Asked | undefined =>
  single([textAsked(body, text), outputsAsked(body), guidedAsked(body)])
