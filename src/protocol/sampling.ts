// The fields that say how tokens are chosen, alike in chat and completions: their schema and the engine's Sampling.
import { z } from 'zod'
import type { Beams, ModelInfo, Sampling } from '../engine.ts'
import { invalid, unsupported } from '../errors.ts'
import type { SamplingDefaults } from '../served.ts'
import { decimal, integer } from './schema.ts'

const MAX_STOPS = 16
const MAX_STOP_BYTES = 1024
const MAX_BIASES = 1024
export const MAX_CHOICES = 128
export const MAX_LOGPROBS = 20
const MAX_NAMED_LOGPROBS = 128
/** Largest float below 2^63, which is the top of the int64 range in JSON's numbers. */
const INT64 = 2 ** 63
const INT32 = 2 ** 31 - 1

const stopString = z
  .string()
  .min(1, 'must not be empty')
  .refine((text) => Buffer.byteLength(text) <= MAX_STOP_BYTES, {
    error: `must be at most ${MAX_STOP_BYTES} bytes`,
  })

const tokenIds = z.array(integer(0, INT32))

/** Values only; what may be said together is checked where both are known. */
export const samplingFields = {
  temperature: decimal(0, 2).nullish(),
  top_p: decimal(0, 1).nullish(),
  top_k: integer(-1, INT32).nullish(),
  min_p: decimal(0, 1).nullish(),
  presence_penalty: decimal(-2, 2).nullish(),
  frequency_penalty: decimal(-2, 2).nullish(),
  repetition_penalty: z
    .number()
    .gt(0, 'must be more than 0')
    .max(100, 'must be at most 100')
    .nullish(),
  n: integer(1, MAX_CHOICES).nullish(),
  seed: z
    .number()
    .refine((seed) => Number.isInteger(seed) && Math.abs(seed) <= INT64, {
      error: 'must be a 64-bit integer',
    })
    .nullish(),
  stop: z
    .union([
      stopString,
      z.array(stopString).max(MAX_STOPS, `must have at most ${MAX_STOPS} strings`),
    ])
    .nullish(),
  stop_token_ids: tokenIds.max(MAX_BIASES, `must have at most ${MAX_BIASES} ids`).nullish(),
  include_stop_str_in_output: z.boolean().nullish(),
  ignore_eos: z.boolean().nullish(),
  min_tokens: integer(0, INT32).nullish(),
  logit_bias: z.record(z.string(), decimal(-100, 100)).nullish(),
  bad_words: z.array(stopString).max(MAX_BIASES, `must have at most ${MAX_BIASES} words`).nullish(),
  allowed_token_ids: tokenIds.nullish(),
  logprob_token_ids: tokenIds
    .max(MAX_NAMED_LOGPROBS, `must have at most ${MAX_NAMED_LOGPROBS} ids`)
    .nullish(),
  skip_special_tokens: z.boolean().nullish(),
  /** Byte-level tokenizers put no spaces there, so either value is served. */
  spaces_between_special_tokens: z.boolean().nullish(),
  truncate_prompt_tokens: z
    .number()
    .refine((count) => Number.isInteger(count) && (count === -1 || (count > 0 && count <= INT32)), {
      error: 'must be -1, for as many as fit, or how many of its last tokens a prompt keeps',
    })
    .nullish(),
  truncation_side: z.enum(['left', 'right'], { error: 'must be left or right' }).nullish(),
  prompt_logprobs: integer(0, MAX_LOGPROBS).nullish(),
  priority: integer(-INT32, INT32).nullish(),
  cache_salt: z
    .string()
    .min(1, 'must not be empty')
    .max(128, 'must be at most 128 characters')
    .refine((salt) => !/[@/\\\0]/.test(salt), { error: 'must not hold @, /, \\ or NUL' })
    .nullish(),
  user: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .looseObject({
      include_usage: z.boolean().nullish(),
      continuous_usage_stats: z.boolean().nullish(),
    })
    .nullish(),
  use_beam_search: z.boolean().nullish(),
  length_penalty: decimal(-10, 10).nullish(),
  return_token_ids: z.boolean().nullish(),
  return_tokens_as_token_ids: z.boolean().nullish(),
}

