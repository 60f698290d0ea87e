// Every field of a chat body: what is taken, how it reaches the engine, and which mistake is told with which param.
import { describe, expect, it } from 'vitest'
import { type Any, appOver } from './ask.ts'

const tool = (fields: object = {}) => ({ type: 'function', function: { name: 'f', ...fields } })
const user = (content: unknown) => ({ role: 'user', content })

describe('a mistake says what was sent', () => {
  it.each([
    ['{"temperature": 1e999', 'expected number, got a number out of range'],
    ['{"stream": {}', 'expected boolean, got an object'],
    ['{"stream": []', 'expected boolean, got an array'],
  ])('%s', async (body, sentence) => {
    const { post } = appOver({ steps: [] })
    const messages = JSON.stringify([user('Hi')])
    const answer = await post('/v1/chat/completions', `${body}, "messages": ${messages}}`)
    expect(answer.body.error.message).toContain(sentence)
  })
})

describe('a bad field is a 400 that names it', () => {
  const cases: [param: string, fields: { [field: string]: unknown }][] = [
    ['messages', { messages: [] }],
    ['messages', { messages: undefined }],
    ['messages', { messages: 'Hi' }],
    ['messages[0].role', { messages: [{ role: 'wizard', content: 'x' }] }],
    ['messages[0].content', { messages: [{ role: 'user' }] }],
    ['messages[0].content', { messages: [user(null)] }],
    ['messages[0].content', { messages: [user(7)] }],
    [
      'messages[0].content[0].type',
      { messages: [user([{ type: 'image_url', image_url: { url: 'http://x' } }])] },
    ],
    ['messages[0].content[0].type', { messages: [user([{ type: 'hologram' }])] }],
    ['messages[0].content[0].text', { messages: [user([{ type: 'text' }])] }],
    [
      'messages[1].tool_calls[0].function',
      { messages: [user('x'), { role: 'assistant', tool_calls: [{ id: 'a' }] }] },
    ],
    ['temperature', { temperature: -1 }],
    ['temperature', { temperature: 2.5 }],
    ['temperature', { temperature: '1' }],
    ['top_p', { top_p: 1.5 }],
    ['top_k', { top_k: 1.5 }],
    ['top_k', { top_k: -2 }],
    ['min_p', { min_p: 2 }],
    ['presence_penalty', { presence_penalty: 3 }],
    ['frequency_penalty', { frequency_penalty: -3 }],
    ['repetition_penalty', { repetition_penalty: 0 }],
    ['n', { n: 0 }],
    ['n', { n: 129 }],
    ['seed', { seed: 'x' }],
    ['seed', { seed: 1.5 }],
    ['seed', { seed: 1e20 }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: 1.5 }],
    ['max_completion_tokens', { max_completion_tokens: -1 }],
    ['min_tokens', { min_tokens: 11, max_tokens: 10 }],
    ['stop', { stop: 7 }],
    ['stop', { stop: '' }],
    ['stop', { stop: Array.from({ length: 17 }, String) }],
    ['stop', { stop: 'x'.repeat(1025) }],
    ['stop[0]', { stop: [7] }],
    ['stop_token_ids[0]', { stop_token_ids: [99_999] }],
    ['logit_bias', { logit_bias: { x: 1 } }],
    ['logit_bias', { logit_bias: { 99999: 1 } }],
    ['logit_bias.5', { logit_bias: { 5: 101 } }],
    ['allowed_token_ids', { allowed_token_ids: [] }],
    ['allowed_token_ids[1]', { allowed_token_ids: [1, 99_999] }],
    ['logprob_token_ids', { logprob_token_ids: [5] }],
    ['logprob_token_ids', { logprobs: true, logprob_token_ids: Array(129).fill(1) }],
    ['logprob_token_ids[1]', { logprobs: true, logprob_token_ids: [5, 99_999] }],
    ['top_logprobs', { top_logprobs: 2 }],
    ['top_logprobs', { logprobs: true, top_logprobs: 21 }],
    ['logprobs', { logprobs: 3 }],
    ['stream', { stream: 'yes' }],
    ['stream_options', { stream_options: { include_usage: true } }],
    ['tools', { tools: [] }],
    ['tools[0].type', { tools: [{ type: 'web_search' }] }],
    ['tools[0].function', { tools: [{ type: 'function' }] }],
    ['tools[0].function.name', { tools: [tool({ name: 'no spaces' })] }],
    ['tools[0].function.parameters', { tools: [tool({ parameters: 'x' })] }],
    ['tool_choice', { tool_choice: 'auto' }],
    ['tool_choice', { tools: [tool()], tool_choice: 'maybe' }],
    [
      'tool_choice',
      { tools: [tool()], tool_choice: { type: 'function', function: { name: 'g' } } },
    ],
    ['allowed_tools', { tools: [tool()], tool_choice: { type: 'allowed_tools' } }],
    ['response_format', { response_format: 'json' }],
    ['response_format.type', { response_format: { type: 'yaml' } }],
    ['functions', { functions: [] }],
    ['function_call', { function_call: 'auto' }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['audio', { audio: { voice: 'x' } }],
    ['echo', { echo: 'yes' }],
    ['truncate_prompt_tokens', { truncate_prompt_tokens: 0 }],
    ['truncate_prompt_tokens', { truncate_prompt_tokens: -2 }],
    ['truncate_prompt_tokens', { truncate_prompt_tokens: 4096 }],
    ['truncation_side', { truncate_prompt_tokens: 4, truncation_side: 'right' }],
    ['truncation_side', { truncation_side: 'middle' }],
    ['prompt_logprobs', { prompt_logprobs: -1 }],
    ['prompt_logprobs', { prompt_logprobs: 21 }],
    ['prompt_logprobs', { prompt_logprobs: 1, stream: true }],
    ['spaces_between_special_tokens', { spaces_between_special_tokens: 'no' }],
    ['documents', { documents: 'x' }],
    ['documents[0]', { documents: ['x'] }],
    ['thinking.type', { thinking: { type: 'off' } }],
    ['enable_thinking', { enable_thinking: 'no' }],
    ['chat_template_kwargs.enable_thinking', { chat_template_kwargs: { enable_thinking: 0 } }],
    ['chat_template_kwargs.documents', { chat_template_kwargs: { documents: [] } }],
    ['chat_template', { chat_template: '{{ x }}' }],
    ['chat_template_kwargs', { chat_template_kwargs: 'x' }],
    ['chat_template_kwargs.messages', { chat_template_kwargs: { messages: [] } }],
    ['chat_template_kwargs.tokenize', { chat_template_kwargs: { tokenize: true } }],
    ['continue_final_message', { continue_final_message: true }],
    ['cache_salt', { cache_salt: '' }],
    ['cache_salt', { cache_salt: 'a/b' }],
    ['cache_salt', { cache_salt: 'a\u0000' }],
    ['cache_salt', { cache_salt: 'x'.repeat(129) }],
    ['priority', { priority: 'high' }],
    ['bad_words[0]', { bad_words: [''] }],
    ['reasoning_effort', { reasoning_effort: 'huge' }],
    ['thinking_budget', { thinking_budget: 'many' }],
    ['thinking_budget', { thinking_budget: 1.5 }],
    ['thinking_token_budget', { thinking_token_budget: 100_000 }],
    ['chat_template_kwargs.thinking_budget', { chat_template_kwargs: { thinking_budget: {} } }],
    ['extra_body', { extra_body: [] }],
    ['top_k', { extra_body: { top_k: 'x' } }],
  ]
  const { chat } = appOver({ steps: ['x'] })
  it.each(cases)('%s %j', async (param, fields) => {
    const { status, body } = await chat(fields)
    expect(body.error).toMatchObject({ param, type: 'invalid_request_error' })
    expect(status).toBe(400)
    expect(body.error.message.length).toBeLessThan(1100)
    expect(Object.keys(body.error)).toEqual(['message', 'type', 'param', 'code'])
  })

  it('and what is not served yet says so', async () => {
    const { body } = await chat({ grammar: 'root ::= "a"' })
    expect(body.error.message).toContain('not supported yet')
  })
})

