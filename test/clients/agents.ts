// One question that needs a tool, asked through each agent library and each API; tests give it a server to ask.
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  Runner,
  setTracingDisabled,
  tool as agentTool,
} from '@openai/agents'
import Anthropic from '@anthropic-ai/sdk'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, type LanguageModel, stepCountIs, streamText, tool } from 'ai'
import OpenAI from 'openai'

// Nothing of a test leaves this machine.
setTracingDisabled(true)

export interface Asked {
  /** Where the API is, `/v1` included. */
  baseURL: string
  model: string
  question: string
  /** What the tool says. */
  result: string
}

export interface Round {
  answer: string
  /** Arguments of each call of the tool. */
  calls: unknown[]
}

const NAME = 'get_weather'
const DESCRIPTION = 'Get current temperature for a given location.'
const PARAMETERS = {
  type: 'object' as const,
  properties: {
    location: { type: 'string' as const, description: 'City and country e.g. Bogotá, Colombia' },
  },
  required: ['location' as const],
  additionalProperties: false as const,
}
const MOST_STEPS = 4

const withAgents =
  (Model: typeof OpenAIResponsesModel | typeof OpenAIChatCompletionsModel, stream: boolean) =>
  async ({ baseURL, model, question, result }: Asked): Promise<Round> => {
    const calls: unknown[] = []
    const weather = agentTool({
      name: NAME,
      description: DESCRIPTION,
      strict: false,
      parameters: { ...PARAMETERS, additionalProperties: true },
      execute: async (args) => {
        calls.push(args)
        return result
      },
    })
    const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
    const agent = new Agent({
      name: 'weather',
      tools: [weather],
      model: new Model(client as never, model),
      modelSettings: { temperature: 0 },
    })
    const limits = { maxTurns: MOST_STEPS }
    if (!stream) {
      const { finalOutput } = await new Runner().run(agent, question, limits)
      return { answer: finalOutput ?? '', calls }
    }
    const run = await new Runner().run(agent, question, { ...limits, stream: true })
    let answer = ''
    for await (const text of run.toTextStream()) answer += text
    await run.completed
    if (!answer.endsWith(run.finalOutput ?? '')) throw new Error(`${answer} ≠ ${run.finalOutput}`)
    return { answer: run.finalOutput ?? '', calls }
  }

const withAiSdk =
  (modelOf: (asked: Asked) => LanguageModel, stream: boolean) =>
  async (asked: Asked): Promise<Round> => {
    const calls: unknown[] = []
    const weather = tool({
      description: DESCRIPTION,
      inputSchema: jsonSchema<{ location: string }>(PARAMETERS),
      execute: async (args) => {
        calls.push(args)
        return asked.result
      },
    })
    const settings = {
      model: modelOf(asked),
      tools: { [NAME]: weather },
      prompt: asked.question,
      temperature: 0,
      maxRetries: 0,
      stopWhen: stepCountIs(MOST_STEPS),
    }
    if (!stream) return { answer: (await generateText(settings)).text, calls }
    const failures: unknown[] = []
    const run = streamText({ ...settings, onError: ({ error }) => void failures.push(error) })
    let answer = ''
    for await (const text of run.textStream) answer += text
    if (failures.length > 0) throw failures[0]
    return { answer, calls }
  }

const settingsOf = ({ baseURL }: Asked) => ({ baseURL, apiKey: 'none' })
const responses = (asked: Asked): LanguageModel =>
  createOpenAI(settingsOf(asked)).responses(asked.model)
const chat = (asked: Asked): LanguageModel => createOpenAI(settingsOf(asked)).chat(asked.model)
const compatible = (asked: Asked): LanguageModel =>
  createOpenAICompatible({ name: 'seed', ...settingsOf(asked) })(asked.model)

/** Every way, by library, API and whether it streams. */
/** The loop that agents of Anthropic's API run: call, result, until an answer comes. */
const withAnthropic =
  (stream: boolean) =>
  async ({ baseURL, model, question, result }: Asked): Promise<Round> => {
    const client = new Anthropic({
      baseURL: baseURL.replace(/\/v1$/, ''),
      apiKey: 'none',
      maxRetries: 0,
    })
    const tools = [{ name: NAME, description: DESCRIPTION, input_schema: PARAMETERS }]
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: question }]
    const calls: unknown[] = []
    for (let step = 0; step < MOST_STEPS; step += 1) {
      const body = { model, max_tokens: 400, temperature: 0, tools, messages }
      const answer = stream
        ? client.messages.stream(body).finalMessage()
        : client.messages.create(body)
      // oxlint-disable-next-line no-await-in-loop
      const { content, stop_reason: reason } = await answer
      messages.push({ role: 'assistant', content })
      if (reason !== 'tool_use') {
        const said = content.map((block) => (block.type === 'text' ? block.text : ''))
        return { answer: said.join(''), calls }
      }
      const results = content.flatMap((block): Anthropic.ToolResultBlockParam[] => {
        if (block.type !== 'tool_use') return []
        calls.push(block.input)
        return [{ type: 'tool_result', tool_use_id: block.id, content: result }]
      })
      messages.push({ role: 'user', content: results })
    }
    return { answer: '', calls }
  }

export const WAYS: [string, (asked: Asked) => Promise<Round>][] = [false, true].flatMap(
  (stream): [string, (asked: Asked) => Promise<Round>][] => {
    const how = stream ? 'streamed' : 'whole'
    return [
      [`@openai/agents, Responses, ${how}`, withAgents(OpenAIResponsesModel, stream)],
      [`@openai/agents, Chat, ${how}`, withAgents(OpenAIChatCompletionsModel, stream)],
      [`AI SDK, Responses, ${how}`, withAiSdk(responses, stream)],
      [`AI SDK, Chat, ${how}`, withAiSdk(chat, stream)],
      [`AI SDK's compatible provider, Chat, ${how}`, withAiSdk(compatible, stream)],
      [`Anthropic's SDK, Messages, ${how}`, withAnthropic(stream)],
    ]
  }
)
