// A conversation held through the chat route of an app without a socket; `seed-server chat` prints what it yields.
import type { Engine } from '../../engine.ts'

export interface Message {
  role: 'developer' | 'user' | 'assistant'
  content: string
  reasoning?: string
}

/** What a piece of an answer brings: by kind, and as the model wrote it. */
export interface Delta {
  reasoning?: string
  content?: string
  call?: string
  raw: string
}

/** The part of a chunk that is read here. */
interface Chunk {
  error?: { message: string }
  choices?: {
    delta: {
      content?: string | null
      reasoning?: string | null
      tool_calls?: { function?: { name?: string; arguments?: string } }[] | null
    }
    token_ids?: number[]
  }[]
}

interface App {
  request(path: string, init: RequestInit): Response | Promise<Response>
}

/** The data of an event stream, one JSON a frame; the signal ends it. */
async function* framesOf(
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal
): AsyncGenerator<Chunk, undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  const leave = (): void => void reader.cancel()
  signal.addEventListener('abort', leave)
  try {
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return undefined
      const frames = `${rest}${decoder.decode(value, { stream: true })}`.split('\n\n')
      rest = frames.pop()!
      for (const frame of frames)
        if (frame.startsWith('data: {')) yield JSON.parse(frame.slice('data: '.length)) as Chunk
    }
  } finally {
    signal.removeEventListener('abort', leave)
    leave()
  }
}

export class Talk {
  private app: App
  private engine: Engine
  private messages: Message[]
  private fields: object

  /** `fields` go with each request. */
  constructor(app: App, engine: Engine, instructions: Message[], fields: object) {
    this.app = app
    this.engine = engine
    this.messages = instructions
    this.fields = fields
  }

  private async post(path: string, fields: object): Promise<Response> {
    const response = await this.app.request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...this.fields, ...fields }),
    })
    if (response.ok) return response
    const { error } = (await response.json()) as { error: { message: string } }
    throw new Error(error.message)
  }

  private async rendered(messages: Message[], open: boolean): Promise<string> {
    const fields = { messages, add_generation_prompt: open }
    const response = await this.post('/v1/chat/completions/render', fields)
    const { prompt } = (await response.json()) as { prompt: string }
    return prompt
  }

  /** The prompt that a message makes, without the turns before it. */
  async promptFor(said: string): Promise<string> {
    const begun = this.messages.some(({ role }) => role === 'user')
    const before = begun ? await this.rendered(this.messages, false) : ''
    const whole = await this.rendered([...this.messages, { role: 'user', content: said }], true)
    return whole.startsWith(before) ? whole.slice(before.length) : whole
  }

  /** The answer as it comes. What fails is as if it had not been said; what was cut short by the signal has. */
  async *answer(said: string, signal: AbortSignal): AsyncGenerator<Delta, undefined> {
    const messages: Message[] = [...this.messages, { role: 'user', content: said }]
    const fields = { messages, stream: true, return_token_ids: true }
    const response = await this.post('/v1/chat/completions', fields)
    const decoder = new TextDecoder()
    const answer: Message = { role: 'assistant', content: '', reasoning: '' }
    for await (const { error, choices } of framesOf(response.body!, signal)) {
      if (error) throw new Error(error.message)
      for (const { delta, token_ids: ids = [] } of choices ?? []) {
        answer.content += delta.content ?? ''
        answer.reasoning += delta.reasoning ?? ''
        const bytes = ids.map((id) => this.engine.tokenBytes(id))
        yield {
          ...(delta.reasoning ? { reasoning: delta.reasoning } : {}),
          ...(delta.content ? { content: delta.content } : {}),
          ...callIn(delta.tool_calls ?? []),
          raw: decoder.decode(Buffer.concat(bytes), { stream: true }),
        }
      }
    }
    this.messages = [...messages, answer]
    return undefined
  }
}

const callIn = (
  calls: { function?: { name?: string; arguments?: string } }[]
): { call?: string } => {
  const text = calls
    .map(({ function: call }) => `${call?.name ? `${call.name} ` : ''}${call?.arguments ?? ''}`)
    .join('')
  return text === '' ? {} : { call: text }
}
