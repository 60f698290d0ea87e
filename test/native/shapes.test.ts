// Output that is guaranteed: random weights of both families, held to schemas and tools through both APIs, streamed and plain.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { type Schema, SCHEMAS } from './schemas.ts'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)
const validators = new Map<string, ValidateFunction>(
  SCHEMAS.map(([name, schema]) => [name, ajv.compile(schema)])
)

/** Throws unless the text is JSON that follows the schema of this name. */
const validate = (name: string, text: string): void => {
  const valid = validators.get(name)!
  const value: unknown = JSON.parse(text)
  expect(valid(value), `${name}: ${text.slice(0, 400)} ${ajv.errorsText(valid.errors)}`).toBe(true)
}

interface Call {
  name: string
  arguments: string
}
interface Reply {
  text: string
  calls: Call[]
  finish: string | null | undefined
}

const ASK = 'Say something.'
/** A random model that may think would do so until its last token. */
const BRIEF = { chat_template_kwargs: { thinking_budget: 0 }, temperature: 1 } as const

type Choice = 'auto' | 'none' | 'required' | { named: string } | { allowed: string[] }
interface Wish {
  seed: number
  format?: { name: string; schema: Schema }
  tools?: { name: string; parameters: Schema }[]
  choice?: Choice
  parallel?: boolean
}

const named = (name: string) => ({ type: 'function' as const, function: { name } })

const chatBody = ({ seed, format, tools, choice, parallel }: Wish) => ({
  model: 'tiny',
  messages: [{ role: 'user' as const, content: ASK }],
  max_completion_tokens: 6000,
  seed,
  ...BRIEF,
  ...(parallel === undefined ? {} : { parallel_tool_calls: parallel }),
  ...(format
    ? {
        response_format: { type: 'json_schema' as const, json_schema: { ...format, strict: true } },
      }
    : {}),
  ...(tools
    ? {
        tools: tools.map((tool) => ({
          type: 'function' as const,
          function: { ...tool, strict: true },
        })),
      }
    : {}),
  ...(choice === undefined
    ? {}
    : {
        tool_choice:
          typeof choice === 'string'
            ? choice
            : 'named' in choice
              ? named(choice.named)
              : {
                  type: 'allowed_tools' as const,
                  allowed_tools: { mode: 'required' as const, tools: choice.allowed.map(named) },
                },
      }),
})

const chat = async (client: OpenAI, wish: Wish): Promise<Reply> => {
  const { choices } = await client.chat.completions.create(chatBody(wish))
  const { message, finish_reason: finish } = choices[0]!
  const calls = (message.tool_calls ?? []).map((call) =>
    call.type === 'function' ? call.function : { name: '', arguments: '' }
  )
  return { text: message.content ?? '', calls, finish }
}

const chatStream = async (client: OpenAI, wish: Wish): Promise<Reply> => {
  const reply: Reply = { text: '', calls: [], finish: undefined }
  const stream = await client.chat.completions.create({ ...chatBody(wish), stream: true })
  for await (const { choices } of stream) {
    const { delta, finish_reason: finish } = choices[0]!
    reply.text += delta.content ?? ''
    for (const { index, function: part } of delta.tool_calls ?? []) {
      const call = (reply.calls[index] ??= { name: '', arguments: '' })
      call.name += part?.name ?? ''
      call.arguments += part?.arguments ?? ''
    }
    reply.finish = finish ?? reply.finish
  }
  return reply
}

const responseBody = ({ seed, format, tools, choice, parallel }: Wish) => ({
  model: 'tiny',
  input: ASK,
  max_output_tokens: 6000,
  store: false,
  seed,
  ...BRIEF,
  ...(parallel === undefined ? {} : { parallel_tool_calls: parallel }),
  ...(format
    ? { text: { format: { type: 'json_schema' as const, ...format, strict: true } } }
    : {}),
  ...(tools
    ? { tools: tools.map((tool) => ({ type: 'function' as const, ...tool, strict: true })) }
    : {}),
  ...(choice === undefined
    ? {}
    : {
        tool_choice:
          typeof choice === 'string'
            ? choice
            : 'named' in choice
              ? { type: 'function' as const, name: choice.named }
              : {
                  type: 'allowed_tools' as const,
                  mode: 'required' as const,
                  tools: choice.allowed.map((name) => ({ type: 'function', name })),
                },
      }),
})

