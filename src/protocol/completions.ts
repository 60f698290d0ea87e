// Checks a Completions body; routes/completions.ts asks.
import { z } from 'zod'
import { contextExceeded, invalid, unsupported } from '../errors.ts'
import { MAX_CHOICES, MAX_LOGPROBS, refuseUnsupported, samplingFields } from './sampling.ts'
import { check, integer, TOKEN_IDS, tokenIdsOf } from './schema.ts'

const MAX_TOKENS = 2 ** 31 - 1
const MAX_PROMPTS = 1024

const ONE = [{ type: 'string', minLength: 1 }, TOKEN_IDS]
/** What `promptsOf` takes. */
const PROMPTS = [
  ...ONE,
  { type: 'array', items: { anyOf: ONE }, minItems: 1, maxItems: MAX_PROMPTS },
]

export const completionSchema = z.looseObject({
  ...samplingFields,
  model: z.string().nullish(),
  prompt: z.unknown().meta({ anyOf: PROMPTS }),
  max_tokens: integer(0, MAX_TOKENS).nullish(),
  logprobs: integer(0, MAX_LOGPROBS).nullish(),
  echo: z.boolean().nullish(),
  best_of: integer(1, MAX_CHOICES).nullish(),
})

export type CompletionRequest = z.output<typeof completionSchema>

const refuse = (request: CompletionRequest): void => {
  refuseUnsupported(request)
  if (typeof request.suffix === 'string' && request.suffix !== '')
    throw unsupported('suffix', 'Inserting before a suffix')
  const n = request.n ?? 1
  const best = request.best_of ?? n
  if (best < n) throw invalid('best_of', `'best_of' (${best}) must be at least 'n' (${n})`)
  if (best > n && request.stream)
    throw invalid(
      'best_of',
      `'best_of' above 'n' cannot be streamed: the best are known at the end`
    )
  if (request.max_tokens === 0 && !request.echo && typeof request.prompt_logprobs !== 'number')
    throw invalid('max_tokens', `'max_tokens' may be 0 only with 'echo' or 'prompt_logprobs'`)
  if (request.max_tokens === 0 && request.logprob_token_ids?.length)
    throw invalid(
      'logprob_token_ids',
      `'logprob_token_ids' are scored where tokens are generated; set 'max_tokens' above 0`
    )
}

export const checkCompletion = (body: { [key: string]: unknown }): CompletionRequest => {
  const request = check(completionSchema, body)
  refuse(request)
  return request
}

/** A prompt as the caller wrote it: text in which control tokens count, or token ids. */
export type Prompt = string | number[]

const single = (value: unknown): Prompt | undefined => {
  if (typeof value === 'string') return value
  return Array.isArray(value) && typeof value[0] === 'number' ? (value as number[]) : undefined
}

const whole = (prompt: Prompt, param: string, context: number): Prompt => {
  if (prompt === '') throw invalid(param, `'${param}' must not be empty`)
  if (typeof prompt === 'string') return prompt
  if (prompt.length > context) throw contextExceeded(context, `${prompt.length} tokens`, param)
  return tokenIdsOf(prompt, param)
}

/** The prompts of a request: one or many, of text or of token ids, none longer than the context. */
export const promptsOf = ({ prompt }: { prompt?: unknown }, context: number): Prompt[] => {
  if (prompt === undefined || prompt === null)
    throw invalid('prompt', `Missing required field 'prompt'`)
  const one = single(prompt)
  if (one !== undefined) return [whole(one, 'prompt', context)]
  if (!Array.isArray(prompt))
    throw invalid(
      'prompt',
      `'prompt' must be a string, an array of strings, or arrays of token ids`
    )
  if (prompt.length === 0) throw invalid('prompt', `'prompt' must not be empty`)
  if (prompt.length > MAX_PROMPTS)
    throw invalid('prompt', `'prompt' may hold at most ${MAX_PROMPTS} prompts`)
  return prompt.map((value: unknown, n) => {
    const param = `prompt[${n}]`
    const inner = single(value)
    if (inner === undefined || typeof inner !== typeof single(prompt[0]))
      throw invalid(
        param,
        `'${param}' must be a string or a non-empty array of token ids, as the first is`
      )
    return whole(inner, param, context)
  })
}
