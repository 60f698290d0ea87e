// Completions: the four kinds of prompt, echo and scores, ids; and the tokenizer's own routes.
import { describe, expect, it } from 'vitest'
import { type Any, appOver } from './ask.ts'

const over = (steps: string[] = [' there'], settings = {}) => {
  const asked = appOver({ steps }, settings)
  const complete = (fields: object) => asked.post('/v1/completions', fields)
  return { ...asked, complete }
}

describe('a completion', () => {
  it('has the shape of the SDK type', async () => {
    const { complete, engine } = over()
    const { status, body } = await complete({ prompt: 'Hi' })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      object: 'text_completion',
      model: 'seed/toy',
      choices: [{ index: 0, text: ' there', logprobs: null, finish_reason: 'stop' }],
      usage: { prompt_tokens: 2, completion_tokens: 7, total_tokens: 9 },
    })
    expect(body.id).toMatch(/^cmpl-/)
    expect(engine.requests[0]?.request.sampling.maxTokens).toBe(16)
  })

  it('takes prompts of four kinds', async () => {
    const { complete } = over(['!'])
    const texts = async (prompt: unknown) =>
      (await complete({ prompt, echo: true, max_tokens: 1 })).body.choices.map((c: Any) => c.text)
    expect(await texts('ab')).toEqual(['ab!'])
    expect(await texts(['ab', 'c'])).toEqual(['ab!', 'c!'])
    expect(await texts([97, 98])).toEqual(['ab!'])
    expect(await texts([[97], [98, 99]])).toEqual(['a!', 'bc!'])
  })

  it('takes the prompt as written, control tokens included', async () => {
    const { complete, engine } = over()
    await complete({ prompt: '<seed:bos>x' })
    expect([...(engine.requests[0]?.request.prompt ?? [])]).toEqual([256, 120])
  })

  it('indexes choices by prompt and n', async () => {
    const { post } = appOver((prompt, nth) => ({ steps: [`${prompt}${nth}`] }))
    const { body } = await post('/v1/completions', { prompt: ['a', 'b'], n: 2, seed: 1 })
    expect(body.choices.map((c: Any) => [c.index, c.text])).toEqual([
      [0, 'a0'],
      [1, 'a2'],
      [2, 'b1'],
      [3, 'b3'],
    ])
    expect(body.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 12 })
  })

  it('hides control tokens unless asked to show them', async () => {
    const { complete } = over(['a<seed:think>b'])
    expect((await complete({ prompt: 'x' })).body.choices[0].text).toBe('ab')
    const shown = await complete({ prompt: 'x', skip_special_tokens: false })
    expect(shown.body.choices[0].text).toBe('a<seed:think>b')
  })

  it('streams the same text', async () => {
    const { stream } = over(['a', 'b'])
    const { chunks, done } = await stream('/v1/completions', {
      prompt: 'x',
      echo: true,
      stream_options: { include_usage: true },
    })
    expect(done).toBe(true)
    expect(chunks.every((chunk) => chunk.object === 'text_completion')).toBe(true)
    expect(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join('')).toBe('xab')
    expect(chunks.at(-2).choices[0].finish_reason).toBe('stop')
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 } })
  })
})