const told = (response: OpenAI.Responses.Response): Reply => ({
  text: response.output_text,
  calls: response.output.flatMap((item) => (item.type === 'function_call' ? [item] : [])),
  finish: response.status,
})

const respond = async (client: OpenAI, wish: Wish): Promise<Reply> => {
  const response = await client.responses.create(responseBody(wish))
  return told({
    ...response,
    output_text: response.output
      .flatMap((item) => (item.type === 'message' ? item.content : []))
      .map((part) => (part.type === 'output_text' ? part.text : ''))
      .join(''),
  })
}

const respondStream = async (client: OpenAI, wish: Wish): Promise<Reply> => {
  const reply: Reply = { text: '', calls: [], finish: undefined }
  const stream = await client.responses.create({ ...responseBody(wish), stream: true })
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') reply.text += event.delta
    if (event.type === 'response.function_call_arguments.done')
      reply.calls.push({ name: event.name, arguments: event.arguments })
    if (event.type === 'response.failed') throw new Error(event.response.error?.message)
    if (event.type === 'response.completed' || event.type === 'response.incomplete')
      reply.finish = event.response.status
  }
  return reply
}

const WAYS = { chat, chatStream, respond, respondStream }

/** As many at a time as the server runs at once. */
const crowd = async <T>(work: T[], run: (one: T) => Promise<void>): Promise<void> => {
  const left = work.values()
  const worker = async (): Promise<void> => {
    for (const one of left) await run(one)
  }
  await Promise.all(Array.from({ length: 24 }, worker))
}

