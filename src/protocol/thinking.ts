// The thinking budget as callers of many servers spell it, reduced to one number; protocol/chat.ts asks.
import type { Json, ThinkingBudget } from '../conversation.ts'
import { invalid } from '../errors.ts'

/** Tokens of thought an effort stands for: Seed-OSS was trained on these steps. */
const EFFORTS: { [effort: string]: number } = {
  none: 0,
  minimal: 512,
  low: 1024,
  medium: 4096,
  high: 16384,
  xhigh: -1,
  max: -1,
}

type Fields = { [key: string]: unknown }

const inside = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Fields)[key]
    : undefined

/** Budget fields in their order of precedence, by their path in the body. */
const SOURCES: { path: string[]; dialect: ThinkingBudget['dialect'] }[] = [
  { path: ['chat_template_kwargs', 'thinking_budget'], dialect: 'soft' },
  { path: ['thinking_budget'], dialect: 'soft' },
  { path: ['thinking_token_budget'], dialect: 'hard' },
  { path: ['reasoning_budget_tokens'], dialect: 'hard' },
  { path: ['thinking_budget_tokens'], dialect: 'soft' },
  { path: ['thinking', 'budget_tokens'], dialect: 'soft' },
]

const count = (value: unknown, param: string, limit: number): number => {
  const number = typeof value === 'string' && /^\s*[-+]?\d+\s*$/.test(value) ? Number(value) : value
  if (typeof number !== 'number' || !Number.isInteger(number))
    throw invalid(param, `Invalid value for '${param}': must be a whole number of tokens`)
  if (number > limit)
    throw invalid(
      param,
      `Invalid value for '${param}': ${number} is more than the model's context of ${limit} tokens`
    )
  return number < 0 ? -1 : number
}

/** `reasoning_effort`, or `reasoning.effort`, checked; undefined where neither is given. */
export const effortOf = (body: Fields): string | undefined => {
  const nested = inside(body.reasoning, 'effort')
  const [effort, param] =
    body.reasoning_effort != null
      ? [body.reasoning_effort, 'reasoning_effort']
      : [nested, 'reasoning.effort']
  if (effort === undefined || effort === null) return undefined
  if (typeof effort !== 'string' || !Object.hasOwn(EFFORTS, effort))
    throw invalid(
      param as string,
      `Invalid value for '${param}': must be one of ${Object.keys(EFFORTS).join(', ')}`
    )
  return effort
}

/** Kinds of `thinking` that clients of several servers send; all but one leave it to the model. */
const KINDS = ['enabled', 'disabled', 'auto', 'adaptive']

/** Whether a switch turns the thought off: `thinking: {type: "disabled"}`, or `enable_thinking: false`. */
export const isThoughtOff = (body: Fields): boolean => {
  const kind = inside(body.thinking, 'type') ?? undefined
  if (kind !== undefined && !KINDS.includes(kind as string))
    throw invalid(
      'thinking.type',
      `Invalid value for 'thinking.type': must be one of ${KINDS.join(', ')}`
    )
  const switches = [['enable_thinking'], ['chat_template_kwargs', 'enable_thinking']].map(
    (path) => {
      const value = path.reduce(inside, body as unknown) ?? undefined
      if (value !== undefined && typeof value !== 'boolean')
        throw invalid(
          path.join('.'),
          `Invalid value for '${path.join('.')}': must be true or false`
        )
      return value
    }
  )
  return kind === 'disabled' || switches.includes(false)
}

/** The effective budget: none where a switch says so, else the first source that is present, then effort, then the server's default, then none. */
export const budgetOf = (
  body: Fields,
  defaults: { [key: string]: Json },
  maxModelLen: number
): ThinkingBudget => {
  const effort = effortOf(body)
  if (isThoughtOff(body)) return { tokens: 0, dialect: 'soft' }
  for (const { path, dialect } of SOURCES) {
    const value = path.reduce(inside, body as unknown)
    if (value !== undefined && value !== null)
      return { tokens: count(value, path.join('.'), maxModelLen), dialect }
  }
  if (effort !== undefined)
    return { tokens: EFFORTS[effort] ?? -1, dialect: 'soft', isEffort: true }
  const standing = defaults.thinking_budget
  if (standing !== undefined && standing !== null)
    return { tokens: count(standing, 'thinking_budget', maxModelLen), dialect: 'soft' }
  return { tokens: -1, dialect: 'soft' }
}
