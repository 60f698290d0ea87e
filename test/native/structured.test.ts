// The helpers by which client libraries ask for a shape, against random weights of both families: what comes back is
// parsed by the library itself, so a single wrong byte fails.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { ChatOpenAI } from '@langchain/openai'
import { Agent, OpenAIProvider, Runner } from '@openai/agents'
import { generateText, Output, streamText, tool } from 'ai'
import { zodResponseFormat, zodTextFormat, zodFunction } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

const shape = z.strictObject({
  city: z.string().max(12),
  days: z.array(z.strictObject({ day: z.enum(['mon', 'tue']), high: z.int().max(99) })).max(2),
  note: z.string().max(8).nullable(),
})
/** Without bounds, which Anthropic's helper moves into descriptions. */
const open = z.strictObject({ city: z.string(), day: z.enum(['mon', 'tue']), rain: z.boolean() })
type Shape = z.infer<typeof shape>
const question = 'How will the weather be?'
const messages = [{ role: 'user' as const, content: question }]

for (const family of [seedOss, gptOss])
  describe(family.name, () => {
    let model: ReturnType<typeof tinyModel>
    let server: Running
    let baseURL = ''
    beforeAll(async () => {
      model = tinyModel(family, { max_position_embeddings: 16384 })
      const template = readFileSync(join(model.path, 'chat_template.jinja'), 'utf8')
      server = await serveFolder(model.path, template, { maxSequences: 8 }, family)
      baseURL = `${server.url}/v1`
    })
    afterAll(async () => {
      await server.close()
      model.drop()
    })

    const ways: [string, () => Promise<unknown>][] = [
      [
        'chat.completions.parse',
        async () => {
          const response_format = zodResponseFormat(shape, 'weather')
          const body = { model: 'tiny', messages, response_format }
          return (await server.client.chat.completions.parse(body)).choices[0]?.message.parsed
        },
      ],
      [
        'chat.completions.stream with a format',
        async () => {
          const response_format = zodResponseFormat(shape, 'weather')
          const stream = server.client.chat.completions.stream({
            model: 'tiny',
            messages,
            response_format,
          })
          return (await stream.finalChatCompletion()).choices[0]?.message.parsed
        },
      ],
      [
        'chat.completions.parse with a strict tool',
        async () => {
          const { choices } = await server.client.chat.completions.parse({
            model: 'tiny',
            messages,
            tools: [zodFunction({ name: 'weather', parameters: shape })],
            tool_choice: 'required',
          })
          return choices[0]?.message.tool_calls?.[0]?.function.parsed_arguments
        },
      ],
      [
        'responses.parse',
        async () => {
          const text = { format: zodTextFormat(shape, 'weather') }
          const body = { model: 'tiny', input: question, text }
          return (await server.client.responses.parse(body)).output_parsed
        },
      ],
      [
        'AI SDK over Responses',
        async () => {
          const provider = createOpenAI({ baseURL, apiKey: 'none' })
          const output = Output.object({ schema: shape })
          return (await generateText({ model: provider('tiny'), prompt: question, output })).output
        },
      ],
      [
        'AI SDK over Chat, streamed',
        async () => {
          const provider = createOpenAICompatible({
            name: 'seed',
            baseURL,
            supportsStructuredOutputs: true,
          })
          const output = Output.object({ schema: shape })
          const stream = streamText({ model: provider('tiny'), prompt: question, output })
          for await (const _ of stream.textStream);
          return stream.output
        },
      ],
      [
        'AI SDK with a tool that must be called, streamed',
        async () => {
          const provider = createOpenAICompatible({ name: 'seed', baseURL })
          const stream = streamText({
            model: provider('tiny'),
            prompt: question,
            tools: { weather: tool({ inputSchema: shape }) },
            toolChoice: 'required',
          })
          return (await stream.toolCalls)[0]?.input
        },
      ],
      [
        '@openai/agents with an output type',
        async () => {
          const provider = new OpenAIProvider({ baseURL, apiKey: 'none' })
          const runner = new Runner({ modelProvider: provider, tracingDisabled: true })
          const agent = new Agent({ name: 'forecaster', model: 'tiny', outputType: shape })
          return (await runner.run(agent, question)).finalOutput
        },
      ],
      ...(['jsonSchema', 'functionCalling'] as const).map(
        (method): [string, () => Promise<unknown>] => [
          `LangChain withStructuredOutput by ${method}`,
          () => {
            const chat = new ChatOpenAI({
              model: 'tiny',
              apiKey: 'none',
              configuration: { baseURL },
              maxRetries: 0,
            })
            const held = chat.withStructuredOutput<Shape>(shape, {
              name: 'weather',
              method,
              strict: true,
            })
            return held.invoke(question)
          },
        ]
      ),
      [
        'Anthropic messages.parse',
        async () => {
          const client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 })
          const message = await client.messages.parse({
            model: 'tiny',
            max_tokens: 4000,
            messages,
            output_config: { format: zodOutputFormat(open) },
          })
          return message.parsed_output
        },
      ],
    ]

    test.each(ways)('%s', { timeout: 60_000 }, async (_, ask) => {
      const got = z.union([shape, open]).parse(await ask())
      expect(got.city).toEqual(expect.any(String))
    })
  })
