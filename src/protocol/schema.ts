// What the request schemas of all routes share: number bounds, and zod's first issue as one error naming its field.
import { z } from 'zod'
import { ApiError, invalid } from '../errors.ts'

/** The document of the API says what the check does, which a JSON schema could not tell from it. */
export const integer = (min: number, max: number) =>
  z
    .number()
    .refine((value) => Number.isInteger(value) && value >= min && value <= max, {
      error: `must be an integer from ${min} to ${max}`,
    })
    .meta({ type: 'integer', minimum: min, maximum: max })

/** How a list of token ids is told in the document of the API; `tokenIdsOf` checks it. */
export const TOKEN_IDS = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 }

export const decimal = (min: number, max: number) =>
  z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`)

/** `['messages', 0, 'content']` as `messages[0].content`. */
export const fieldPath = (path: readonly PropertyKey[]): string =>
  path
    .map((key, n) =>
      typeof key === 'number' ? `[${key}]` : n === 0 ? `${String(key)}` : `.${String(key)}`
    )
    .join('')
    .slice(0, 200)

const kindOf = (value: unknown): string => {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' && !Number.isFinite(value)) return 'a number out of range'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The innermost value an issue is about, to say what was sent instead. */
const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    value
  )

type Issue = z.core.$ZodIssue

/** Of a union's branches the one that got furthest speaks. */
const deepest = (issue: Issue): Issue => {
  if (issue.code !== 'invalid_union') return issue
  const inner = issue.errors
    .map((branch) => branch[0])
    .filter((candidate) => candidate !== undefined)
    .map((candidate) =>
      deepest({ ...candidate, path: [...issue.path, ...candidate.path] } as Issue)
    )
    .toSorted((a, b) => b.path.length - a.path.length)[0]
  return inner && inner.path.length > issue.path.length ? inner : issue
}

const sentence = (issue: Issue, body: unknown): string => {
  const field = fieldPath(issue.path) || 'body'
  const value = valueAt(body, issue.path)
  if (value === undefined) return `Missing required field '${field}'`
  if (issue.code === 'invalid_type')
    return `Invalid type for '${field}': expected ${issue.expected}, got ${kindOf(value)}`
  if (issue.code === 'invalid_union' && issue.errors.length > 0)
    return `Invalid type for '${field}': ${kindOf(value)} is not accepted here`
  return `Invalid value for '${field}': ${issue.message}`
}

const asError = (error: z.ZodError, body: unknown): ApiError => {
  const first = error.issues[0]
  if (!first) return new ApiError(400, 'The request body is invalid')
  const issue = deepest(first)
  return invalid(fieldPath(issue.path), sentence(issue, body))
}

/** The body as its schema types it, or the first thing that is wrong with it. */
export const check = <T extends z.ZodType>(schema: T, body: unknown): z.output<T> => {
  const result = schema.safeParse(body)
  if (!result.success) throw asError(result.error, body)
  return result.data
}

/** A list of token ids, checked in a plain loop: it may have as many as a context has tokens. */
export const tokenIdsOf = (value: unknown, param: string): number[] => {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid(param, `'${param}' must be a non-empty array of token ids`)
  for (const [at, id] of value.entries()) {
    if (!Number.isInteger(id) || id < 0)
      throw invalid(
        `${param}[${at}]`,
        `Invalid value for '${param}[${at}]': token ids are integers from 0 on`
      )
  }
  return value as number[]
}
