// `seed-server render`: prints the prompt of each conversation on stdin, to look at or to compare with Python's.
import { readFileSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { TemplateError } from '../conversation.ts'
import type { ChatTemplate, Conversation, Json, Message, Tool } from '../conversation.ts'
import { gptOssFamily } from '../families/gpt-oss/index.ts'
import { STOCK_TEMPLATE } from '../families/seed-oss/stock.ts'
import { seedOssTemplate } from '../families/seed-oss/template.ts'
import { sourceOf, sourcesOf } from '../json.ts'

const USAGE = `Usage: seed-server render [--family seed-oss] [--template FILE] [--jsonl] < conversations
       seed-server render --family gpt-oss [--current-date YYYY-MM-DD] [--jsonl] < conversations

Reads one conversation as JSON, or with --jsonl one a line:
  {"messages": […], "tools": […], "thinking_budget": 512, "chat_template_kwargs": {…},
   "add_generation_prompt": true, "continue_final_message": false}
and prints {"prompt": …, "start": "auto" | "reasoning" | "content"} for each.
`

interface WireCall {
  id?: string
  function?: { name: string; arguments?: Json }
  name?: string
  arguments?: Json
}

interface WireMessage {
  role: Message['role']
  content?: Json
  name?: string
  reasoning?: string
  reasoning_content?: string
  tool_calls?: WireCall[] | null
  tool_call_id?: string
}

interface Wire {
  messages?: WireMessage[]
  tools?: Json[] | null
  thinking_budget?: number
  chat_template_kwargs?: { [key: string]: Json }
  add_generation_prompt?: boolean
  continue_final_message?: boolean
}

export async function run(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      family: { type: 'string', default: 'seed-oss' },
      template: { type: 'string' },
      'current-date': { type: 'string' },
      jsonl: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const template = templateOf(values.family, values.template, values['current-date'])
  if (!template) {
    process.stderr.write(`render knows the families seed-oss and gpt-oss, not '${values.family}'\n`)
    return 2
  }
  const input = await readAll(process.stdin)
  const documents = values.jsonl ? input.split('\n').filter((line) => line.trim() !== '') : [input]
  let failed = 0
  for (const document of documents) {
    const line = lineFor(template, document)
    if ('error' in line) failed += 1
    process.stdout.write(`${JSON.stringify(line)}\n`)
  }
  return failed > 0 ? 1 : 0
}

/** Harmony is the one template of gpt-oss; its date alone can be given. */
function templateOf(family: string, file?: string, date?: string): ChatTemplate | undefined {
  if (family === 'gpt-oss')
    return gptOssFamily(date === undefined ? {} : { currentDate: () => date }).template('')
  if (family !== 'seed-oss') return undefined
  return seedOssTemplate(file === undefined ? STOCK_TEMPLATE : readFileSync(file, 'utf8'))
}

type Line = { prompt: string; start: string } | { error: string; param?: string }

function lineFor(template: ChatTemplate, document: string): Line {
  try {
    const { text, start } = template.render(conversationOf(document))
    return { prompt: text, start }
  } catch (error) {
    if (error instanceof TemplateError) return { error: error.message, param: error.param }
    if (error instanceof SyntaxError) return { error: `The input is not JSON: ${error.message}` }
    throw error
  }
}

function conversationOf(document: string): Conversation {
  const wire = JSON.parse(document) as Wire
  if (!Array.isArray(wire.messages)) throw new TemplateError('messages must be a list', 'messages')
  const kwargs = wire.chat_template_kwargs ?? {}
  const budget = Number(wire.thinking_budget ?? kwargs['thinking_budget'] ?? -1)
  if (!Number.isInteger(budget)) {
    throw new TemplateError('thinking_budget must be a whole number', 'thinking_budget')
  }
  return {
    messages: wire.messages.map((message, i) => messageOf(message, i, document)),
    tools: wire.tools
      ? sourcesOf(document, ['tools']).map((source): Tool => ({ name: '', source }))
      : [],
    toolChoice: 'auto',
    budget: { tokens: Math.max(-1, budget), dialect: 'soft' },
    templateVariables: kwargs,
    addGenerationPrompt: wire.add_generation_prompt ?? true,
    continueFinalMessage: wire.continue_final_message ?? false,
  }
}

function messageOf(message: WireMessage, i: number, document: string): Message {
  const calls = message.tool_calls?.map((call, j) => {
    const path = [
      'messages',
      i,
      'tool_calls',
      j,
      ...(call.function ? ['function'] : []),
      'arguments',
    ]
    const { name, arguments: given } = call.function ?? call
    // Arguments come as JSON text, as in the API, or as the object itself, as in Python.
    const args = typeof given === 'string' ? given : (sourceOf(document, path) ?? '{}')
    return { id: call.id, name: name ?? '', arguments: args }
  })
  return {
    role: message.role,
    content: contentOf(message.content),
    name: message.name,
    reasoning: message.reasoning ?? message.reasoning_content,
    toolCalls: calls,
    toolCallId: message.tool_call_id,
  }
}

/** Text as it is, text parts joined. */
function contentOf(content: Json | undefined): string | null {
  if (content === undefined || content === null || typeof content === 'string')
    return content ?? null
  if (!Array.isArray(content))
    throw new TemplateError('content must be text or a list of text parts')
  return content
    .map((part) => {
      const text =
        typeof part === 'object' && part !== null && !Array.isArray(part) ? part['text'] : part
      if (typeof text === 'string') return text
      throw new TemplateError('content may hold text parts only')
    })
    .join('\n')
}
