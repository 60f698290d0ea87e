// Asks an app over a scripted engine and reads its answers, streamed ones included; tests of the routes use it.
import type { AppSettings, Lifecycle, ModelSettings } from '../../src/served.ts'
import { createApp } from '../../src/app.ts'
import { ready, type Script, ScriptedEngine, silentLog, someSettings } from '../scripted.ts'

// Answers are looked at field by field; their types are what is tested.
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = any

export interface Answer {
  status: number
  headers: Headers
  body: Any
}

export const appOver = (
  script: ScriptedEngine['script'] | Script,
  settings: Partial<AppSettings & ModelSettings> = {},
  {
    context,
    engine: given,
    ...lifecycle
  }: Partial<Lifecycle> & {
    context?: number
    engine?: ScriptedEngine
  } = {}
) => {
  const engine = given ?? new ScriptedEngine(script, context)
  const life = { ...ready(engine), ...lifecycle }
  if (life.model) life.model = { ...life.model, settings: { ...life.model.settings, ...settings } }
  const app = createApp(life, { ...someSettings, ...settings }, silentLog)
  const send = (path: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
    Promise.resolve(
      app.request(path, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...init,
        headers: { 'content-type': 'application/json', ...(init.headers as object) },
      })
    )
  const post = async (path: string, body: unknown, init?: RequestInit): Promise<Answer> => {
    const response = await send(path, body, init)
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
  const chat = (fields: object = {}): Promise<Answer> =>
    post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], ...fields })
  const get = async (path: string, init?: RequestInit): Promise<Answer> => {
    const response = await app.request(path, init)
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
  const stream = async (path: string, fields: object = {}): Promise<Frames> => {
    const body = path.includes('chat')
      ? { messages: [{ role: 'user', content: 'Hi' }], stream: true, ...fields }
      : { stream: true, ...fields }
    return framesOf(await send(path, body))
  }
  const chatStream = (fields: object = {}): Promise<Frames> =>
    stream('/v1/chat/completions', fields)
  return { app, engine, send, post, get, chat, stream, chatStream }
}

export interface Frames {
  response: Response
  text: string
  chunks: Any[]
  done: boolean
}

export const framesOf = async (response: Response): Promise<Frames> => {
  const text = await response.text()
  const data = text
    .split('\n\n')
    .filter((frame) => frame.startsWith('data: '))
    .map((frame) => frame.slice('data: '.length))
  const done = data.at(-1) === '[DONE]'
  const chunks = data.filter((json) => json !== '[DONE]').map((json) => JSON.parse(json) as Any)
  return { response, text, chunks, done }
}

/** Puts a stream's chunks for one choice back together, as a client does. */
export const assembled = (chunks: Any[], index = 0): Any => {
  const message: Any = { role: undefined, content: null, reasoning: '', tool_calls: [] }
  let finish: string | null = null
  for (const chunk of chunks) {
    const choice = chunk.choices?.find((one: Any) => one.index === index)
    if (!choice) continue
    const { delta } = choice
    if (delta.role) message.role = delta.role
    if (typeof delta.content === 'string') message.content = (message.content ?? '') + delta.content
    message.reasoning += delta.reasoning ?? ''
    for (const call of delta.tool_calls ?? []) {
      const known = (message.tool_calls[call.index] ??= { id: call.id, name: '', arguments: '' })
      known.name += call.function.name ?? ''
      known.arguments += call.function.arguments ?? ''
    }
    finish = choice.finish_reason ?? finish
  }
  return { ...message, finish }
}
