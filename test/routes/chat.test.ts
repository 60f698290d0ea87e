// What a chat request is answered: shapes, ends, usage, tools and thoughts, whole and streamed alike.
import { describe, expect, it } from 'vitest'
import { EngineRefusal } from '../../src/engine.ts'
import { type Any, appOver, assembled } from './ask.ts'

const CALL =
  '<seed:tool_call>\n<function=weather>\n<parameter=city>Berlin</parameter>\n</function>\n</seed:tool_call>'
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]

describe('a plain answer', () => {
  it('has the shape of the SDK type, with usage in full', async () => {
    const { chat, engine } = appOver({ steps: ['Hel', 'lo'], cachedTokens: 3 })
    const { status, body, headers } = await chat()
    expect(status).toBe(200)
    expect(headers.get('x-request-id')).toMatch(/^req_/)
    expect(body).toMatchObject({
      object: 'chat.completion',
      model: 'seed/toy',
      service_tier: 'default',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello', refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
    })
    expect(body.id).toMatch(/^chatcmpl-\w{24}$/)
    expect(typeof body.system_fingerprint).toBe('string')
    const prompt = engine.requests[0]?.request.prompt.length
    expect(body.usage).toMatchObject({
      prompt_tokens: prompt,
      completion_tokens: 6,
      total_tokens: (prompt ?? 0) + 6,
      prompt_tokens_details: { cached_tokens: 3 },
      completion_tokens_details: { reasoning_tokens: 0 },
    })
    expect(body.choices[0].message).not.toHaveProperty('tool_calls')
  })

  it('tells the thought under both names and counts it', async () => {
    const { chat } = appOver({
      steps: ['<seed:think>', 'hm', '</seed:think>', 'Yes'],
      reasoningTokens: 2,
    })
    const { body } = await chat()
    expect(body.choices[0].message).toMatchObject({
      content: 'Yes',
      reasoning: 'hm',
      reasoning_content: 'hm',
    })
    expect(body.usage.completion_tokens_details.reasoning_tokens).toBe(2)
    const silent = await chat({ include_reasoning: false })
    expect(silent.body.choices[0].message).toMatchObject({ content: 'Yes' })
    expect(silent.body.choices[0].message).not.toHaveProperty('reasoning')
  })

  it('cut inside a thought has no content and ends with length', async () => {
    const { chat } = appOver({ steps: ['<seed:think>', 'thinking'] })
    const { body } = await chat({ max_tokens: 4 })
    expect(body.choices[0]).toMatchObject({
      finish_reason: 'length',
      message: { content: null, reasoning: 'thi' },
    })
  })

  it('shows a character that never became whole as U+FFFD, as the stream does', async () => {
    const { chat, chatStream } = appOver({
      steps: [
        [0xe2, 0x82],
        [0xac, 0xf0, 0x9f],
      ],
    })
    expect((await chat()).body.choices[0].message.content).toBe('€\uFFFD')
    expect(assembled((await chatStream()).chunks).content).toBe('€\uFFFD')
  })
})

