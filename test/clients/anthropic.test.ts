// The @anthropic-ai/sdk package itself against a real socket: plain, streamed, thinking, tools, counting, typed errors, leaving.
import Anthropic, {
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineRefusal } from '../../src/engine.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { STOCK_TEMPLATE } from '../../src/families/seed-oss/stock.ts'
import { ready, served, type Script, ScriptedEngine } from '../scripted.ts'
import { type Listening, listening } from './socket.ts'

const CALL =
  '<seed:tool_call>\n<function=weather>\n<parameter=city>Berlin</parameter>\n</function>\n</seed:tool_call>'
const THOUGHT = '<seed:think>hm</seed:think>'

/** The script is chosen by a word in the prompt. */
const scripts: { [word: string]: Script } = {
  CALL: { steps: [THOUGHT, 'So:', CALL] },
  PLAY: { steps: [THOUGHT, 'Hi'] },
  LONG: { steps: ['abc', { end: 'length' }] },
  STOP: { steps: ['abc', { end: 'stop', stop: 'END' }] },
  SLOW: { steps: ['a', { wait: 5000 }, 'b'] },
  FAIL: { steps: ['a', { wait: 5 }, { fail: 'non-finite logits' }] },
  BUSY: { steps: [{ refuse: new EngineRefusal(429, 'rate_limit_exceeded', 'full') }] },
}
let prompts: string[] = []
const engine = new ScriptedEngine((prompt) => {
  prompts.push(prompt)
  const word = Object.keys(scripts).find((known) => prompt.includes(known)) ?? ''
  return scripts[word] ?? { steps: ['Hel', 'lo', ' wörld'], cachedTokens: 2 }
})

let server: Listening
let client: Anthropic
beforeAll(async () => {
  const template = seedOss.template(STOCK_TEMPLATE)
  const model = { ...served(engine), family: seedOss, template }
  server = await listening({ ...ready(engine), model }, { apiKeys: ['key'] })
  const baseURL = server.baseURL.replace(/\/v1$/, '')
  client = new Anthropic({ baseURL, apiKey: 'key', maxRetries: 0 })
})
afterAll(() => server.close())

const tools: Anthropic.Tool[] = [
  {
    name: 'weather',
    description: 'Tells the weather',
    input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
]
const saying = (content: Anthropic.MessageParam['content']) => ({
  model: 'seed/toy',
  max_tokens: 100,
  messages: [{ role: 'user' as const, content }],
})

/** The prompt of one request. */
const promptOf = async (body: Anthropic.MessageCreateParamsNonStreaming): Promise<string> => {
  prompts = []
  await client.messages.create(body)
  return prompts[0]!
}

describe('an answer', () => {
  it('is plain, with what the cache had counted apart', async () => {
    const answer = await client.messages.create(saying('Hi'))
    expect(answer.content).toEqual([{ type: 'text', text: 'Hello wörld', citations: null }])
    expect(answer).toMatchObject({ type: 'message', role: 'assistant', model: 'seed/toy' })
    expect(answer).toMatchObject({ stop_reason: 'end_turn', stop_sequence: null })
    expect(answer.usage.cache_read_input_tokens).toBe(2)
    const { input_tokens: counted } = await client.messages.countTokens(saying('Hi'))
    expect(answer.usage.input_tokens + 2).toBe(counted)
    expect(answer.usage.output_tokens).toBe(13)
    // oxlint-disable-next-line no-underscore-dangle
    expect(answer._request_id).toMatch(/^req_/)
  })

  it('is streamed as the events that the helper folds into the same', async () => {
    const kinds: string[] = []
    const stream = client.messages.stream({ ...saying('CALL'), tools })
    stream.on('streamEvent', ({ type }) => kinds.push(type))
    const streamed = await stream.finalMessage()
    const plain = await client.messages.create({ ...saying('CALL'), tools })
    expect(plain.stop_reason).toBe('tool_use')
    expect(plain.content).toMatchObject([
      { type: 'thinking', thinking: 'hm', signature: expect.stringMatching(/./) as string },
      { type: 'text', text: 'So:' },
      { type: 'tool_use', name: 'weather', input: { city: 'Berlin' } },
    ])
    const named = ({ content, usage, stop_reason }: Anthropic.Message) =>
      JSON.parse(
        JSON.stringify({ content, usage, stop_reason }).replace(/toolu_\w+/g, '')
      ) as object
    expect(named(streamed)).toEqual(named(plain))
    const order = kinds.filter((kind, n) => kind !== kinds[n - 1])
    expect(order.slice(0, 5)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'content_block_start',
    ])
    expect(order.slice(-3)).toEqual(['content_block_stop', 'message_delta', 'message_stop'])
  })

  it.each([
    ['LONG', 'max_tokens', null],
    ['STOP', 'stop_sequence', 'END'],
  ])('says that it ended by %s', async (word, reason, stop) => {
    const answer = await client.messages.create({ ...saying(word), stop_sequences: ['END'] })
    expect([answer.stop_reason, answer.stop_sequence]).toEqual([reason, stop])
    expect(engine.requests.at(-1)?.request.sampling.stopStrings).toEqual(['END'])
  })

  it('keeps a thought that is not shown for the next turn', async () => {
    const thinking = { type: 'adaptive', display: 'omitted' } as const
    const { content } = await client.messages.create({ ...saying('PLAY'), thinking })
    expect(content[0]).toMatchObject({ type: 'thinking', thinking: '' })
    const again = {
      ...saying('x'),
      messages: [
        { role: 'user' as const, content: 'x' },
        { role: 'assistant' as const, content },
        { role: 'user' as const, content: 'y' },
      ],
    }
    expect(await promptOf(again)).toContain('hm')
  })
})

