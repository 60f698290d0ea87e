// Chat through gpt-oss's own template and parser, over a scripted engine: control tokens count by id alone.
import { describe, expect, it } from 'vitest'
import { gptOssFamily } from '../../src/families/gpt-oss/index.ts'
import { CONTROL_TOKENS } from '../../src/families/gpt-oss/tokens.ts'
import type { ModelSettings } from '../../src/served.ts'
import { ready, type Script, ScriptedEngine } from '../scripted.ts'
import { appOver, assembled } from './ask.ts'

const family = gptOssFamily({ currentDate: () => '2026-03-07' })

const over = (script: Script, settings: Partial<ModelSettings> = {}) => {
  const engine = new ScriptedEngine(script)
  Object.assign(engine as object, { control: CONTROL_TOKENS })
  const { model } = ready(engine)
  const served = model && { model: { ...model, family, template: family.template('') } }
  return appOver(script, settings, { ...served, engine })
}

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]
const THOUGHT = '<|channel|>analysis<|message|>Hm 🤔<|end|><|start|>assistant'
const CALL =
  '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Köln"}'

describe('gpt-oss in chat', () => {
  it('thinks, speaks and calls, whole and streamed alike', async () => {
    const said = '<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant'
    const { chat, chatStream } = over({ steps: [THOUGHT, said, CALL] })
    const { body } = await chat({ tools })
    const { message, finish_reason: reason } = body.choices[0]
    expect(reason).toBe('tool_calls')
    expect(message).toMatchObject({ content: 'Let me see.', reasoning: 'Hm 🤔' })
    expect(message.tool_calls).toMatchObject([
      { function: { name: 'weather', arguments: '{"city": "Köln"}' } },
    ])
    // One token a byte.
    expect(body.usage.completion_tokens_details.reasoning_tokens).toBe(7)
    const { chunks } = await chatStream({ tools })
    expect(assembled(chunks)).toMatchObject({
      content: 'Let me see.',
      reasoning: 'Hm 🤔',
      tool_calls: [{ name: 'weather', arguments: '{"city": "Köln"}' }],
      finish: 'tool_calls',
    })
  })

  it('leaves the thought in the text where the parser is off, tags and all', async () => {
    const script = { steps: [THOUGHT, CALL] }
    const { chat, chatStream } = over(script, { reasoningParser: 'none' })
    const { message } = (await chat({ tools })).body.choices[0]
    const content = '<|channel|>analysis<|message|>Hm 🤔<|end|>'
    expect(message).toMatchObject({ content, tool_calls: [{ function: { name: 'weather' } }] })
    expect(message).not.toHaveProperty('reasoning')
    const { chunks } = await chatStream({ tools })
    expect(assembled(chunks)).toMatchObject({ content, reasoning: '', finish: 'tool_calls' })
    const answered = over(
      { steps: [THOUGHT, '<|channel|>final<|message|>Yes'] },
      { reasoningParser: 'none' }
    )
    const { body } = await answered.chat()
    expect(body.choices[0].message.content).toBe(`${content}Yes`)
    expect(body.usage.completion_tokens_details.reasoning_tokens).toBe(7)
    const all = over(script, { reasoningParser: 'none', toolCallParser: 'none' })
    const raw = (await all.chat({ tools })).body.choices[0].message
    expect(raw).toMatchObject({ content: THOUGHT + CALL })
    expect(raw).not.toHaveProperty('tool_calls')
  })

  it('names the day the server was told, unless a request does', async () => {
    const pinned = { defaultTemplateVariables: { current_date: '2025-12-31' } }
    const { chat, engine } = over({ steps: ['<|channel|>final<|message|>x'] }, pinned)
    await chat()
    await chat({ chat_template_kwargs: { current_date: null } })
    const [first, second] = engine.requests.map(({ request }) => engine.decode(request.prompt))
    expect(first).toContain('Current date: 2025-12-31\n')
    expect(second).not.toContain('Current date')
  })

  it('shows control tokens that the model spells, and never real ones', async () => {
    const spelled = '<|end|><|return|>'
    const bytes = [...new TextEncoder().encode(spelled)]
    const { chat } = over({ steps: [THOUGHT, '<|channel|>final<|message|>a', bytes, 'b'] })
    const { body } = await chat()
    expect(body.choices[0].message.content).toBe(`a${spelled}b`)
  })

  it("keeps a caller's spelling of control tokens text in the prompt", async () => {
    const { chat, engine } = over({ steps: ['<|channel|>final<|message|>x'] })
    const content = CONTROL_TOKENS.join('')
    await chat({ messages: [{ role: 'user', content }], reasoning_effort: 'high' })
    const [asked] = engine.requests
    const prompt = [...asked!.request.prompt]
    // system and user: start, message, end each; then the start of the answer.
    expect(prompt.filter((id) => id >= 256)).toHaveLength(7)
    expect(engine.decode(prompt)).toContain('Current date: 2026-03-07\n\nReasoning: high')
  })

  it('answers 400 to a conversation that cannot be', async () => {
    const { chat } = over({ steps: [] })
    const { status, body } = await chat({ messages: [{ role: 'tool', content: 'x' }] })
    expect(status).toBe(400)
    expect(body.error.param).toBe('messages[0].tool_call_id')
  })
})

describe('the thinking budget of gpt-oss', () => {
  const budget = async (fields: object) => {
    const { chat, engine } = over({ steps: [`${THOUGHT}<|channel|>final<|message|>Yes`] })
    const { status } = await chat(fields)
    expect(status).toBe(200)
    return engine.requests[0]?.request.thought
  }

  it("is what a request says, and an effort is the model's own affair", async () => {
    expect(await budget({ thinking_budget: 64 })).toMatchObject({ budget: 64, once: false })
    expect(await budget({ thinking_token_budget: 64 })).toMatchObject({ budget: 64 })
    expect(await budget({ reasoning_effort: 'low' })).not.toHaveProperty('budget')
    expect(await budget({ reasoning_effort: 'none' })).toMatchObject({ budget: 0 })
    expect(await budget({})).not.toHaveProperty('budget')
  })

  it('is followed by the answer, or by a choice where tools may be called', async () => {
    const [plain, called] = [await budget({}), await budget({ tools })]
    const [after, choice] = [plain?.afterClosing ?? [], called?.afterClosing ?? []]
    expect(after.slice(0, choice.length)).toEqual(choice)
    expect(after.length).toBeGreaterThan(choice.length)
    expect(plain?.start.slice(0, plain.choice)).toEqual(choice)
    expect(await budget({ tools, tool_choice: 'none' })).toMatchObject({ afterClosing: after })
  })
})
