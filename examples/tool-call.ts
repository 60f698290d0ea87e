// Lets the model call a function, plain or streamed: Seed-OSS's tool-calling demo in TypeScript, for readers to run.
import { parseArgs } from 'node:util'
import { parseOutput } from '@seed/server/client'
import OpenAI from 'openai'

const { values } = parseArgs({
  options: {
    'base-url': { type: 'string', default: 'http://localhost:4321/v1' },
    model: { type: 'string', default: 'seed_oss' },
    max_new_tokens: { type: 'string', default: '4096' },
    thinking_budget: { type: 'string', default: '-1' },
    stream: { type: 'boolean', default: false },
  },
})

const client = new OpenAI({ baseURL: values['base-url'], apiKey: 'dummy' })

interface Place {
  location: string
  unit?: string
}

const getWeather = ({ location, unit = 'celsius' }: Place): string =>
  `Getting the weather for ${location} in ${unit}...`

const weatherTool = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    description: 'Get current temperature for a given location.',
    parameters: {
      type: 'object',
      properties: {
        location: { type: 'string', description: 'City and country e.g. Bogotá, Colombia' },
        unit: { type: 'string', description: 'this is the unit of temperature' },
      },
      required: ['location'],
      additionalProperties: false,
    },
    // Not a field of OpenAI's: Seed-OSS's template shows the model what comes back.
    returns: {
      type: 'object',
      properties: { temperature: { type: 'number', description: 'temperature in celsius' } },
      required: ['temperature'],
      additionalProperties: false,
    },
    strict: true,
  },
}

const response = await client.chat.completions.create({
  model: values.model,
  stream: values.stream,
  messages: [
    { role: 'user', content: 'You are a test system.' },
    { role: 'assistant', content: 'Hi there!' },
    { role: 'user', content: 'Let me know the weather in Barcelona Spain.' },
  ],
  tools: [weatherTool],
  tool_choice: 'auto',
  max_tokens: Number(values.max_new_tokens),
  temperature: 1.1,
  top_p: 0.95,
  // @ts-expect-error: a field of Seed-OSS's own, which the package sends on
  chat_template_kwargs: { thinking_budget: Number(values.thinking_budget) },
})

await parseOutput(response, {
  stream: values.stream,
  toolFunctions: { get_weather: getWeather },
})
