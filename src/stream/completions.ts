// Renders events as Completions choices, streamed or whole, with the prompt echoed where asked; routes/completions.ts asks.
import type { GenerationEvent, Token } from '../events.ts'
import { floored, type PromptScore, tokenText, wirePromptLogprobs } from './logprobs.ts'

export interface CompletionLogprobs {
  text_offset: number[]
  token_logprobs: (number | null)[]
  tokens: string[]
  top_logprobs: ({ [token: string]: number } | null)[]
}

export interface CompletionPart {
  text: string
  logprobs: CompletionLogprobs | null
  finish: 'stop' | 'length' | null
  stop: string | number | null
  tokenIds: number[]
}

export interface CompletionShape {
  /** Undefined without logprobs; else how many candidates beside the chosen token. */
  logprobs?: number
  tokensAsIds: boolean
  tokenIds: boolean
  echo: boolean
  /** Shows the prompt's scores in vLLM's form too. */
  promptLogprobs: boolean
  bytesOf: (id: number) => Uint8Array
}

export interface CompletionPrompt {
  ids: Uint32Array
  text: string
}

interface Scored {
  id: number
  bytes: Uint8Array
  /** Bytes that show in the text. */
  visible: number
  /** Null where nothing precedes the token. */
  logprob: number | null
  top: { id: number; bytes: Uint8Array; logprob: number }[]
}

const nothing = (): CompletionLogprobs => ({
  text_offset: [],
  token_logprobs: [],
  tokens: [],
  top_logprobs: [],
})

/** Appends `more` to `all`. */
const join = (all: CompletionLogprobs, more: CompletionLogprobs): void => {
  all.text_offset.push(...more.text_offset)
  all.token_logprobs.push(...more.token_logprobs)
  all.tokens.push(...more.tokens)
  all.top_logprobs.push(...more.top_logprobs)
}

/** Renders the events of one choice. */
export class CompletionChoice {
  private shape: CompletionShape
  private prompt: CompletionPrompt
  private offset = 0
  /** Counts the text's length as it grows, whatever tokens split its characters. */
  private decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  private echoed: boolean
  private scores: PromptScore[] | undefined

  constructor(shape: CompletionShape, prompt: CompletionPrompt) {
    this.shape = shape
    this.prompt = prompt
    this.echoed = !shape.echo
  }

  private best({ id, bytes, logprob, top }: Scored): { [token: string]: number } | null {
    if (logprob === null) return null
    const best: { [token: string]: number } = {}
    for (const one of [...top.slice(0, this.shape.logprobs), { id, bytes, logprob }]) {
      const text = tokenText(one, this.shape.tokensAsIds)
      // Parts of characters may look alike; the likeliest keeps the name.
      if (!Object.hasOwn(best, text)) best[text] = floored(one.logprob)
    }
    return best
  }

  private logprobsOf(tokens: Scored[]): CompletionLogprobs {
    const all = nothing()
    for (const token of tokens) {
      all.text_offset.push(this.offset)
      all.tokens.push(tokenText(token, this.shape.tokensAsIds))
      all.token_logprobs.push(token.logprob === null ? null : floored(token.logprob))
      all.top_logprobs.push(this.best(token))
      const shown = token.bytes.subarray(0, token.visible)
      this.offset += this.decoder.decode(shown, { stream: true }).length
    }
    return all
  }

  private generated(tokens: Token[]): CompletionLogprobs | null {
    if (this.shape.logprobs === undefined || tokens.length === 0) return null
    return this.logprobsOf(
      tokens.map((token) => ({ ...token, logprob: token.logprob ?? null, top: token.top ?? [] }))
    )
  }

  private prompted(tokens: PromptScore[] | undefined): CompletionLogprobs | null {
    if (this.shape.logprobs === undefined || !tokens) return null
    const { bytesOf } = this.shape
    return this.logprobsOf(
      tokens.map(({ id, logprob, top }) => {
        const bytes = bytesOf(id)
        const named = top.map((one) => ({ ...one, bytes: bytesOf(one.id) }))
        return { id, bytes, visible: bytes.length, logprob, top: named }
      })
    )
  }

  private echo(tokens: PromptScore[] | undefined): CompletionPart[] {
    if (this.echoed) return []
    this.echoed = true
    const { text, ids } = this.prompt
    return [{ text, logprobs: this.prompted(tokens), finish: null, stop: null, tokenIds: [...ids] }]
  }

  /** The parts an event becomes; where the prompt is echoed it comes first. */
  push(event: GenerationEvent, promptLogprobs?: PromptScore[]): CompletionPart[] {
    this.scores ??= promptLogprobs
    const parts = this.echo(promptLogprobs)
    const tokens = event.tokens ?? []
    const ends = event.type === 'finish'
    parts.push({
      text: event.type === 'text' ? event.text : '',
      logprobs: this.generated(tokens),
      finish: ends ? (event.reason === 'length' ? 'length' : 'stop') : null,
      stop: ends ? event.stop : null,
      tokenIds: tokens.map(({ id }) => id),
    })
    return parts.filter(
      ({ text, logprobs, finish, tokenIds }) =>
        text !== '' ||
        logprobs !== null ||
        finish !== null ||
        (this.shape.tokenIds && tokenIds.length > 0)
    )
  }

  /** One part as the JSON of a chunk's choice. */
  json(index: number, part: CompletionPart, first: boolean): string {
    return JSON.stringify(this.wire(index, part, first))
  }

  private wire(index: number, part: CompletionPart, first: boolean) {
    return {
      index,
      text: part.text,
      logprobs: part.logprobs,
      finish_reason: part.finish,
      ...(part.stop === null ? {} : { stop_reason: part.stop }),
      ...(this.shape.tokenIds ? { token_ids: part.tokenIds } : {}),
      ...(this.shape.promptLogprobs && this.scores
        ? { prompt_logprobs: wirePromptLogprobs(this.scores, this.shape.bytesOf) }
        : {}),
      ...(this.shape.tokenIds && first ? { prompt_token_ids: [...this.prompt.ids] } : {}),
    }
  }

  /** The whole choice: the fold of the parts the stream would have sent. */
  whole(index: number, parts: CompletionPart[]) {
    const logprobs = this.shape.logprobs === undefined ? null : nothing()
    for (const part of parts) if (logprobs && part.logprobs) join(logprobs, part.logprobs)
    const last = parts.at(-1)
    const part: CompletionPart = {
      text: parts.map(({ text }) => text).join(''),
      logprobs,
      finish: last?.finish ?? 'stop',
      stop: last?.stop ?? null,
      tokenIds: parts.flatMap(({ tokenIds }) => tokenIds),
    }
    return this.wire(index, part, true)
  }
}
