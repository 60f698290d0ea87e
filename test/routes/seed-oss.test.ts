// Chat through Seed-OSS's own template and parser: what the toy family of the other tests cannot show.
import { describe, expect, it } from 'vitest'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { STOCK_TEMPLATE } from '../../src/families/seed-oss/stock.ts'
import type { AppSettings, ModelSettings } from '../../src/served.ts'
import { ready, type Script, ScriptedEngine } from '../scripted.ts'
import { type Any, appOver, assembled } from './ask.ts'

const template = seedOss.template(STOCK_TEMPLATE)

const over = (script: Script, settings: Partial<AppSettings & ModelSettings> = {}) => {
  const asked = appOver(script, settings)
  const { model } = ready(asked.engine)
  const lifecycle = model && { model: { ...model, family: seedOss, template } }
  return appOver(script, settings, { ...lifecycle, engine: asked.engine })
}

const tools = [
  {
    type: 'function',
    function: {
      name: 'weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' } },
        required: ['city'],
      },
    },
  },
]
const CALL =
  '<seed:tool_call>\n<function=weather>\n<parameter=city>Berlin</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>'
const THOUGHT =
  '<seed:think>\nhm <seed:cot_budget_reflect>I have used 2 tokens.</seed:cot_budget_reflect>\n</seed:think>\n'

const controls = (all: number[]): number => all.filter((id) => id >= 256).length

describe('Seed-OSS in chat', () => {
  it('thinks, speaks and calls, whole and streamed alike', async () => {
    const { chat, chatStream } = over({ steps: [THOUGHT, 'Let me see.\n', CALL, '\n', CALL] })
    const whole = (await chat({ tools })).body.choices[0]
    expect(whole.finish_reason).toBe('tool_calls')
    expect(whole.message.content).toContain('Let me see.')
    expect(whole.message.reasoning).toContain('hm')
    expect(whole.message.tool_calls).toHaveLength(2)
    for (const { function: call } of whole.message.tool_calls) {
      expect(call.name).toBe('weather')
      expect(JSON.parse(call.arguments)).toEqual({ city: 'Berlin', days: 2 })
    }
    const got = assembled((await chatStream({ tools })).chunks)
    expect(got).toMatchObject({
      content: whole.message.content,
      reasoning: whole.message.reasoning,
      finish: 'tool_calls',
    })
    expect(got.tool_calls.map((call: Any) => call.arguments)).toEqual(
      whole.message.tool_calls.map((call: Any) => call.function.arguments)
    )
  })

  it('calls with budget 0 while streaming (seed-oss #14)', async () => {
    const { chatStream, engine } = over({ steps: [...CALL] })
    const { chunks } = await chatStream({ tools, thinking_budget: 0 })
    expect(assembled(chunks)).toMatchObject({ content: null, finish: 'tool_calls' })
    const { thought, prompt } = engine.requests[0]?.request ?? {}
    expect(thought).toMatchObject({ budget: 0, openInPrompt: false })
    expect(engine.decode(prompt ?? [])).toMatch(/<\/seed:think>\s*$/)
  })

  it('renders the budget and the tools into the prompt', async () => {
    const { post } = over({ steps: [] })
    const rendered = async (content: string) => {
      const fields = { messages: [{ role: 'user', content }], tools, thinking_budget: 512 }
      return (await post('/v1/chat/completions/render', fields)).body
    }
    const { prompt, prompt_token_ids: ids } = await rendered('<seed:eos>')
    expect(prompt).toContain('the thinking budget, which is 512')
    expect(prompt).toContain('def weather(')
    // The caller's own marker is text: no more control tokens than with an innocent message.
    expect(controls(ids)).toBe(controls((await rendered('x')).prompt_token_ids))
  })

  it('tells which field cannot be rendered', async () => {
    const { chat } = over({ steps: ['x'] })
    const call = { id: '1', type: 'function', function: { name: 'f', arguments: '{broken' } }
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', tool_calls: [call] },
    ]
    const { status, body } = await chat({ messages })
    expect(status).toBe(400)
    expect(body.error.param).toMatch(/^messages\[1\]/)
  })

  it('leaves the thought in the text where the parser is off', async () => {
    const text = '<seed:think>\nhm</seed:think>\nYes'
    const both = over({ steps: [text] }, { reasoningParser: 'none', toolCallParser: 'none' })
    expect((await both.chat()).body.choices[0].message.content).toBe(text)
    const thought = over({ steps: [text, CALL] }, { reasoningParser: 'none' })
    const { message } = (await thought.chat({ tools })).body.choices[0]
    expect(message.content.replace(/\s/g, '')).toBe(text.replace(/\s/g, ''))
    expect(message.tool_calls).toHaveLength(1)
    const calls = over({ steps: [text, CALL] }, { toolCallParser: 'none' })
    expect((await calls.chat({ tools })).body.choices[0].message).toMatchObject({
      content: expect.stringContaining(CALL),
      reasoning: expect.stringContaining('hm'),
    })
  })
})

describe('a megabyte of arguments', () => {
  /** Streams a call with so many pieces of 1000 letters, and counts what was parsed and sent for it. */
  const work = async (pieces: number) => {
    const letters = Array.from({ length: pieces }, () => 'x'.repeat(1000))
    const begin = '<seed:tool_call>\n<function=weather>\n<parameter=city>'
    const end = '</parameter>\n</function>\n</seed:tool_call>'
    const engine = new ScriptedEngine({ steps: [begin, ...letters, end] }, 1 << 22)
    const { model } = ready(engine)
    let parsed = 0
    const family: typeof seedOss = {
      ...seedOss,
      parser(options) {
        const parser = seedOss.parser(options)
        const push = parser.push.bind(parser)
        parser.push = (text) => {
          parsed += text.length
          const events = push(text)
          for (const event of events) if ('text' in event) parsed += event.text.length
          return events
        }
        return parser
      },
    }
    const lifecycle = model && { model: { ...model, family, template } }
    const { chatStream } = appOver({ steps: [] }, {}, { ...lifecycle, engine })
    const { chunks, text } = await chatStream({ tools })
    expect(JSON.parse(assembled(chunks).tool_calls[0].arguments).city).toHaveLength(pieces * 1000)
    return { parsed, sent: text.length, chunks: chunks.length }
  }

  it('costs twice what half of it costs', async () => {
    const [half, whole] = [await work(500), await work(1000)]
    for (const key of ['parsed', 'sent', 'chunks'] as const) {
      expect(whole[key] / half[key]).toBeGreaterThan(1.9)
      expect(whole[key] / half[key]).toBeLessThan(2.1)
    }
  }, 30_000)
})
