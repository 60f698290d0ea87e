// What other servers of gpt-oss got wrong, one test for each, by the numbers and words of their bug reports: here it goes right.
import { describe, expect, it } from 'vitest'
import { gptOssFamily } from '../../src/families/gpt-oss/index.ts'
import { CONTROL_TOKENS } from '../../src/families/gpt-oss/tokens.ts'
import { ready, ScriptedEngine, type StepScript } from '../scripted.ts'
import { type Any, assembled } from './ask.ts'
import { constant, responsesOver } from './events.ts'

let today = '2026-03-07'
const family = gptOssFamily({ currentDate: () => today })

/** Answers with one list of steps after the other, the last again and again. */
const over = (...rounds: (StepScript[] | Any)[]) => {
  const scripts = rounds.map((round) => (Array.isArray(round) ? { steps: round } : round) as Any)
  const engine = new ScriptedEngine((_, nth) => scripts[nth] ?? scripts.at(-1))
  Object.assign(engine as object, { control: CONTROL_TOKENS })
  const { model } = ready(engine)
  const served = model && { model: { ...model, family, template: family.template('') } }
  return responsesOver({ steps: [] }, {}, { ...served, engine })
}

const parameters = { type: 'object', properties: { a: { type: 'number' } } }
const tools = ['f', 'g'].map((name) => ({ type: 'function', name, parameters }))
const chatTools = ['f', 'g'].map((name) => ({ type: 'function', function: { name, parameters } }))

const NEXT = '<|end|><|start|>assistant'
const THOUGHT = `<|channel|>analysis<|message|>Hm${NEXT}`
const FINAL = '<|channel|>final<|message|>'
const calling = (name: string, args = '{"a": 1.0}'): string =>
  `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${args}`

/** The text of a response's messages. */
const textOf = (response: Any): string =>
  response.output
    .filter((item: Any) => item.type === 'message')
    .map((item: Any) => item.content[0].text)
    .join('\n')

const thoughtOf = (response: Any): string =>
  response.output
    .filter((item: Any) => item.type === 'reasoning')
    .map((item: Any) => item.content[0].text)
    .join('\n')

const callsOf = (response: Any): Any[] =>
  response.output.filter((item: Any) => item.type === 'function_call')

/** What one output becomes through both APIs, whole and streamed, all of which must agree. */
const said = async (output: string, more: object = {}, chatMore: object = {}) => {
  const one = over([output])
  const whole = (await one.create(more)).body
  const events = await one.stream(more)
  expect(events.at(-1).type).toBe('response.completed')
  expect(constant(events.at(-1).response)).toEqual(constant(whole))
  const { message } = (await one.chat(chatMore)).body.choices[0]
  const streamed = assembled((await one.chatStream(chatMore)).chunks)
  expect(streamed.content ?? null).toEqual(message.content)
  expect(streamed.reasoning).toEqual(message.reasoning ?? '')
  const called = (message.tool_calls ?? []).map((call: Any) => call.function.arguments)
  expect(streamed.tool_calls.map((call: Any) => call.arguments)).toEqual(called)
  expect(message.content ?? '').toBe(textOf(whole))
  expect(message.reasoning ?? '').toBe(thoughtOf(whole))
  return { whole, message, text: textOf(whole), thought: thoughtOf(whole) }
}

const withTools = [{ tools }, { tools: chatTools }] as const

