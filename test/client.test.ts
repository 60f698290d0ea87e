// `@seed/server/client` and the examples, over the openai package and a scripted server.
import { createAdaptorServer } from '@hono/node-server'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createApp } from '../src/app.ts'
import { type ChatAnswer, type ChatChunk, parseOutput } from '../src/client.ts'
import { createParser } from '../src/families/seed-oss/parser.ts'
import { ready, ScriptedEngine, served, silentLog, someSettings } from './scripted.ts'
import { toyFamily } from './toy.ts'

// The examples import the package by its name, which only a built one has.
vi.mock('@seed/server/client', () => import('../src/client.ts'))

const callOf = (location: string): string =>
  `<seed:tool_call>\n<function=get_weather>\n<parameter=location>${location}</parameter>\n</function>\n</seed:tool_call>\n`

const PASTA = ['<seed:think>hm</seed:think>', 'Boil ', 'water, 🍝', '.']
const engine = new ScriptedEngine((prompt) => {
  if (prompt.includes('pasta')) return { steps: PASTA }
  if (prompt.includes('both')) return { steps: ['Two: ', callOf('Paris'), callOf('Rome')] }
  return { steps: ['<seed:think>hm</seed:think>', callOf('Barcelona')] }
})

let server: Server
let baseURL: string
let client: OpenAI
beforeAll(async () => {
  const family = { ...toyFamily, parser: createParser }
  const lifecycle = { ...ready(engine), model: { ...served(engine, ['seed_oss']), family } }
  const app = createApp(lifecycle, someSettings, silentLog)
  server = createAdaptorServer({ fetch: app.fetch }) as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { location: { type: 'string' } } },
    },
  },
]

const ask = (content: string, stream: boolean) =>
  client.chat.completions.create({
    model: 'seed_oss',
    messages: [{ role: 'user', content }],
    tools,
    stream,
  })

const parsed = async (content: string, stream: boolean) => {
  let printed = ''
  const output = await parseOutput(await ask(content, stream), {
    stream,
    toolFunctions: { get_weather: async ({ location }) => `sunny in ${location}` },
    write: (text) => {
      printed += text
    },
  })
  return { output, printed }
}

describe.each([false, true])('parseOutput, stream %s', (stream) => {
  test('an answer', async () => {
    const { output, printed } = await parsed('How to make pasta?', stream)
    expect(output).toEqual(['Boil water, 🍝.', null, null])
    expect(printed).toBe('Boil water, 🍝.\n')
  })

  test('one call, run', async () => {
    const { output, printed } = await parsed('The weather in Barcelona?', stream)
    const call = { name: 'get_weather', arguments: '{"location":"Barcelona"}' }
    expect(output).toEqual([null, call, 'sunny in Barcelona'])
    expect(printed).toBe(
      'Function called: get_weather\nArguments: {"location":"Barcelona"}\nResult: sunny in Barcelona\n'
    )
  })

  test('several calls, in their order', async () => {
    const { output } = await parsed('The weather in both?', stream)
    expect(output).toEqual([
      'Two: ',
      [
        { name: 'get_weather', arguments: '{"location":"Paris"}' },
        { name: 'get_weather', arguments: '{"location":"Rome"}' },
      ],
      ['sunny in Paris', 'sunny in Rome'],
    ])
  })
})

describe('parseOutput by itself', () => {
  const write = (): void => {}
  const calling = (name: string, args: string): ChatAnswer => ({
    choices: [
      { message: { content: null, tool_calls: [{ function: { name, arguments: args } }] } },
    ],
  })

  test('a function that is not there is named, inherited ones included', async () => {
    await expect(parseOutput(calling('toString', '{}'), { write })).rejects.toThrow(
      `The model called 'toString', which is not among toolFunctions`
    )
  })

  test('results that are no text are shown as JSON', async () => {
    let printed = ''
    await parseOutput(calling('f', '{"a":[1]}'), {
      toolFunctions: { f: (args: object) => args },
      write: (text) => {
        printed += text
      },
    })
    expect(printed).toContain('Result: {"a":[1]}\n')
  })

  test('a chunk without choices and one with two calls', async () => {
    async function* chunks(): AsyncGenerator<ChatChunk, void> {
      yield {
        choices: [
          {
            delta: {
              tool_calls: [
                { index: 0, function: { name: 'f', arguments: '{}' } },
                { index: 1, function: { name: 'g', arguments: '{' } },
              ],
            },
          },
        ],
      }
      yield { choices: [{ delta: { tool_calls: [{ index: 1, function: { arguments: '}' } }] } }] }
      yield { choices: [] }
    }
    const toolFunctions = { f: () => 1, g: () => 2 }
    const [text, , results] = await parseOutput(chunks(), { stream: true, toolFunctions, write })
    expect([text, results]).toEqual([null, [1, 2]])
  })
})

describe('examples', () => {
  const argv = process.argv
  afterEach(() => {
    process.argv = argv
    vi.restoreAllMocks()
    vi.resetModules()
  })

  const output = async (example: string, flags: string[]): Promise<string> => {
    let printed = ''
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed += String(text)
      return true
    })
    process.argv = ['node', example, '--base-url', baseURL, ...flags]
    await import(`../examples/${example}.ts`)
    return printed
  }

  test.each([[[]], [['--stream']], [['--thinking_budget', '64', '--max_new_tokens', '100']]])(
    'chat %j',
    async (flags) => {
      expect(await output('chat', flags)).toBe('Boil water, 🍝.\n')
      const { sampling, thought } = engine.requests.at(-1)!.request
      if (flags.length > 1) expect([sampling.maxTokens, thought?.budget]).toEqual([100, 64])
    }
  )
  test.each([[[]], [['--stream']]])('tool-call %j', async (flags) => {
    expect(await output('tool-call', flags)).toBe(
      'Function called: get_weather\nArguments: {"location":"Barcelona"}\n' +
        'Result: Getting the weather for Barcelona in celsius...\n'
    )
  })
})
