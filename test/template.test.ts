// Seed-OSS prompts against Python's, and what must hold whatever the caller writes.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Conversation, Message, RenderedPrompt, Tool } from '../src/conversation.ts'
import { TemplateError } from '../src/conversation.ts'
import { seedOssTemplate } from '../src/families/seed-oss/template.ts'
import { CONTROL_TOKENS } from '../src/families/seed-oss/tokens.ts'
import { sourceOf, sourcesOf } from '../src/json.ts'

const fixtures = new URL('fixtures/', import.meta.url)
const stock = (version: string): string =>
  readFileSync(new URL(`templates/seed-oss.${version}.jinja`, fixtures), 'utf8')
const templates = { v1: seedOssTemplate(stock('v1')), v2: seedOssTemplate(stock('v2')) }
const golden = gunzipSync(readFileSync(new URL('render/seed-oss.jsonl.gz', fixtures)))
  .toString('utf8')
  .trimEnd()
  .split('\n')

const ZERO = 'The current thinking budget is 0, so I will directly start answering the question.'
const CLOSED_BY_US = `${ZERO}</seed:cot_budget_reflect>\n</seed:think>`

function conversation(parts: Partial<Conversation>): Conversation {
  return {
    messages: [{ role: 'user', content: 'Hello' }],
    tools: [],
    toolChoice: 'auto',
    parallelToolCalls: true,
    budget: { tokens: -1, dialect: 'soft' },
    templateVariables: {},
    addGenerationPrompt: true,
    continueFinalMessage: false,
    ...parts,
  }
}

interface WireMessage {
  role: Message['role']
  content: string | null
  reasoning_content?: string
  tool_call_id?: string
  tool_calls?: { id: string; function: { name: string } }[]
}

/** A golden line as the protocol would hand it on: arguments and tools stay JSON text. */
function fromLine(line: string): Conversation {
  const wire = JSON.parse(line) as {
    messages: WireMessage[]
    thinking_budget?: number
    use_json_tooldef?: boolean
    add_generation_prompt: boolean
  }
  const messages = wire.messages.map((m, i): Message => ({
    role: m.role,
    content: m.content,
    reasoning: m.reasoning_content,
    toolCallId: m.tool_call_id,
    toolCalls: m.tool_calls?.map((call, j) => ({
      id: call.id,
      name: call.function.name,
      arguments: sourceOf(line, ['messages', i, 'tool_calls', j, 'function', 'arguments'])!,
    })),
  }))
  const tools = sourcesOf(line, ['tools']).map((source): Tool => ({ name: '', source }))
  return conversation({
    messages,
    tools,
    budget: { tokens: wire.thinking_budget ?? -1, dialect: 'soft' },
    templateVariables: wire.use_json_tooldef ? { use_json_tooldef: true } : {},
    addGenerationPrompt: wire.add_generation_prompt,
  })
}

const said = (prompt: RenderedPrompt): string => prompt.pieces.map((piece) => piece.text).join('')
const controls = (prompt: RenderedPrompt): string[] =>
  prompt.pieces.filter((piece) => piece.control).map((piece) => piece.text)

describe('stock templates', () => {
  it('render what Python renders, byte for byte', () => {
    const misses: unknown[] = []
    for (const line of golden) {
      const { text, v1 } = JSON.parse(line) as { text: string; v1?: [number, string] }
      const expected = { v2: text, v1: v1 ? text.slice(0, -v1[0]) + v1[1] : text }
      for (const version of ['v1', 'v2'] as const) {
        const prompt = templates[version].render(fromLine(line))
        const zero = v1 && version === 'v1' && prompt.text.endsWith(CLOSED_BY_US)
        const ours = zero ? prompt.text.slice(0, -CLOSED_BY_US.length) : prompt.text
        if (ours !== expected[version]) misses.push({ version, python: expected[version], ours })
        expect(said(prompt)).toBe(prompt.text)
      }
    }
    const count = 2 * golden.length
    console.log(`stock templates: ${count - misses.length} of ${count} prompts as Python`)
    expect(misses).toEqual([])
    expect(count).toBeGreaterThan(600)
  })
})