describe('calls', () => {
  it('1: of two that are planned, the second comes in the next round, nothing kept between', async () => {
    const { create, prompt } = over([THOUGHT, calling('f')], [calling('g', '{"a":2}')])
    const input: Any[] = [{ role: 'user', content: 'Both' }]
    const first = (await create({ input, tools, store: false })).body
    expect(callsOf(first).map(({ name }) => name)).toEqual(['f'])
    const [{ call_id }] = callsOf(first)
    input.push(...first.output, { type: 'function_call_output', call_id, output: '3' })
    const second = (await create({ input, tools, store: false })).body
    expect(prompt()).toContain('{"a": 1.0}<|call|><|start|>functions.f to=assistant')
    const [call] = callsOf(second)
    expect(call).toMatchObject({ name: 'g', arguments: '{"a":2}', status: 'completed' })
    expect(call.call_id).not.toBe(call_id)
  })

  it('1: two in one reply are two items, each with an id and a place of its own', async () => {
    const { stream } = over([`${calling('f')}${NEXT}${calling('g', '{"a":2}')}`])
    const events = await stream({ tools, parallel_tool_calls: true })
    const done = events.filter(({ type }) => type === 'response.function_call_arguments.done')
    expect(done.map(({ output_index: index, name }) => [index, name])).toEqual([
      [0, 'f'],
      [1, 'g'],
    ])
    const calls = callsOf(events.at(-1).response)
    expect(new Set(calls.flatMap(({ id, call_id }) => [id, call_id])).size).toBe(4)
  })

  it('9, 22: that are required or named are held to, with the thought before them', async () => {
    const choices = [
      ['required', 'required'],
      [
        { type: 'function', name: 'g' },
        { type: 'function', function: { name: 'g' } },
      ],
    ]
    for (const [own, inChat] of choices) {
      const { create, chat, engine } = over([THOUGHT, calling('g'), '<|call|>'])
      const { body } = await create({ tools, tool_choice: own })
      expect(body.output.map(({ type }: Any) => type)).toEqual(['reasoning', 'function_call'])
      const { message } = (await chat({ tools: chatTools, tool_choice: inChat })).body.choices[0]
      expect([message.content, message.reasoning, message.tool_calls.length]).toEqual([
        null,
        'Hm',
        1,
      ])
      const [grammar = '', other] = engine.grammars
      expect(other).toBe(grammar)
      expect(grammar).toMatch(/^start: \(analysis cont\)\* last$/m)
      expect(grammar).toMatch(/^last: call$/m)
      expect(grammar.includes('call_1')).toBe(own === 'required')
    }
  })

  it('10: with tool_choice none the model is shown no tools', async () => {
    const { create, chat, prompt } = over([FINAL, 'x'])
    await create({ tools, tool_choice: 'none' })
    expect(prompt()).not.toContain('functions')
    await chat({ tools: chatTools, tool_choice: 'none' })
    expect(prompt()).not.toContain('functions')
  })

  it.each(['analysis', 'commentary', 'final'])(
    '11: on the %s channel are calls',
    async (channel) => {
      const written = `<|channel|>${channel} to=functions.f <|constrain|>json<|message|>{"a":1}`
      const { whole, message } = await said(written, ...withTools)
      expect(whole.output).toMatchObject([
        { type: 'function_call', name: 'f', arguments: '{"a":1}' },
      ])
      expect(message.tool_calls).toMatchObject([{ function: { name: 'f', arguments: '{"a":1}' } }])
    }
  )

  it('12: have a clean name, with a channel glued to it or not, known or not', async () => {
    for (const header of [
      ' to=functions.create_event<|channel|>analysis<|message|>',
      '<|channel|>commentary to=functions.create_event<|channel|>analysis<|message|>',
    ]) {
      const { whole } = await said(`${header}{}`, ...withTools)
      expect(callsOf(whole)).toMatchObject([{ name: 'create_event', arguments: '{}' }])
    }
  })

  it('13: that nobody offered are the text that was written', async () => {
    const builtin = await said(
      '<|channel|>commentary to=browser.search code<|message|>{"query":"x"}'
    )
    expect(builtin.whole.output).toMatchObject([{ type: 'message' }])
    expect(builtin.text).toBe('{"query":"x"}')
    expect(builtin.message).not.toHaveProperty('tool_calls')
    expect((await said('<|channel|>commentary<|message|>Let me see.')).text).toBe('Let me see.')
  })

  it('18: cut by the limit are kept, as far as they came', async () => {
    const { create, chat, stream } = over([calling('f', '{"a": 1'), { end: 'length' }])
    const cut = { type: 'function_call', name: 'f', arguments: '{"a": 1', status: 'incomplete' }
    const incomplete = { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    expect((await create({ tools })).body).toMatchObject({ ...incomplete, output: [cut] })
    const last = (await stream({ tools })).at(-1)
    expect(last.type).toBe('response.incomplete')
    expect(last.response).toMatchObject({ ...incomplete, output: [cut] })
    const [choice] = (await chat({ tools: chatTools })).body.choices
    expect(choice.finish_reason).toBe('length')
    expect(choice.message.tool_calls[0].function.arguments).toBe('{"a": 1')
  })

  it.each(['print("hi")\n', '{"a":  1.50, "a": 2}', "{'a': None}", '"text"'])(
    '19: have the arguments that were written, whatever they are: %j',
    async (args) => {
      const { whole, message } = await said(calling('f', args), ...withTools)
      expect(callsOf(whole)[0].arguments).toBe(args)
      expect(message.tool_calls[0].function.arguments).toBe(args)
    }
  )
})

describe('events', () => {
  const script = [`${THOUGHT}<|channel|>commentary<|message|>I look${NEXT}`, calling('f')]

  it('2: have content_index from 0 in every item', async () => {
    const events = await over(script).stream({ tools })
    const indices = events.flatMap((event) => event.content_index ?? [])
    expect(indices.length).toBeGreaterThan(5)
    expect(new Set(indices)).toEqual(new Set([0]))
  })

  it('3: have output_index from 0 on, one up with each item', async () => {
    const events = await over(script).stream({ tools })
    const added = events.filter(({ type }) => type === 'response.output_item.added')
    expect(added.map(({ output_index: index }) => index)).toEqual([0, 1, 2])
    const indices = events.flatMap((event) => event.output_index ?? [])
    expect(indices).toEqual(indices.toSorted((a, b) => a - b))
  })

  it('4: have one id an item, in every event and in the response', async () => {
    const events = await over(script).stream({ tools })
    const { output } = events.at(-1).response
    for (const event of events.filter(({ output_index: index }) => index !== undefined)) {
      const item = output[event.output_index]
      expect(event.item_id ?? event.item.id).toBe(item.id)
      if (event.item?.call_id) expect(event.item.call_id).toBe(item.call_id)
    }
    const done = events.filter(({ type }) => type === 'response.output_item.done')
    expect(done.map(({ item }) => item)).toEqual(output)
    for (const id of output.map((item: Any) => item.id)) expect(id).toMatch(/^(rs|msg|fc)_\w{24}$/)
  })
})

describe('malformed output', () => {
  it.each([
    ['5: a header that is never closed', '<|channel|>final The answer is 4', 'The answer is 4'],
    ['6: tokens after the end', `${FINAL}Yes<|return|><|return|>stray<|message|>`, 'Yes'],
    ['6: a start twice', `${THOUGHT}<|start|><|start|>assistant${FINAL}Yes`, 'Yes'],
    ['6: a role twice', `<|start|>assistantassistant${FINAL}Yes`, 'Yes'],
    ['7: a refusal without a channel', "I'm sorry, I can't help.", "I'm sorry, I can't help."],
    ['7: a message without a channel', '<|message|>No.', 'No.'],
    ['8: ?? behind the channel', '<|channel|>final??<|message|>Yes', 'Yes'],
    ['8: commentary?', '<|channel|>commentary?<|message|>Yes', 'Yes'],
    ['8: two channels', '<|channel|>analysis<|channel|>final<|message|>Yes', 'Yes'],
    ['8: free text in the header', '<|channel|>final so it is <|message|>Yes', 'so it is Yes'],
  ])('%s costs no word and is no error', async (_, output, text) => {
    expect((await said(output)).text).toBe(text)
  })

  it('20: shows no marker to anybody, wherever one stands', async () => {
    for (const marker of CONTROL_TOKENS) {
      const { whole, message } = await said(`${THOUGHT}${FINAL}a${marker}b`)
      expect(JSON.stringify([whole.output, message])).not.toMatch(/<\||\|>/)
      expect(message.content.startsWith('a')).toBe(true)
    }
  })
})

describe('thoughts', () => {
  it('16: are told by their channel: an answer without one is an answer', async () => {
    const { text, thought } = await said(`${FINAL}Yes`)
    expect([text, thought]).toEqual(['Yes', ''])
  })

  it.each([1, 2, 3, 5])('17: may be %i messages long', async (count) => {
    const { text, thought } = await said(`${THOUGHT.repeat(count)}${FINAL}Yes`)
    expect(text).toBe('Yes')
    expect(thought).toBe(Array.from({ length: count }, () => 'Hm').join('\n'))
  })

  it('24: of several messages are joined the same, streamed and whole', async () => {
    const one = over([`${THOUGHT}<|channel|>analysis<|message|>So${NEXT}${FINAL}Yes`])
    const { message } = (await one.chat()).body.choices[0]
    expect(message.reasoning).toBe('Hm\nSo')
    expect(assembled((await one.chatStream()).chunks).reasoning).toBe('Hm\nSo')
    const deltas = (await one.stream()).filter(({ type }) => type.endsWith('reasoning_text.delta'))
    expect(deltas.map(({ delta }) => delta).join('')).toBe('Hm\nSo')
  })

  it('15: and cached tokens are counted exactly', async () => {
    const steps = [THOUGHT, `${THOUGHT}`, FINAL, 'Yes']
    const one = over({ steps, cachedTokens: 16 })
    const { usage } = (await one.create()).body
    // One token a byte: the two thoughts alone, without their headers.
    expect(usage.output_tokens_details).toEqual({ reasoning_tokens: 4 })
    expect(usage.input_tokens_details.cached_tokens).toBe(16)
    expect(usage.total_tokens).toBe(usage.input_tokens + usage.output_tokens)
    const inChat = (await one.chat()).body.usage
    expect(inChat.completion_tokens_details.reasoning_tokens).toBe(4)
    expect(inChat.prompt_tokens_details.cached_tokens).toBe(16)
  })
})

describe('turns that follow', () => {
  it('14: know the calls and results before them', async () => {
    const { create, prompt } = over([THOUGHT, calling('f')], [FINAL, 'Sunny'], [FINAL, 'Yes'])
    const first = (await create({ tools })).body
    const [{ call_id }] = callsOf(first)
    const output = [{ type: 'function_call_output', call_id, output: 'sun' }]
    const second = (await create({ previous_response_id: first.id, input: output, tools })).body
    await create({ previous_response_id: second.id, input: 'Sure?', tools })
    for (const part of ['to=functions.f', '{"a": 1.0}<|call|>', 'sun<|end|>', 'Sunny<|end|>'])
      expect(prompt()).toContain(part)
  })

  it('14: take every item as SDKs send it back', async () => {
    const { create, prompt } = over([FINAL, 'x'])
    const input = [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], content: null, encrypted_content: null },
      {
        type: 'message',
        id: 'msg_1',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Hello', annotations: [] }],
      },
      { role: 'assistant', content: 'Anything else?' },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}', status: null },
      { type: 'function_call_output', call_id: 'c', output: 'done', status: 'completed' },
    ]
    const { status, body } = await create({ input, tools })
    expect([status, body.error ?? null]).toEqual([200, null])
    for (const part of ['Hi<|end|>', 'Hello<|end|>', 'Anything else?<|end|>', 'done<|end|>'])
      expect(prompt()).toContain(part)
    const kept = body.output[0].id as string
    const again = await create({
      input: [{ type: 'item_reference', id: kept }, ...input.slice(0, 1)],
    })
    expect(again.status).toBe(200)
    expect(prompt()).toContain('x<|end|>')
  })

  it('21: write constrain as its token, not as text', async () => {
    const { create, engine } = over([FINAL, 'x'])
    const call = { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' }
    const output = { type: 'function_call_output', call_id: 'c', output: '1' }
    await create({ input: [{ role: 'user', content: 'Hi' }, call, output], tools })
    const prompt = [...engine.requests[0]!.request.prompt]
    expect(prompt.filter((id) => id === engine.tokenId('<|constrain|>'))).toHaveLength(1)
    expect(engine.decode(prompt.filter((id) => id < 256))).not.toContain('constrain')
  })

  it('23: name the day the conversation began, so that its prefix stays', async () => {
    const { create, engine } = over([FINAL, 'x'])
    const first = (await create()).body
    today = '2026-03-08'
    await create({ previous_response_id: first.id, input: 'On' })
    today = '2026-03-07'
    const [one, two] = engine.requests.map(({ request }) => engine.decode(request.prompt))
    expect(one).toContain('Current date: 2026-03-07')
    expect(two!.startsWith(one!)).toBe(true)
  })
})
