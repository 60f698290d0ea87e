// What a request may ask of its prompt: cut, scored, echoed, thought about or not; and the best of several answers.
import { expect, it } from 'vitest'
import { type Any, appOver, assembled } from './ask.ts'

const sent = (engine: Any): string => engine.decode(engine.requests.at(-1).request.prompt)

it('a prompt keeps its last tokens where it may be cut, its first from the right, and is whole unasked', async () => {
  const { post, engine } = appOver({ steps: ['x'] })
  const complete = (fields: object) => post('/v1/completions', { prompt: 'abcdef', ...fields })
  await complete({ truncate_prompt_tokens: 2 })
  expect(sent(engine)).toBe('ef')
  await complete({ truncate_prompt_tokens: 2, truncation_side: 'right' })
  expect(sent(engine)).toBe('ab')
  await complete({ truncate_prompt_tokens: 100 })
  expect(sent(engine)).toBe('abcdef')
  const { body } = await complete({ truncate_prompt_tokens: 2, echo: true })
  expect(body.choices[0].text).toBe('efx')
  expect(body.usage.prompt_tokens).toBe(2)
})

it('-1 cuts to what fits beside the answer, also for a list of ids longer than the context', async () => {
  const { post, engine } = appOver({ steps: ['x'] }, {}, { context: 16 })
  const prompt = Array.from({ length: 40 }, (_, n) => 97 + (n % 26))
  const long = await post('/v1/completions', { prompt, max_tokens: 4 })
  expect(long.body.error.code).toBe('context_length_exceeded')
  await post('/v1/completions', { prompt, max_tokens: 4, truncate_prompt_tokens: -1 })
  expect([...(engine.requests.at(-1)?.request.prompt ?? [])]).toEqual(prompt.slice(-12))
})

it('a chat keeps the end of its prompt', async () => {
  const { chat, engine } = appOver({ steps: ['x'] })
  const { body } = await chat({
    truncate_prompt_tokens: 5,
    return_token_ids: true,
    return_prompt_text: true,
  })
  expect(engine.requests[0]?.request.prompt).toHaveLength(5)
  expect(body.prompt_token_ids).toEqual([...(engine.requests[0]?.request.prompt ?? [])])
  expect(body.prompt_text).toBe(sent(engine))
  expect(body.usage.prompt_tokens).toBe(5)
})

it('prompt_logprobs come in the form of vLLM, from both routes', async () => {
  const { post, chat } = appOver({ steps: ['x'] })
  const { body } = await post('/v1/completions', { prompt: 'ab', prompt_logprobs: 1 })
  expect(body.choices[0].prompt_logprobs).toEqual([
    null,
    { 98: { logprob: -1.5, rank: 1, decoded_token: 'b' } },
  ])
  expect(body.choices[0]).toMatchObject({ text: 'x', logprobs: null })
  const scored = (await chat({ prompt_logprobs: 0 })).body
  expect(scored.prompt_logprobs[0]).toBeNull()
  expect(scored.prompt_logprobs).toHaveLength(scored.usage.prompt_tokens)
  expect((await chat()).body).not.toHaveProperty('prompt_logprobs')
})

it('a prompt can be scored without an answer', async () => {
  const { post } = appOver({ steps: ['x'] })
  const { body } = await post('/v1/completions', {
    prompt: 'ab',
    max_tokens: 0,
    prompt_logprobs: 0,
  })
  expect(body.choices[0]).toMatchObject({ text: '', finish_reason: 'length' })
  expect(body.choices[0].prompt_logprobs).toHaveLength(2)
})

it('echo puts the assistant message that is continued before the answer, streamed and plain', async () => {
  const { chat, chatStream } = appOver({ steps: [' world'] })
  const messages = [
    { role: 'user', content: 'Say it' },
    { role: 'assistant', content: 'Hello' },
  ]
  const fields = { messages, echo: true, continue_final_message: true, n: 2 }
  const { body } = await chat(fields)
  expect(body.choices.map((one: Any) => one.message.content)).toEqual([
    'Hello world',
    'Hello world',
  ])
  const { chunks } = await chatStream(fields)
  expect(assembled(chunks, 1).content).toBe('Hello world')
  expect((await chat({ echo: true })).body.choices[0].message.content).toBe(' world')
})

it.each([
  { thinking: { type: 'disabled' } },
  { enable_thinking: false },
  { chat_template_kwargs: { enable_thinking: false } },
  { enable_thinking: false, thinking_budget: 512 },
])('%j leaves no thought', async (fields) => {
  const { chat, engine } = appOver({ steps: ['x'] })
  await chat(fields)
  expect(engine.requests[0]?.request.thought).toMatchObject({ budget: 0 })
  await chat({ thinking: { type: 'enabled' }, enable_thinking: true })
  expect(engine.requests[1]?.request.thought).not.toHaveProperty('budget')
})

it('best_of generates more than it shows and shows the likeliest, counting all', async () => {
  const { post, engine } = appOver((_, nth) => ({ steps: ['abcd'[nth]!] }))
  const likelihood: { [text: string]: number } = { a: -3, b: -1, c: -2, d: -9 }
  const token = engine.token.bind(engine)
  engine.token = (id, logprobs, visible) => ({
    ...token(id, logprobs, visible),
    logprob: likelihood[String.fromCharCode(id)] ?? -0.5,
  })
  const { body } = await post('/v1/completions', { prompt: 'x', n: 2, best_of: 4, max_tokens: 9 })
  expect(body.choices.map(({ index, text }: Any) => [index, text])).toEqual([
    [0, 'b'],
    [1, 'c'],
  ])
  expect(body.choices[0].logprobs).toBeNull()
  expect(body.usage).toMatchObject({ prompt_tokens: 1, completion_tokens: 8 })
  expect(engine.requests.map(({ request }) => request.sampling.logprobs)).toEqual([0, 0, 0, 0])
})

it('one of prompt and messages is tokenised, never both', async () => {
  const { post } = appOver({ steps: [] })
  const messages = [{ role: 'user', content: 'Hi' }]
  const both = await post('/tokenize', { prompt: 'x', messages })
  expect(both).toMatchObject({ status: 400, body: { error: { param: 'messages' } } })
  expect((await post('/tokenize', { prompt: 'x', messages: null })).status).toBe(200)
})

it('choices of one prompt begin behind the first, whose scores they share', async () => {
  const begun: number[] = []
  const { post, engine } = appOver((_, nth) => {
    begun.push(engine.requests[0]?.steps ?? -1)
    return { steps: nth === 0 ? [{ wait: 5 }, 'a', { wait: 5 }, 'b'] : ['c'] }
  })
  const { body } = await post('/v1/completions', { prompt: 'xy', n: 3, prompt_logprobs: 0 })
  expect(begun).toEqual([-1, 1, 1])
  expect(engine.requests.map(({ request }) => request.promptLogprobs)).toEqual([
    0,
    undefined,
    undefined,
  ])
  expect(body.choices.map(({ text }: Any) => text)).toEqual(['ab', 'c', 'c'])
  for (const one of body.choices) expect(one.prompt_logprobs).toHaveLength(2)
})

it('choices that wait behind a refused first never begin', async () => {
  const { EngineRefusal } = await import('../../src/engine.ts')
  const refuse = new EngineRefusal(429, 'rate_limit_exceeded', 'busy')
  const { post, engine } = appOver({ steps: [{ refuse }] })
  expect((await post('/v1/completions', { prompt: 'xy', n: 3 })).status).toBe(429)
  expect(engine.requests).toHaveLength(1)
})