const fields = z.looseObject(samplingFields)
export type SamplingFields = z.output<typeof fields>

/** Fields we know, cannot serve, and must not ignore: the answer would not be what was asked for. */
const REFUSED: { [field: string]: string } = {
  grammar: "A grammar in GBNF (use 'structured_outputs' with a 'grammar' in Lark)",
}

export const refuseUnsupported = (body: { [field: string]: unknown }): void => {
  for (const [field, what] of Object.entries(REFUSED)) {
    const value = body[field]
    if (value !== undefined && value !== null && value !== false) throw unsupported(field, what)
  }
}

const withinVocabulary = (
  ids: number[],
  field: string,
  { realVocabulary: vocabulary }: ModelInfo
): number[] => {
  const at = ids.findIndex((id) => id >= vocabulary)
  if (at >= 0)
    throw invalid(
      `${field}[${at}]`,
      `Invalid value for '${field}[${at}]': token ${ids[at]} is outside the vocabulary of ${vocabulary}`
    )
  return ids
}

const biases = (
  bias: { [id: string]: number },
  { realVocabulary: vocabulary }: ModelInfo
): Sampling['logitBias'] => {
  const entries = Object.entries(bias)
  if (entries.length > MAX_BIASES)
    throw invalid('logit_bias', `'logit_bias' may name at most ${MAX_BIASES} tokens`)
  return entries.map(([key, value]) => {
    if (!/^\d{1,10}$/.test(key) || Number(key) >= vocabulary)
      throw invalid(
        'logit_bias',
        `Invalid key in 'logit_bias': '${key.slice(0, 50)}' is not a token id below ${vocabulary}`
      )
    return [Number(key), value]
  })
}

const exactSeed = (seed: number | null | undefined): number | bigint | undefined => {
  if (seed === null || seed === undefined) return undefined
  return Number.isSafeInteger(seed) ? seed : BigInt.asIntN(64, BigInt(seed))
}

/** What a search cannot heed: it takes the likeliest as they are, and nothing before its end. */
const UNSEARCHED = {
  stream: (value) => value === true,
  temperature: (value) => value !== 0,
  stop: (value) => value !== '' && !(Array.isArray(value) && value.length === 0),
  min_tokens: (value) => value !== 0,
  logit_bias: (value) => Object.keys(value as object).length > 0,
  bad_words: (value) => (value as unknown[]).length > 0,
  allowed_token_ids: () => true,
  logprob_token_ids: () => true,
  prompt_logprobs: () => true,
  presence_penalty: (value) => value !== 0,
  frequency_penalty: (value) => value !== 0,
  repetition_penalty: (value) => value !== 1,
  include_stop_str_in_output: (value) => value === true,
} satisfies { [field in keyof SamplingFields]: (value: unknown) => boolean }

/** How the likeliest answers are searched for; undefined where they are sampled. */
export const beamsOf = (
  request: SamplingFields,
  { eosTokenIds }: ModelInfo,
  width: number
): Beams | undefined => {
  if (!request.use_beam_search) {
    if (typeof request.length_penalty === 'number' && request.length_penalty !== 1)
      throw invalid('length_penalty', `'length_penalty' is only allowed with 'use_beam_search'`)
    return undefined
  }
  for (const [field, matters] of Object.entries(UNSEARCHED)) {
    const value = request[field as keyof typeof UNSEARCHED]
    if (value !== undefined && value !== null && matters(value))
      throw invalid(field, `'${field}' cannot go with 'use_beam_search'; leave it out`)
  }
  return {
    width,
    lengthPenalty: request.length_penalty ?? 1,
    ends: new Set([...(request.ignore_eos ? [] : eosTokenIds), ...(request.stop_token_ids ?? [])]),
  }
}

/** How many candidates each token of the prompt is scored with; undefined where it is not. */
export const promptLogprobsOf = (request: SamplingFields): number | undefined => {
  const { prompt_logprobs: wanted, stream } = request
  if (typeof wanted === 'number' && stream)
    throw invalid(
      'prompt_logprobs',
      `'prompt_logprobs' come with whole answers only; leave out 'stream' or 'prompt_logprobs'`
    )
  return wanted ?? undefined
}

