// Every object and chunk we send against OpenAI's own OpenAPI document, where that lies beside the repository.
import { describe, expect, it } from 'vitest'
import { appOver } from './ask.ts'
import { faults } from './faults.ts'

const CALL = '<seed:tool_call><function=f><parameter=a>1</parameter></function></seed:tool_call>'
const tools = [{ type: 'function', function: { name: 'f' } }]
const kinds: [name: string, steps: string[], fields: object][] = [
  ['text', ['Hel', 'lo'], {}],
  ['a thought', ['<seed:think>hm</seed:think>', 'Yes'], {}],
  ['calls', ['Sure', CALL, CALL], { tools }],
  ['logprobs', ['Hi'], { logprobs: true, top_logprobs: 2, n: 2 }],
  ['a cut', ['abcdef'], { max_tokens: 3 }],
  ['a stop', ['ab'], { return_token_ids: true, return_prompt_text: true }],
]

describe('by OpenAI’s schema', () => {
  it.each(kinds)('chat with %s', async (_, steps, fields) => {
    const { chat, chatStream } = appOver({ steps })
    expect(faults('CreateChatCompletionResponse', (await chat(fields)).body)).toEqual([])
    const { chunks } = await chatStream({ ...fields, stream_options: { include_usage: true } })
    expect(chunks.length).toBeGreaterThan(2)
    for (const { usage, ...chunk } of chunks) {
      // The document tells of `usage: null` on all but the last chunk in words; its schema has no null.
      const told = usage === null ? chunk : { ...chunk, usage }
      expect(faults('CreateChatCompletionStreamResponse', told)).toEqual([])
    }
  })

  it('completions', async () => {
    const { post } = appOver({ steps: ['Hi'] })
    for (const fields of [{}, { logprobs: 2 }, { echo: true, n: 2 }]) {
      // oxlint-disable-next-line no-await-in-loop
      const { body } = await post('/v1/completions', { prompt: 'x', ...fields })
      expect(faults('CreateCompletionResponse', body)).toEqual([])
    }
  })

  it('models and errors', async () => {
    const { get, chat } = appOver({ steps: [] })
    expect(faults('ListModelsResponse', (await get('/v1/models')).body)).toEqual([])
    expect(faults('Model', (await get('/v1/models/toy')).body)).toEqual([])
    expect(faults('ErrorResponse', (await chat({ n: 0 })).body)).toEqual([])
    expect(faults('ErrorResponse', (await get('/nowhere')).body)).toEqual([])
  })
})