describe('tool calls', () => {
  it('end with tool_calls and no content', async () => {
    const { chat } = appOver({ steps: [CALL] })
    const { body } = await chat({ tools })
    expect(body.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null },
    })
    const [call] = body.choices[0].message.tool_calls
    expect(call).toMatchObject({ type: 'function', function: { name: 'weather' } })
    expect(call.id).toMatch(/^call_\w{24}$/)
    expect(JSON.parse(call.function.arguments)).toEqual({ city: 'Berlin' })
  })

  it('stream as a first delta with id and name, then arguments only', async () => {
    const { chatStream } = appOver({ steps: [...CALL] })
    const { chunks, done } = await chatStream({ tools })
    expect(done).toBe(true)
    const deltas = chunks.map((chunk) => chunk.choices[0].delta)
    expect(deltas[0]).toEqual({ role: 'assistant', content: null })
    expect(deltas[1].tool_calls[0]).toMatchObject({
      index: 0,
      type: 'function',
      function: { name: 'weather', arguments: '' },
    })
    expect(deltas[2].tool_calls[0]).toEqual({
      index: 0,
      function: { arguments: '{"city":"Berlin"}' },
    })
    expect(chunks.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: 'tool_calls' })
  })

  it('without arguments still carry a document', async () => {
    const { chat } = appOver({
      steps: ['<seed:tool_call><function=weather></function></seed:tool_call>'],
    })
    const { body } = await chat({ tools })
    expect(body.choices[0].message.tool_calls[0].function.arguments).toBe('{}')
  })

  it('stop after the first where parallel calls are off, and cancel the engine', async () => {
    const { chat, engine } = appOver({ steps: [CALL, { wait: 1 }, CALL, { wait: 10_000 }] })
    const { body } = await chat({ tools, parallel_tool_calls: false })
    expect(body.choices[0].message.tool_calls).toHaveLength(1)
    expect(body.choices[0].finish_reason).toBe('tool_calls')
    expect(engine.requests[0]?.cancelled).toBe(true)
    const both = appOver({ steps: [CALL, CALL] })
    expect((await both.chat({ tools })).body.choices[0].message.tool_calls).toHaveLength(2)
  })

  it('cut after the first count no token beyond it, whatever steps the engine took', async () => {
    const usages: Any[] = []
    const ids: Any[] = []
    const pieces = CALL.split(/(?=<\/?seed:)|(?<=>)|(?=Ber)/)
    for (const steps of [pieces, [`${CALL}more`], [CALL, 'more']]) {
      const { chat } = appOver({ steps: [...steps, { end: 'length' as const }] })
      const { body } = await chat({ tools, parallel_tool_calls: false, return_token_ids: true })
      expect(body.choices[0].finish_reason).toBe('tool_calls')
      usages.push(body.usage)
      ids.push(body.choices[0].token_ids)
    }
    expect(usages[0].completion_tokens).toBe(ids[0].length)
    expect(new Set(usages.map((usage) => JSON.stringify(usage))).size).toBe(1)
    expect(new Set(ids.map((some) => some.join())).size).toBe(1)
  })

  it('stay text with tool_choice none, without tools, and with the parser off', async () => {
    const { chat } = appOver({ steps: [CALL] })
    for (const fields of [{ tools, tool_choice: 'none' }, {}]) {
      const { body } = await chat(fields)
      expect(body.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: CALL } })
    }
    const off = appOver({ steps: [CALL] }, { toolCallParser: 'none' })
    expect((await off.chat({ tools })).body.choices[0].message.content).toBe(CALL)
  })

  it('cut by the limit stay length', async () => {
    const { chat } = appOver({ steps: [CALL, 'more and more'] })
    const { body } = await chat({ tools, max_tokens: CALL.length - 31 })
    expect(body.choices[0].finish_reason).toBe('length')
  })
})

describe('many choices', () => {
  it('do not look like a leak of listeners', async () => {
    const warnings: string[] = []
    const note = ({ name }: Error) => warnings.push(name)
    process.on('warning', note)
    const { chat } = appOver({ steps: ['a', { wait: 1 }, 'b'] })
    expect((await chat({ n: 32 })).body.choices).toHaveLength(32)
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', note)
    expect(warnings).toEqual([])
  })
})

