// The openai package itself against a real socket: plain, streamed, tools, models, completions, typed errors, leaving.
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineRefusal } from '../../src/engine.ts'
import { pause, ready, type Script, ScriptedEngine } from '../scripted.ts'
import { type Listening, listening } from './socket.ts'

const CALL =
  '<seed:tool_call><function=weather><parameter=city>Berlin</parameter></function></seed:tool_call>'
const tools: OpenAI.Chat.Completions.ChatCompletionFunctionTool[] = [
  { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } },
]

/** The script is chosen by a word in the prompt. */
const scripts: { [word: string]: Script } = {
  CALL: { steps: ['<seed:think>hm</seed:think>', CALL] },
  SLOW: { steps: ['a', { wait: 5000 }, 'b'] },
  FAIL: { steps: ['a', { wait: 5 }, { fail: 'non-finite logits' }] },
  BUSY: { steps: [{ refuse: new EngineRefusal(429, 'rate_limit_exceeded', 'full') }] },
}
const engine = new ScriptedEngine((prompt) => {
  const word = Object.keys(scripts).find((known) => prompt.includes(known)) ?? ''
  return scripts[word] ?? { steps: ['Hel', 'lo', ' wörld'], cachedTokens: 2 }
})

let server: Listening
let client: OpenAI
beforeAll(async () => {
  server = await listening(ready(engine), { apiKeys: ['key'] })
  client = new OpenAI({ baseURL: server.baseURL, apiKey: 'key', maxRetries: 0 })
})
afterAll(() => server.close())

const model = 'seed/toy'
const saying = (content: string) => ({ model, messages: [{ role: 'user' as const, content }] })

const failure = async (promise: Promise<unknown>): Promise<APIError> => {
  try {
    await promise
  } catch (error) {
    return error as APIError
  }
  throw new Error('it did not fail')
}

describe('chat', () => {
  it('plain', async () => {
    const answer = await client.chat.completions.create(saying('Hi'))
    expect(answer.choices[0]?.message.content).toBe('Hello wörld')
    expect(answer.usage?.prompt_tokens_details?.cached_tokens).toBe(2)
    // oxlint-disable-next-line no-underscore-dangle
    expect(answer._request_id).toMatch(/^req_/)
  })

  it('streamed', async () => {
    const stream = await client.chat.completions.create({
      ...saying('Hi'),
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage
    }
    expect(text).toBe('Hello wörld')
    expect(usage?.completion_tokens).toBe(13)
  })

  it('with tools, through the stream helper', async () => {
    const stream = client.chat.completions.stream({ ...saying('CALL'), tools })
    const answer = await stream.finalChatCompletion()
    const [choice] = answer.choices
    expect(choice?.finish_reason).toBe('tool_calls')
    expect(choice?.message.content).toBe(null)
    const call = choice?.message.tool_calls?.[0]
    expect(call?.type === 'function' && JSON.parse(call.function.arguments)).toEqual({
      city: 'Berlin',
    })
    const plain = await client.chat.completions.create({ ...saying('CALL'), tools })
    expect(plain.choices[0]?.message).toMatchObject({ reasoning: 'hm', reasoning_content: 'hm' })
  })

  it('runs tools to the end', async () => {
    const asked: unknown[] = []
    const runner = client.chat.completions.runTools({
      ...saying('CALL'),
      tools: [
        {
          type: 'function',
          function: {
            name: 'weather',
            parameters: { type: 'object' },
            description: 'The weather',
            parse: (text: string) => JSON.parse(text) as object,
            function: (args: object) => {
              asked.push(args)
              scripts.CALL = { steps: ['Sunny'] }
              return 'sunny'
            },
          },
        },
      ],
    })
    expect(await runner.finalContent()).toBe('Sunny')
    expect(asked).toEqual([{ city: 'Berlin' }])
  })

  it('leaving early cancels the engine', async () => {
    const stream = await client.chat.completions.create({ ...saying('SLOW'), stream: true })
    for await (const _ of stream) break
    const leaving = new AbortController()
    const plain = client.chat.completions.create(saying('SLOW'), { signal: leaving.signal })
    setTimeout(() => leaving.abort(), 30)
    await expect(plain).rejects.toThrow()
    await pause(100)
    expect(engine.running).toBe(0)
    expect(engine.requests.slice(-2).every(({ cancelled }) => cancelled)).toBe(true)
  })
})

describe('models and completions', () => {
  it('retrieves an id with a slash, and lists', async () => {
    expect(await client.models.retrieve('seed/toy')).toMatchObject({
      id: 'seed/toy',
      object: 'model',
    })
    const ids: string[] = []
    for await (const { id } of client.models.list()) ids.push(id)
    expect(ids).toEqual(['seed/toy', 'toy'])
  })

  it('completes, plain and streamed', async () => {
    const answer = await client.completions.create({ model, prompt: 'Hi', logprobs: 1, echo: true })
    expect(answer.choices[0]?.text).toBe('HiHello wörld')
    expect(answer.choices[0]?.logprobs?.token_logprobs?.[0]).toBe(null)
    let text = ''
    for await (const chunk of await client.completions.create({
      model,
      prompt: 'Hi',
      stream: true,
    }))
      text += chunk.choices[0]?.text ?? ''
    expect(text).toBe('Hello wörld')
  })
})

describe('errors', () => {
  it('are typed by their status, with code and param', async () => {
    const unknown = await failure(client.chat.completions.create({ ...saying('Hi'), model: 'no' }))
    expect(unknown).toBeInstanceOf(NotFoundError)
    expect(unknown).toMatchObject({ code: 'model_not_found', param: 'model' })
    expect(unknown.requestID).toMatch(/^req_/)
    const bad = await failure(client.chat.completions.create({ ...saying('Hi'), temperature: 9 }))
    expect(bad).toBeInstanceOf(BadRequestError)
    expect(bad.param).toBe('temperature')
    const long = await failure(client.completions.create({ model, prompt: 'x'.repeat(9999) }))
    expect(long.code).toBe('context_length_exceeded')
    const busy = await failure(client.chat.completions.create({ ...saying('BUSY'), stream: true }))
    expect(busy).toBeInstanceOf(RateLimitError)
    const stranger = await failure(client.withOptions({ apiKey: 'wrong' }).models.retrieve('toy'))
    expect(stranger).toBeInstanceOf(AuthenticationError)
    expect(await failure(client.models.retrieve('a/b/c'))).toBeInstanceOf(NotFoundError)
    expect(await failure(client.chat.completions.create(saying('FAIL')))).toBeInstanceOf(
      InternalServerError
    )
  })

  it('after the start are thrown by the stream', async () => {
    const stream = await client.chat.completions.create({ ...saying('FAIL'), stream: true })
    const read = async (): Promise<void> => {
      for await (const _ of stream);
    }
    const error = await failure(read())
    expect(error).toBeInstanceOf(APIError)
    expect(error.message).toContain('non-finite logits')
  })
})