/** How many candidates an answer shows: those asked for, or the named ones and the chosen token, where they are more. */
export const shownLogprobs = (
  request: SamplingFields,
  logprobs: number | undefined
): number | undefined => {
  const named = request.logprob_token_ids?.length ?? 0
  if (named === 0) return logprobs
  if (logprobs === undefined)
    throw invalid(
      'logprob_token_ids',
      `'logprob_token_ids' names tokens for log-probabilities, which this request does not ask for; ask for those too`
    )
  return Math.max(logprobs, named + 1)
}

/** How one sequence is sampled: the request's word, then the model's, then OpenAI's. */
export const samplingOf = (
  request: SamplingFields,
  defaults: SamplingDefaults,
  info: ModelInfo,
  bounds: { maxTokens: number; logprobs?: number; badWords: number[][] }
): Sampling => {
  const minTokens = request.min_tokens ?? 0
  if (minTokens > bounds.maxTokens)
    throw invalid(
      'min_tokens',
      `'min_tokens' is ${minTokens}, more than the ${bounds.maxTokens} tokens the answer may have`
    )
  if (request.allowed_token_ids?.length === 0)
    throw invalid('allowed_token_ids', `'allowed_token_ids' must not be empty`)
  const stop = request.stop ?? []
  const sampling: Sampling = {
    temperature: request.temperature ?? defaults.temperature ?? 1,
    topK: Math.max(request.top_k ?? defaults.topK ?? 0, 0),
    // OpenAI lets it be 0, which keeps the likeliest token only.
    topP: Math.max(request.top_p ?? defaults.topP ?? 1, Number.EPSILON),
    minP: request.min_p ?? defaults.minP ?? 0,
    repetitionPenalty: request.repetition_penalty ?? defaults.repetitionPenalty ?? 1,
    presencePenalty: request.presence_penalty ?? 0,
    frequencyPenalty: request.frequency_penalty ?? 0,
    logitBias: biases(request.logit_bias ?? {}, info),
    minTokens,
    maxTokens: bounds.maxTokens,
    ignoreEos: request.ignore_eos ?? false,
    stopTokenIds: withinVocabulary(request.stop_token_ids ?? [], 'stop_token_ids', info),
    stopStrings: typeof stop === 'string' ? [stop] : stop,
    includeStop: request.include_stop_str_in_output ?? false,
    badWords: bounds.badWords,
  }
  const seed = exactSeed(request.seed)
  if (seed !== undefined) sampling.seed = seed
  if (bounds.logprobs !== undefined) sampling.logprobs = bounds.logprobs
  if (request.logprob_token_ids?.length)
    sampling.logprobTokenIds = withinVocabulary(
      request.logprob_token_ids,
      'logprob_token_ids',
      info
    )
  if (request.allowed_token_ids)
    sampling.allowedTokenIds = withinVocabulary(
      request.allowed_token_ids,
      'allowed_token_ids',
      info
    )
  return sampling
}

/** What both routes ask of a stream's shape. */
export interface Delivery {
  stream: boolean
  usage: 'none' | 'end' | 'always'
  tokenIds: boolean
  tokensAsIds: boolean
}

export const deliveryOf = (
  request: SamplingFields,
  settings: { forceIncludeUsage: boolean; returnTokensAsTokenIds: boolean }
): Delivery => {
  const stream = request.stream ?? false
  const options = request.stream_options
  if (options && !stream)
    throw invalid('stream_options', `'stream_options' is only allowed when 'stream' is true`)
  const atEnd = options?.include_usage || settings.forceIncludeUsage
  return {
    stream,
    usage: options?.continuous_usage_stats && atEnd ? 'always' : atEnd ? 'end' : 'none',
    tokenIds: request.return_token_ids ?? false,
    tokensAsIds: request.return_tokens_as_token_ids ?? settings.returnTokensAsTokenIds,
  }
}