describe('a stream', () => {
  it('begins with the role, ends with an empty delta, and has constant heads', async () => {
    const { chatStream } = appOver({ steps: ['a', 'b'] })
    const { chunks, done, response } = await chatStream()
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    expect(response.headers.get('cache-control')).toBe('no-cache')
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' })
    expect(chunks[0].choices[0].finish_reason).toBe(null)
    expect(chunks.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' })
    expect(
      new Set(chunks.map(({ id, created, model, object }) => [id, created, model, object].join()))
        .size
    ).toBe(1)
    expect(chunks[0]).not.toHaveProperty('usage')
    expect(done).toBe(true)
  })

  it('tells usage at the end where asked, or on each chunk', async () => {
    const { chatStream } = appOver({ steps: ['a', 'b'] })
    const atEnd = (await chatStream({ stream_options: { include_usage: true } })).chunks
    expect(atEnd.slice(0, -1).every((chunk: Any) => chunk.usage === null)).toBe(true)
    expect(atEnd.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 3 } })
    const always = (
      await chatStream({ stream_options: { include_usage: true, continuous_usage_stats: true } })
    ).chunks
    expect(always.map((chunk: Any) => chunk.usage.completion_tokens)).toEqual([1, 1, 2, 3, 3])
    const forced = appOver({ steps: ['a'] }, { forceIncludeUsage: true })
    expect((await forced.chatStream()).chunks.at(-1).usage.completion_tokens).toBe(2)
  })

  it('of many choices has one role and one end each, seeded apart', async () => {
    const { chatStream, chat, engine } = appOver((_, nth) => ({
      steps: [`choice `, { wait: nth % 3 }, `${nth % 3}`],
    }))
    const { chunks } = await chatStream({ n: 3, seed: 7 })
    for (const index of [0, 1, 2]) {
      expect(assembled(chunks, index)).toMatchObject({
        role: 'assistant',
        content: `choice ${index}`,
        finish: 'stop',
      })
      const own = chunks.filter((chunk) => chunk.choices[0].index === index)
      expect(own.filter((chunk) => chunk.choices[0].finish_reason !== null)).toHaveLength(1)
    }
    expect(engine.requests.map(({ request }) => Number(request.sampling.seed))).toEqual([7, 8, 9])
    const { body } = await chat({ n: 3 })
    expect(body.choices.map((choice: Any) => choice.message.content)).toEqual([
      'choice 0',
      'choice 1',
      'choice 2',
    ])
    expect(body.usage.completion_tokens).toBe(27)
    expect(body.usage.prompt_tokens).toBe(engine.requests[0]?.request.prompt.length)
  })

  it('ends in an error frame where the engine breaks after the start', async () => {
    const { chatStream } = appOver({ steps: ['a', { wait: 5 }, { fail: 'non-finite logits' }] })
    const { chunks, done } = await chatStream()
    expect(assembled(chunks.slice(0, -1)).content).toBe('a')
    expect(Object.keys(chunks.at(-1).error)).toEqual(['message', 'type', 'param', 'code'])
    expect(chunks.at(-1).error.message).toContain('non-finite logits')
    expect(done).toBe(true)
  })

  it('never shows abort as a finish_reason', async () => {
    const { chatStream, chat } = appOver({ steps: ['a', { end: 'abort' }] })
    expect((await chatStream()).chunks.at(-1)).toHaveProperty('error')
    expect((await chat()).status).toBe(500)
  })

  it('that is refused is a status, not a stream', async () => {
    const busy = new EngineRefusal(429, 'rate_limit_exceeded', 'the queue is full')
    const { send, chat } = appOver({ steps: [{ wait: 5 }, { refuse: busy }] })
    const response = await send('/v1/chat/completions', {
      messages: [{ role: 'user', content: 'x' }],
      stream: true,
    })
    expect(response.status).toBe(429)
    expect(response.headers.get('retry-after')).toBe('1')
    const { status, body } = await chat()
    expect(status).toBe(429)
    expect(body.error).toMatchObject({ code: 'rate_limit_exceeded', message: 'the queue is full' })
  })

  it('of any cut of the same bytes is the same message', async () => {
    const text = `<seed:think>hm… €</seed:think>Ünïcödé 👍 ${CALL}`
    const bytes = [...new TextEncoder().encode(text)]
    const expected = (await appOver({ steps: [text] }).chat({ tools })).body.choices[0]
    for (const size of [1, 2, 3, 7, 50]) {
      const steps = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
        bytes.slice(n * size, (n + 1) * size)
      )
      // oxlint-disable-next-line no-await-in-loop
      const got = assembled((await appOver({ steps }).chatStream({ tools })).chunks)
      expect(got.content).toBe(expected.message.content)
      expect(got.reasoning).toBe(expected.message.reasoning)
      expect(got.finish).toBe(expected.finish_reason)
      expect(got.tool_calls[0].arguments).toBe(expected.message.tool_calls[0].function.arguments)
    }
  })
})

describe('logprobs', () => {
  it('name each token with its raw bytes', async () => {
    const { chat } = appOver({ steps: [[0xe2, 0x82, 0xac]] })
    const { content, refusal } = (await chat({ logprobs: true, top_logprobs: 2 })).body.choices[0]
      .logprobs
    expect(refusal).toBe(null)
    expect(content).toHaveLength(4)
    expect(content[0]).toMatchObject({ token: '\uFFFD', bytes: [0xe2], logprob: -0.25 })
    expect(content[0].top_logprobs).toHaveLength(2)
    const bare = (await chat({ logprobs: true })).body.choices[0].logprobs
    expect(bare.content[0].top_logprobs).toEqual([])
    const ids = (await chat({ logprobs: true, return_tokens_as_token_ids: true })).body
    expect(ids.choices[0].logprobs.content[1].token).toBe('token_id:130')
  })

  it('stream one entry a token, and token ids where asked', async () => {
    const { chatStream, engine } = appOver({ steps: ['ab', 'c'] })
    const { chunks } = await chatStream({ logprobs: true, return_token_ids: true })
    const tokens = chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? [])
    expect(tokens.map((one: Any) => one.token)).toEqual(['a', 'b', 'c', '<seed:eos>'])
    expect(chunks.flatMap((chunk) => chunk.choices[0].token_ids)).toHaveLength(4)
    expect(chunks[0].prompt_token_ids).toEqual([...(engine.requests[0]?.request.prompt ?? [])])
    expect(chunks[1]).not.toHaveProperty('prompt_token_ids')
  })
})

describe('the parsers off', () => {
  it('leave the thought in the text', async () => {
    const text = '<seed:think>hm</seed:think>Yes'
    const both = appOver({ steps: [text] }, { reasoningParser: 'none', toolCallParser: 'none' })
    expect((await both.chat()).body.choices[0].message.content).toBe(text)
    const thought = appOver({ steps: [text + CALL] }, { reasoningParser: 'none' })
    const { message } = (await thought.chat({ tools })).body.choices[0]
    expect(message.content).toBe(text)
    expect(message.tool_calls).toHaveLength(1)
  })
})
