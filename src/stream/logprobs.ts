// Log-probabilities and usage as the API shows them; stream/chat.ts and stream/completions.ts ask.
import type { Token, Usage } from '../events.ts'

/** JSON has no infinity; OpenAI and vLLM both stop here. */
const FLOOR = -9999

const lossy = new TextDecoder('utf-8', { ignoreBOM: true })

export const floored = (logprob: number | undefined): number =>
  logprob !== undefined && logprob > FLOOR ? logprob : FLOOR

/** A token as a string: its text, with U+FFFD for what is no whole character, or its id. */
export const tokenText = (token: { id: number; bytes: Uint8Array }, asIds: boolean): string =>
  asIds ? `token_id:${token.id}` : lossy.decode(token.bytes)

export interface ChatLogprob {
  token: string
  logprob: number
  bytes: number[]
  top_logprobs: { token: string; logprob: number; bytes: number[] }[]
}

export interface ChatLogprobs {
  content: ChatLogprob[]
  refusal: null
}

interface Candidate {
  id: number
  bytes: Uint8Array
  logprob?: number
}

export const chatLogprobs = (tokens: Token[], top: number, asIds: boolean): ChatLogprobs => {
  const one = (token: Candidate) => ({
    token: tokenText(token, asIds),
    logprob: floored(token.logprob),
    bytes: [...token.bytes],
  })
  return {
    content: tokens.map((token) => ({
      ...one(token),
      top_logprobs: (token.top ?? []).slice(0, top).map(one),
    })),
    refusal: null,
  }
}

/** A prompt's token as it was scored, as far as it is shown. */
export interface PromptScore {
  id: number
  /** Null for the first token, which nothing precedes. */
  logprob: number | null
  rank?: number | null
  top: { id: number; logprob: number }[]
}

export interface WireScore {
  logprob: number
  rank: number
  decoded_token: string
}

/** `prompt_logprobs` in vLLM's form: for each token of the prompt its rivals and itself by id, null for the first. */
export const wirePromptLogprobs = (
  scores: PromptScore[],
  bytesOf: (id: number) => Uint8Array
): ({ [id: string]: WireScore } | null)[] =>
  scores.map(({ id, logprob, rank, top }) => {
    if (logprob === null) return null
    const one = (token: number, score: number, place: number): [string, WireScore] => [
      String(token),
      { logprob: floored(score), rank: place, decoded_token: lossy.decode(bytesOf(token)) },
    ]
    const rivals = top.map((rival, n) => one(rival.id, rival.logprob, n + 1))
    return Object.fromEntries([...rivals, one(id, logprob, rank ?? 1)])
  })

export interface WireUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number; audio_tokens: number }
  completion_tokens_details: {
    reasoning_tokens: number
    audio_tokens: number
    accepted_prediction_tokens: number
    rejected_prediction_tokens: number
  }
}

export const wireUsage = (usage: Usage): WireUsage => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  prompt_tokens_details: { cached_tokens: usage.cachedTokens, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: usage.reasoningTokens,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
})

/** The usage of one request: what is generated counts for each choice, a prompt once for all its choices. */
export class UsageTally {
  private total: Usage
  private perPrompt: number

  constructor(promptTokens: number, choicesPerPrompt: number) {
    this.perPrompt = choicesPerPrompt
    this.total = { promptTokens, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 }
  }

  /** Tokens that came since; only a choice's end says how many of them were thought. */
  generated(tokens: number): void {
    this.total.completionTokens += tokens
  }

  /** Counts of a choice that ended, of which `seen` tokens were counted before. */
  finished(index: number, usage: Usage, seen: number): void {
    this.total.completionTokens += usage.completionTokens - seen
    this.total.reasoningTokens += usage.reasoningTokens
    if (index % this.perPrompt === 0) this.total.cachedTokens += usage.cachedTokens
  }

  get wire(): WireUsage {
    return wireUsage(this.total)
  }
}