describe('scores', () => {
  it('of the prompt alone come with echo and no tokens', async () => {
    const { complete, engine } = over()
    const { body } = await complete({
      prompt: [97, 226, 130, 172],
      echo: true,
      max_tokens: 0,
      logprobs: 1,
    })
    expect(body.choices[0]).toMatchObject({
      text: 'a€',
      finish_reason: 'length',
      logprobs: {
        tokens: ['a', '\uFFFD', '\uFFFD', '\uFFFD'],
        token_logprobs: [null, -1.5, -2.5, -3.5],
        text_offset: [0, 1, 1, 1],
        top_logprobs: [null, { '\uFFFD': -1.5 }, { '\uFFFD': -2.5 }, { '\uFFFD': -3.5 }],
      },
    })
    expect(engine.requests[0]?.request).toMatchObject({
      promptLogprobs: 1,
      sampling: { maxTokens: 0 },
    })
    expect(body.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0 })
  })

  it('of prompt and answer join', async () => {
    const { complete, stream } = over(['ok'])
    const fields = {
      prompt: 'ab',
      echo: true,
      logprobs: 2,
      max_tokens: 2,
      return_tokens_as_token_ids: true,
    }
    const whole = (await complete(fields)).body.choices[0]
    expect(whole.text).toBe('abok')
    expect(whole.logprobs).toMatchObject({
      tokens: ['token_id:97', 'token_id:98', 'token_id:111', 'token_id:107'],
      token_logprobs: [null, -1.5, -0.25, -0.25],
      text_offset: [0, 1, 2, 3],
    })
    expect(whole.logprobs.top_logprobs[2]).toEqual({ 'token_id:111': -0.25, 'token_id:1': -1.25 })
    const { chunks } = await stream('/v1/completions', fields)
    const tokens = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.tokens ?? [])
    expect(tokens).toEqual(whole.logprobs.tokens)
  })

  it('without echo are of the answer', async () => {
    const { complete } = over(['ok'])
    const { logprobs } = (await complete({ prompt: 'ab', logprobs: 0, max_tokens: 2 })).body
      .choices[0]
    expect(logprobs).toEqual({
      tokens: ['o', 'k'],
      token_logprobs: [-0.25, -0.25],
      text_offset: [0, 1],
      top_logprobs: [{ o: -0.25 }, { k: -0.25 }],
    })
  })

  it('are not computed for an echo that wants none', async () => {
    const { complete, engine } = over()
    const { body } = await complete({ prompt: 'ab', echo: true, max_tokens: 0 })
    expect(body.choices[0]).toMatchObject({ text: 'ab', finish_reason: 'length' })
    expect(engine.requests).toHaveLength(0)
  })

  it('come with token ids where asked', async () => {
    const { complete, stream } = over(['ok'])
    const fields = { prompt: 'ab', return_token_ids: true, max_tokens: 2 }
    const [choice] = (await complete(fields)).body.choices
    expect(choice).toMatchObject({ prompt_token_ids: [97, 98], token_ids: [111, 107] })
    const { chunks } = await stream('/v1/completions', fields)
    expect(chunks[0].choices[0].prompt_token_ids).toEqual([97, 98])
    expect(chunks.flatMap((chunk) => chunk.choices[0].token_ids)).toEqual([111, 107])
  })
})

describe('a bad completion', () => {
  const cases: [param: string, fields: object][] = [
    ['prompt', {}],
    ['prompt', { prompt: null }],
    ['prompt', { prompt: '' }],
    ['prompt', { prompt: [] }],
    ['prompt', { prompt: 7 }],
    ['prompt[0]', { prompt: [1.5] }],
    ['prompt[1]', { prompt: [1, 'a'] }],
    ['prompt', { prompt: [99_999] }],
    ['prompt[1]', { prompt: ['a', 7] }],
    ['prompt[1]', { prompt: ['a', [1]] }],
    ['prompt[0]', { prompt: [[]] }],
    ['prompt', { prompt: 'x'.repeat(4096) }],
    ['prompt', { prompt: Array.from({ length: 5000 }, () => 1) }],
    ['prompt', { prompt: 'x'.repeat(100_000) }],
    ['max_tokens', { prompt: 'x', max_tokens: 0 }],
    ['logprobs', { prompt: 'x', logprobs: 21 }],
    ['logprobs', { prompt: 'x', logprobs: true }],
    ['best_of', { prompt: 'x', n: 2, best_of: 1 }],
    ['best_of', { prompt: 'x', n: 1, best_of: 2, stream: true }],
    ['suffix', { prompt: 'x', suffix: 'y' }],
    ['stream_options', { prompt: 'x', stream_options: {} }],
  ]
  const { complete } = over()
  it.each(cases)('%s', async (param, fields) => {
    const { status, body } = await complete(fields)
    expect(body.error?.param).toBe(param)
    expect(status).toBe(400)
  })
})

describe('the tokenizer', () => {
  const { post } = over()
  it('turns text and conversations into ids', async () => {
    const plain = await post('/tokenize', { prompt: 'a<seed:eos>', return_token_strs: true })
    expect(plain.body).toEqual({
      count: 2,
      max_model_len: 4096,
      tokens: [97, 257],
      token_strs: ['a', '<seed:eos>'],
    })
    const { body } = await post('/tokenize', { messages: [{ role: 'user', content: 'Hi' }] })
    const rendered = await post('/v1/chat/completions/render', {
      messages: [{ role: 'user', content: 'Hi' }],
    })
    expect(body.tokens).toEqual(rendered.body.prompt_token_ids)
    expect(body).not.toHaveProperty('token_strs')
    expect((await post('/tokenize', {})).body.error.param).toBe('prompt')
    expect((await post('/tokenize', { prompt: 'x', model: 'no' })).status).toBe(404)
  })

  it('turns ids into text', async () => {
    expect((await post('/detokenize', { tokens: [72, 105] })).body).toEqual({ prompt: 'Hi' })
    expect((await post('/detokenize', { tokens: [99_999] })).body.error.param).toBe('tokens[0]')
    expect((await post('/detokenize', { tokens: ['a'] })).body.error.param).toBe('tokens[0]')
    expect((await post('/detokenize', {})).body.error.param).toBe('tokens')
  })
})
