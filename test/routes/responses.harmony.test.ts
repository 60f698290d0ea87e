// Responses through gpt-oss's own template and parser, over a scripted engine: events, turns that follow, the dry run.
import { describe, expect, it } from 'vitest'
import { gptOssFamily } from '../../src/families/gpt-oss/index.ts'
import type { StepScript } from '../scripted.ts'
import { constant, harmonyOver, tools, typesOf } from './events.ts'

let today = '2026-03-07'
const family = gptOssFamily({ currentDate: () => today })

const over = (...rounds: StepScript[][]) => harmonyOver(rounds, { family })

const NEXT = '<|end|><|start|>assistant'
const THOUGHT = `<|channel|>analysis<|message|>Hm${NEXT}`
const CALL = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>'
const FINAL = '<|channel|>final<|message|>'

describe('gpt-oss in responses', () => {
  it('thinks and calls in the order of events clients know', async () => {
    const { stream, create } = over([THOUGHT, CALL, '{"a":', ' 1.0}'])
    const events = await stream({ tools })
    expect(typesOf(events)).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'reasoning_text.delta',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ])
    const { response } = events.at(-1)
    expect(response.output[1]).toMatchObject({ name: 'f', arguments: '{"a": 1.0}' })
    // One token a byte.
    expect(response.usage.output_tokens_details.reasoning_tokens).toBe(2)
    expect(constant((await create({ tools })).body)).toEqual(constant(response))
  })

  it('goes on after a call with the thought that led to it, and without it after an answer', async () => {
    const { create, prompt } = over([THOUGHT, CALL, '{"a":1}'], [FINAL, 'Sunny'], [FINAL, 'Yes'])
    const first = (await create({ tools })).body
    const { call_id } = first.output[1]
    const output = { type: 'function_call_output', call_id, output: 'sun' }
    const link = { previous_response_id: first.id, tools }
    const second = (await create({ ...link, input: [output] })).body
    expect(prompt()).toContain('<|channel|>analysis<|message|>Hm<|end|>')
    expect(prompt()).toContain('{"a":1}<|call|>')
    expect(prompt()).toMatch(/functions\.f to=assistant<\|channel\|>commentary<\|message\|>"?sun/)
    expect(second.output[0].content[0].text).toBe('Sunny')
    await create({ previous_response_id: second.id, input: 'Sure?' })
    expect(prompt()).not.toContain('<|channel|>analysis<|message|>Hm')
    expect(prompt()).toContain('Sunny<|end|>')
  })

  it('keeps the day a conversation began, whatever day it goes on', async () => {
    const { create, prompt } = over([FINAL, 'a'])
    const first = (await create()).body
    today = '2026-03-08'
    const second = (await create({ previous_response_id: first.id, input: 'b' })).body
    expect(prompt()).toContain('Current date: 2026-03-07')
    today = '2026-03-09'
    await create({ previous_response_id: second.id, input: 'c' })
    expect(prompt()).toContain('Current date: 2026-03-07')
    await create()
    expect(prompt()).toContain('Current date: 2026-03-09')
    const chat_template_kwargs = { current_date: '2020-02-02' }
    await create({ previous_response_id: second.id, input: 'c', chat_template_kwargs })
    expect(prompt()).toContain('Current date: 2020-02-02')
    today = '2026-03-07'
  })

  it('shows its prompt as the chat route does', async () => {
    const { create, post, prompt } = over([FINAL, 'a'])
    const first = (await create({ input: 'Hi' })).body
    const body = { previous_response_id: first.id, input: 'More', instructions: 'Be brief', tools }
    const shown = await post('/v1/responses/render', body)
    expect(shown.status).toBe(200)
    await create(body)
    expect(shown.body.prompt).toBe(prompt())
    const messages = [
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'a' },
      { role: 'user', content: 'More' },
    ]
    const inChat = { messages, tools: [{ type: 'function', function: { name: 'f' } }] }
    expect((await post('/v1/chat/completions/render', inChat)).body).toEqual(shown.body)
    const none = await post('/v1/responses/render', { input: [] })
    expect([none.status, none.body.error.param]).toEqual([400, 'input'])
  })
})