it('lists and shows the models', async () => {
  const ids: string[] = []
  for await (const { id, type } of client.models.list()) ids.push(`${type} ${id}`)
  expect(ids).toEqual(['model seed/toy', 'model toy'])
  expect(await client.models.retrieve('toy')).toMatchObject({ type: 'model', display_name: 'toy' })
})

describe('a request', () => {
  it('tells system, results of tools and what was said as the family does', async () => {
    const prompt = await promptOf({
      ...saying('x'),
      system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
      tools,
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'Looking.' },
            { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Rome' } },
          ],
        },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'toolu_1',
              content: [{ type: 'text', text: 'sunny' }],
            },
            {
              type: 'document',
              source: { type: 'text', media_type: 'text/plain', data: 'A note' },
            },
            { type: 'text', text: 'And now?' },
          ],
        },
      ],
    })
    for (const told of ['Be brief.', 'Weather?', 'Looking.', 'Rome', 'sunny', 'A note\nAnd now?'])
      expect(prompt).toContain(told)
    expect(prompt.indexOf('sunny')).toBeLessThan(prompt.indexOf('A note'))
  })

  it('may begin the answer itself', async () => {
    const prompt = await promptOf({
      ...saying('x'),
      messages: [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: 'It is' },
      ],
    })
    expect(prompt).toMatch(/It is$/)
  })

  it.each<[Anthropic.ToolChoice, RegExp]>([
    [{ type: 'any' }, /weather/],
    [{ type: 'tool', name: 'weather', disable_parallel_tool_use: true }, /weather/],
  ])('holds the answer to a call with %j', async (tool_choice, grammar) => {
    const before = engine.grammars.length
    await client.messages.create({ ...saying('CALL'), tools, tool_choice })
    expect(engine.grammars.slice(before).join()).toMatch(grammar)
  })

  it('holds the answer to a schema', async () => {
    const schema = { type: 'object', properties: { zip: { type: 'integer' } }, required: ['zip'] }
    const before = engine.grammars.length
    const output_config = { format: { type: 'json_schema' as const, schema } }
    await client.messages.create({ ...saying('Hi'), output_config })
    expect(engine.grammars.slice(before).join()).toContain('zip')
  })
})

describe('errors are typed', () => {
  const failure = async (promise: Promise<unknown>): Promise<unknown> => {
    const error = await promise.then(
      () => undefined,
      (reason: unknown) => reason
    )
    return error
  }

  it.each<[string, object, new (...args: never[]) => Error, RegExp]>([
    ['model', { model: 'nobody' }, NotFoundError, /nobody/],
    ['busy', saying('BUSY'), RateLimitError, /full/],
    ['broken', saying('FAIL'), InternalServerError, /non-finite/],
    [
      'image',
      saying([{ type: 'image', source: { type: 'url', url: 'x' } }]),
      BadRequestError,
      /images are not supported/,
    ],
    [
      'builtin tool',
      { tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
      BadRequestError,
      /tools\[0\]\.type/,
    ],
    [
      'schema',
      {
        tools: [{ ...tools[0], input_schema: { type: 'object', minContains: 1 } }],
        tool_choice: { type: 'any' },
      },
      BadRequestError,
      /tools\[0\]\.input_schema.*minContains/s,
    ],
    ['effort', { output_config: { effort: 'huge' } }, BadRequestError, /output_config\.effort/],
    ['choice without tools', { tool_choice: { type: 'any' } }, BadRequestError, /tool_choice/],
    ['servers', { mcp_servers: [{}] }, BadRequestError, /mcp_servers/],
  ])('%s', async (_, body, kind, said) => {
    const error = await failure(client.messages.create({ ...saying('Hi'), ...body } as never))
    expect(error).toBeInstanceOf(kind)
    expect((error as Error).message).toMatch(said)
    expect(error).toMatchObject({ error: { type: 'error', error: { type: /_error$/ } } })
  })

  it('for a key nobody has, and in a stream', async () => {
    const stranger = client.withOptions({ apiKey: 'other' })
    expect(await failure(stranger.messages.create(saying('Hi')))).toBeInstanceOf(
      AuthenticationError
    )
    const stream = client.messages.stream(saying('FAIL'))
    await expect(stream.finalMessage()).rejects.toThrow(/non-finite/)
  })

  it('leaving early cancels the engine', async () => {
    const stream = await client.messages.create({ ...saying('SLOW'), stream: true })
    for await (const _ of stream) break
    await expect.poll(() => engine.running).toBe(0)
    expect(engine.requests.at(-1)?.cancelled).toBe(true)
  })
})
