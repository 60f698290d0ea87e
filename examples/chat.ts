// Asks one question, plain or streamed, with a thinking budget: Seed-OSS's chat demo in TypeScript, for readers to run.
import { parseArgs } from 'node:util'
import { parseOutput } from '@seed/server/client'
import OpenAI from 'openai'

const { values } = parseArgs({
  options: {
    'base-url': { type: 'string', default: 'http://localhost:4321/v1' },
    model: { type: 'string' },
    max_new_tokens: { type: 'string', default: '4096' },
    thinking_budget: { type: 'string', default: '-1' },
    stream: { type: 'boolean', default: false },
  },
})

const client = new OpenAI({ baseURL: values['base-url'], apiKey: 'dummy' })

const firstModel = async (): Promise<string> => {
  const { data } = await client.models.list()
  return data[0]?.id ?? 'seed_oss'
}

const response = await client.chat.completions.create({
  model: values.model ?? (await firstModel()),
  stream: values.stream,
  messages: [{ role: 'user', content: 'How to make pasta?' }],
  max_tokens: Number(values.max_new_tokens),
  temperature: 1.1,
  top_p: 0.95,
  // @ts-expect-error: a field of Seed-OSS's own, which the package sends on
  chat_template_kwargs: { thinking_budget: Number(values.thinking_budget) },
})

await parseOutput(response, { stream: values.stream })