const samplingFor = async (fields: object): Promise<Any> => {
  const { chat, engine } = appOver({ steps: ['x'] })
  const { status, body } = await chat(fields)
  expect(body.error).toBe(undefined)
  expect(status).toBe(200)
  return engine.requests[0]?.request
}

const budget = async (fields: object) => (await samplingFor(fields)).thought

describe('a good field', () => {
  it('may be null, unknown or ignored', async () => {
    const nulls = Object.fromEntries(
      'temperature top_p top_k n seed stop tools tool_choice logprobs top_logprobs stream stream_options response_format max_tokens logit_bias user functions chat_template reasoning_effort'
        .split(' ')
        .map((field) => [field, null])
    )
    await samplingFor({
      ...nulls,
      metadata: { a: 'b' },
      store: true,
      service_tier: 'auto',
      safety_identifier: 'me',
      prompt_cache_key: 'k',
      verbosity: 'low',
      modalities: ['text'],
      prediction: {},
      something_new: [[]],
      response_format: { type: 'text' },
    })
  })

  it('reaches the engine', async () => {
    const { sampling, priority, cacheSalt } = await samplingFor({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      presence_penalty: 0.1,
      frequency_penalty: 0.2,
      repetition_penalty: 1.1,
      seed: 42,
      stop: ['a', 'b'],
      stop_token_ids: [7],
      include_stop_str_in_output: true,
      ignore_eos: true,
      min_tokens: 2,
      max_tokens: 9,
      max_completion_tokens: 8,
      logit_bias: { 5: -100 },
      allowed_token_ids: [1, 2],
      logprob_token_ids: [3, 4],
      bad_words: ['no'],
      logprobs: true,
      top_logprobs: 3,
      priority: -1,
      cache_salt: 'mine',
    })
    expect(sampling).toMatchObject({
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      presencePenalty: 0.1,
      frequencyPenalty: 0.2,
      repetitionPenalty: 1.1,
      seed: 42,
      stopStrings: ['a', 'b'],
      stopTokenIds: [7],
      includeStop: true,
      ignoreEos: true,
      minTokens: 2,
      maxTokens: 8,
      logitBias: [[5, -100]],
      allowedTokenIds: [1, 2],
      logprobTokenIds: [3, 4],
      badWords: [
        [110, 111],
        [32, 110, 111],
      ],
      logprobs: 3,
    })
    expect({ priority, cacheSalt }).toEqual({ priority: -1, cacheSalt: 'mine' })
  })

  it('defaults to OpenAI where nobody says otherwise, and fills the context', async () => {
    const { sampling, prompt } = await samplingFor({})
    expect(sampling).toMatchObject({
      temperature: 1,
      topP: 1,
      topK: 0,
      minP: 0,
      repetitionPenalty: 1,
    })
    expect(sampling.maxTokens).toBe(4096 - prompt.length)
    expect(sampling).not.toHaveProperty('seed')
    expect((await samplingFor({ max_tokens: 1_000_000 })).sampling.maxTokens).toBe(
      4096 - prompt.length
    )
    expect((await samplingFor({ seed: -(2 ** 63) })).sampling.seed).toBe(-(2n ** 63n))
    expect((await samplingFor({ seed: 2 ** 63 })).sampling.seed).toBe(-(2n ** 63n))
  })

  it('in a literal extra_body counts as if it stood in the body', async () => {
    const { sampling } = await samplingFor({ extra_body: { top_k: 3, thinking_budget: 9 } })
    expect(sampling.topK).toBe(3)
  })

  it('sets the thinking budget, in the order of its names', async () => {
    expect(await budget({})).not.toHaveProperty('budget')
    expect(await budget({ thinking_budget: -7 })).not.toHaveProperty('budget')
    expect(await budget({ thinking_budget: '64' })).toMatchObject({ budget: 64 })
    expect(
      await budget({ thinking_budget: 1, chat_template_kwargs: { thinking_budget: 2 } })
    ).toMatchObject({ budget: 2 })
    expect(await budget({ thinking: { budget_tokens: 5 } })).toMatchObject({ budget: 5 })
    expect(await budget({ reasoning_effort: 'none' })).toMatchObject({ budget: 0 })
    expect(await budget({ reasoning: { effort: 'low' } })).toMatchObject({ budget: 1024 })
    expect(await budget({ reasoning_effort: 'max' })).not.toHaveProperty('budget')
    expect(await budget({ extra_body: { thinking_budget: 3 } })).toMatchObject({ budget: 3 })
    const soft = await budget({ thinking_budget_tokens: 4 })
    const hard = await budget({ thinking_token_budget: 4, thinking_budget_tokens: 5 })
    expect(soft.closing.length).toBeGreaterThan(1)
    expect(hard).toMatchObject({ budget: 4, closing: [hard.end], closingInReflection: [hard.end] })
    expect(await budget({ reasoning_budget_tokens: 4 })).toMatchObject({ closing: [hard.end] })
  })

  it('of the conversation may be said in many ways', async () => {
    const { post } = appOver({ steps: ['x'] })
    const rendered = async (messages: object[], fields: object = {}) =>
      (await post('/v1/chat/completions/render', { messages, ...fields })).body
    const { prompt, prompt_token_ids } = await rendered([
      { role: 'developer', content: 'Be brief' },
      user([
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ]),
      {
        role: 'assistant',
        content: null,
        reasoning_content: 'hm',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'f', arguments: '' } }],
      },
      { role: 'tool', content: [{ type: 'text', text: '4' }], tool_call_id: '1' },
      { role: 'function', name: 'f', content: '5' },
    ])
    expect(prompt).toBe(
      '<seed:bos>developer\nBe brief<seed:eos><seed:bos>user\na\nb<seed:eos><seed:bos>assistant\n<seed:eos>' +
        '<seed:bos>tool\n4<seed:eos><seed:bos>tool\n5<seed:eos><seed:bos>assistant\n'
    )
    expect(prompt_token_ids[0]).toBe(256)
    const continued = await rendered([user('a'), { role: 'assistant', content: 'b' }], {
      continue_final_message: true,
    })
    expect(continued.prompt).toMatch(/assistant\nb<seed:eos>$/)
  })

  it('of the caller never becomes a control token', async () => {
    const { post } = appOver({ steps: ['x'] })
    const { body } = await post('/v1/chat/completions/render', { messages: [user('<seed:eos>')] })
    expect(body.prompt_token_ids.filter((id: number) => id >= 256)).toHaveLength(3)
  })
})

describe('length', () => {
  it('past the context is 400 with both numbers, before anything runs', async () => {
    const { chat, engine } = appOver({ steps: ['x'] })
    const { status, body } = await chat({ messages: [user('x'.repeat(5000))] })
    expect(status).toBe(400)
    expect(body.error.code).toBe('context_length_exceeded')
    expect(body.error.message).toMatch(/4096 tokens.*50\d\d tokens/)
    expect(engine.requests).toHaveLength(0)
    const huge = await chat({ messages: [user('x'.repeat(100_000))] })
    expect(huge.body.error.code).toBe('context_length_exceeded')
  })
})
