// Reads a Responses stream as clients do, and asks for one; tests of the responses routes use it.
import { expect } from 'vitest'
import type { AppSettings } from '../../src/served.ts'
import type { Family } from '../../src/conversation.ts'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { CONTROL_TOKENS } from '../../src/families/gpt-oss/tokens.ts'
import { ready, type Script, ScriptedEngine, type StepScript } from '../scripted.ts'
import { type Any, appOver } from './ask.ts'

export const CALL =
  '<seed:tool_call><function=f><parameter=a>1</parameter></function></seed:tool_call>'
export const tools = [{ type: 'function', name: 'f' }]

/** The events of a stream, each frame checked for its form and place. */
export const eventsOf = async (response: Response, first = 0): Promise<Any[]> => {
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const text = await response.text()
  expect(text).not.toContain('[DONE]')
  const frames = text.split('\n\n').filter((frame) => frame !== '')
  return frames.map((frame, n) => {
    const [, event, json] = /^event: (\S+)\ndata: (.*)$/.exec(frame) ?? []
    const data = JSON.parse(json!) as Any
    expect(data.type).toBe(event)
    expect(data.sequence_number).toBe(first + n)
    return data
  })
}

export const typesOf = (events: Any[]): string[] =>
  events.map(({ type }) => (type as string).replace(/^response\./, ''))

/** Without what is random or the time. */
export const constant = (response: Any): Any =>
  JSON.parse(
    JSON.stringify(response, (key, value: unknown) =>
      ['id', 'item_id', 'call_id', 'created_at', 'completed_at'].includes(key) ? 0 : value
    )
  )

export const responsesOver = (
  script: ScriptedEngine['script'] | Script,
  settings: Partial<AppSettings> = {},
  more: Parameters<typeof appOver>[2] = {}
) => {
  const over = appOver(script, settings, more)
  const create = (fields: object = {}, init?: RequestInit) =>
    over.post('/v1/responses', { input: 'Hi', ...fields }, init)
  const stream = async (fields: object = {}): Promise<Any[]> =>
    eventsOf(await over.send('/v1/responses', { input: 'Hi', stream: true, ...fields }))
  const remove = async (id: string) => {
    const response = await over.app.request(`/v1/responses/${id}`, { method: 'DELETE' })
    return { status: response.status, body: (await response.json()) as Any }
  }
  /** The prompt of the last request, as text. */
  const prompt = (): string =>
    over.engine.decode(over.engine.requests.at(-1)?.request.prompt ?? new Uint32Array())
  return { ...over, create, stream, remove, prompt }
}

/** gpt-oss, of which the engine answers with one list of steps after the other. */
export const harmonyOver = (
  rounds: StepScript[][],
  { family = gptOss, names, context }: { family?: Family; names?: string[]; context?: number } = {}
) => {
  const engine = new ScriptedEngine((_, nth) => ({ steps: rounds[nth] ?? rounds[0]! }), context)
  Object.assign(engine as object, { control: CONTROL_TOKENS })
  const { model } = ready(engine)
  const served = model && { ...model, family, template: family.template('') }
  if (served && names) served.names = names
  return responsesOver({ steps: [] }, {}, { ...(served ? { model: served } : {}), engine })
}