for (const family of [seedOss, gptOss])
  describe(family.name, () => {
    let model: ReturnType<typeof tinyModel>
    let server: Running
    beforeAll(async () => {
      model = tinyModel(family, { max_position_embeddings: 16384 })
      server = await serveFolder(
        model.path,
        readFileSync(join(model.path, 'chat_template.jinja'), 'utf8'),
        { maxSequences: 32 },
        family
      )
    })
    afterAll(async () => {
      await server.close()
      model.drop()
    })

    test(`${SCHEMAS.length} schemas: every answer parses and validates, in both APIs, streamed and plain`, async () => {
      const work = SCHEMAS.flatMap(([name, schema], n) =>
        Object.values(WAYS).map((way, w) => ({ name, schema, way, seed: n * 4 + w }))
      )
      await crowd(work, async ({ name, schema, way, seed }) => {
        const format = { name: name.replace(' ', '_'), schema }
        const reply = await way(server.client, { seed, format })
        expect(['stop', 'completed'], `${name} ${reply.text}`).toContain(reply.finish)
        validate(name, reply.text)
        expect(reply.calls).toEqual([])
      })
    }, 300_000)

    test('other shapes: expressions, choices, grammars and tags', async () => {
      const a = { type: 'object', properties: { a: { enum: [1, 2] } }, required: ['a'] }
      const tags = {
        type: 'structural_tag',
        structures: [
          { begin: '<f=a>', schema: a, end: '</f>' },
          { begin: '<f=b>', schema: { enum: ['x'] }, end: '</f>' },
          { begin: 'q', schema: { type: 'boolean' }, end: '!' },
        ],
        // Random text soon holds a letter.
        triggers: ['<', 'q'],
      }
      const piece = /<f=a>\{"a": ?[12]\}<\/f>|<f=b>"x"<\/f>|q(true|false)!/g
      const shapes: [object, (text: string) => boolean][] = [
        [{ guided_regex: '[a-c]{2}-\\d' }, (text) => /^[a-c]{2}-\d$/u.test(text)],
        [
          { structured_outputs: { choice: ['yes', 'no', 'it "depends"\n'] } },
          (text) => ['yes', 'no', 'it "depends"\n'].includes(text),
        ],
        [
          { structured_outputs: { grammar: 'start: WORD ("," WORD)*\nWORD: /[a-z]/' } },
          (text) => /^[a-z](,[a-z])*$/.test(text),
        ],
        [
          { structured_outputs: { json: a, whitespace_pattern: ' {2}' } },
          (text) => /^\{( {2})?"a"( {2})?:( {2})?[12]( {2})?\}$/.test(text),
        ],
        [
          { structured_outputs: { structural_tag: tags } },
          (text) => !/[<q]/.test(text.replace(piece, '')),
        ],
      ]
      const work = shapes.flatMap(([fields, holds]) =>
        Array.from({ length: 12 }, (_, seed) => ({ fields, holds, seed }))
      )
      const tagged: string[] = []
      await crowd(work, async ({ fields, holds, seed }) => {
        const asked = { model: 'tiny', seed, temperature: 1, ...fields }
        const { choices } = await server.client.chat.completions.create({
          ...asked,
          ...BRIEF,
          messages: [{ role: 'user', content: ASK }],
        } as OpenAI.ChatCompletionCreateParamsNonStreaming)
        const plain = await server.client.completions.create({
          ...asked,
          prompt: ASK,
          max_tokens: 4000,
        })
        for (const text of [choices[0]?.message.content ?? '', plain.choices[0]?.text ?? '']) {
          expect(holds(text), `${JSON.stringify(fields)}: ${text}`).toBe(true)
          if (holds === shapes.at(-1)?.[1]) tagged.push(...(text.match(piece) ?? []))
        }
      })
      expect(tagged.length).toBeGreaterThan(0)
    }, 120_000)

    const originals = new Map(SCHEMAS.map(([name]) => [name.replace(' ', '_'), name]))
    const work = SCHEMAS.flatMap(([,], n) => {
      const tools = [0, 1, 2].map((k) => {
        const [name, parameters] = SCHEMAS[(n + k) % SCHEMAS.length]!
        return { name: name.replace(' ', '_'), parameters }
      })
      const choices: Choice[] = [
        'required',
        { named: tools[1]!.name },
        'auto',
        'none',
        { allowed: [tools[0]!.name, tools[2]!.name] },
      ]
      // Each schema meets each choice; which way it goes takes turns.
      return choices.map((choice, c) => {
        const ways = Object.values(WAYS)
        return {
          tools,
          choice,
          way: ways[(n + c) % ways.length]!,
          seed: n * 8 + c,
          parallel: [undefined, true, false][n % 3],
        }
      })
    })

    test('3 tools under each tool_choice: calls are as chosen and their arguments validate', async () => {
      const called = { auto: 0, several: 0 }
      await crowd(work, async ({ way, tools, choice, seed, parallel }) => {
        const wish = { seed, tools, choice, ...(parallel === undefined ? {} : { parallel }) }
        const { calls, finish, text } = await way(server.client, wish)
        const what = `${JSON.stringify(choice)} ${seed}: ${finish} ${text.slice(0, 200)} ${JSON.stringify(calls).slice(0, 600)}`
        const isForced = choice === 'required' || typeof choice === 'object'
        if (isForced) {
          expect(calls.length, what).toBeGreaterThan(0)
          expect(text, what).toBe('')
        }
        if (choice === 'none') expect(calls, what).toEqual([])
        if (choice === 'auto') called.auto += calls.length
        if (parallel === false) expect(calls.length, what).toBeLessThan(2)
        if (calls.length > 1) called.several += 1
        const reasons = typeof choice === 'object' && 'named' in choice ? ['stop'] : ['tool_calls']
        if (way === chat || way === chatStream)
          expect(calls.length > 0 ? reasons : ['stop'], what).toContain(finish)
        else expect(finish, what).toBe('completed')
        for (const call of calls) {
          expect(
            tools.map(({ name }) => name),
            what
          ).toContain(call.name)
          if (typeof choice === 'object' && 'named' in choice) expect(call.name).toBe(choice.named)
          if (typeof choice === 'object' && 'allowed' in choice)
            expect(choice.allowed).toContain(call.name)
          validate(originals.get(call.name)!, call.arguments)
        }
      })
      expect(called.auto).toBeGreaterThan(0)
      if (family === seedOss) expect(called.several).toBeGreaterThan(0)
    }, 300_000)
  })
