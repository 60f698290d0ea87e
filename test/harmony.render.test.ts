// gpt-oss prompts against the openai-harmony library's, token for token, and what must hold whatever a caller writes.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { Tiktoken } from 'js-tiktoken/lite'
import o200k from 'js-tiktoken/ranks/o200k_base'
import { describe, expect, it, vi } from 'vitest'
import type {
  Conversation,
  Json,
  Message,
  PromptPiece,
  RenderedPrompt,
  Tool,
} from '../src/conversation.ts'
import { TemplateError } from '../src/conversation.ts'
import { gptOssTemplate } from '../src/families/gpt-oss/template.ts'
import { CONTROL_TOKENS } from '../src/families/gpt-oss/tokens.ts'
import { sourcesOf } from '../src/json.ts'

vi.setConfig({ testTimeout: 60_000 })

const IDS: { [name: string]: number } = {
  '<|startoftext|>': 199998,
  '<|endoftext|>': 199999,
  '<|return|>': 200002,
  '<|constrain|>': 200003,
  '<|channel|>': 200005,
  '<|start|>': 200006,
  '<|end|>': 200007,
  '<|message|>': 200008,
  '<|call|>': 200012,
}

const vocabulary = new Tiktoken(o200k)
const idsOf = ({ pieces }: RenderedPrompt): number[] =>
  pieces.flatMap(({ text, control }) => (control ? [IDS[text]!] : vocabulary.encode(text, [], [])))

/** Neighbouring texts as one, as the engine encodes them: harmony's borders lie where o200k has its own. */
const joined = ({ pieces }: RenderedPrompt): PromptPiece[] => {
  const out: PromptPiece[] = []
  for (const piece of pieces) {
    const last = out.at(-1)
    if (last && !last.control && !piece.control) last.text += piece.text
    else out.push({ ...piece })
  }
  return out
}

const golden = gunzipSync(
  readFileSync(new URL('fixtures/harmony/render.jsonl.gz', import.meta.url))
)
  .toString('utf8')
  .trimEnd()
  .split('\n')

const TODAY = '2026-03-07'
const template = gptOssTemplate({ currentDate: () => TODAY })

const conversation = (parts: Partial<Conversation>): Conversation => ({
  messages: [{ role: 'user', content: 'Hello' }],
  tools: [],
  toolChoice: 'auto',
  parallelToolCalls: true,
  budget: { tokens: -1, dialect: 'soft' },
  templateVariables: {},
  addGenerationPrompt: true,
  continueFinalMessage: false,
  ...parts,
})

interface WireMessage extends Omit<Message, 'toolCalls' | 'toolCallId'> {
  tool_call_id?: string
  tool_calls?: { id: string; function: { name: string; arguments: string } }[]
}

interface Wire {
  messages: WireMessage[]
  chat_template_kwargs: { [key: string]: Json }
  response_format?: { name: string; description?: string; schema: string }
  add_generation_prompt?: boolean
  tokens: number[]
}

/** A golden line as the protocol would hand it on; tools stay JSON text. */
const fromLine = (line: string, wire: Wire): Conversation =>
  conversation({
    messages: wire.messages.map(({ tool_calls: calls, tool_call_id: toolCallId, ...message }) => ({
      ...message,
      ...(calls ? { toolCalls: calls.map(({ id, function: named }) => ({ id, ...named })) } : {}),
      ...(toolCallId === undefined ? {} : { toolCallId }),
    })),
    tools: sourcesOf(line, ['tools']).map((source): Tool => ({ name: '', source })),
    templateVariables: wire.chat_template_kwargs,
    ...(wire.response_format ? { responseFormat: wire.response_format } : {}),
    addGenerationPrompt: wire.add_generation_prompt ?? true,
  })

const rendered = (parts: Partial<Conversation>): RenderedPrompt =>
  template.render(conversation(parts))
const controls = ({ pieces }: RenderedPrompt): string[] =>
  pieces.filter(({ control }) => control).map(({ text }) => text)
const tool = (parameters: Json, name = 'f'): Tool => ({
  name,
  source: JSON.stringify({ type: 'function', function: { name, parameters } }),
})
const user = (content: string): Message => ({ role: 'user', content })

describe('against openai-harmony', () => {
  it.each(golden.map((line, n) => ({ n, line })))('conversation $n', ({ line }) => {
    const wire = JSON.parse(line) as Wire
    const ours = template.render(fromLine(line, wire))
    const names = Object.entries(IDS)
    const text = wire.tokens
      .map((id) => names.find(([, one]) => one === id)?.[0] ?? `${id}`)
      .filter((one) => one.startsWith('<|'))
    expect(controls(ours)).toEqual(text)
    expect(idsOf(ours)).toEqual(wire.tokens)
    expect(idsOf({ ...ours, pieces: joined(ours) })).toEqual(wire.tokens)
  })

  it('holds at least sixty', () => expect(golden.length).toBeGreaterThanOrEqual(60))
})

describe('what the system message says', () => {
  it.each([
    [{}, `Current date: ${TODAY}\n\nReasoning: medium`],
    [{ current_date: '2025-01-02' }, 'Current date: 2025-01-02\n'],
    [{ reasoning_effort: 'high' }, '\n\nReasoning: high\n\n'],
    [{ reasoning_effort: 'minimal' }, '\n\nReasoning: low\n\n'],
    [{ model_identity: 'You are X.' }, 'You are X.\nKnowledge cutoff: 2024-06\n'],
  ])('%j', (templateVariables, expected) => {
    expect(rendered({ templateVariables }).text).toContain(expected)
  })

  it.each([
    [{ reasoning_effort: 'invalid' }, 'reasoning_effort'],
    [{ reasoning_effort: 'toString' }, 'reasoning_effort'],
    [{ current_date: 5 }, 'chat_template_kwargs.current_date'],
    [{ builtin_tools: ['rm'] }, 'chat_template_kwargs.builtin_tools'],
  ])('refuses %j', (templateVariables, param) => {
    const attempt = () => rendered({ templateVariables })
    expect(attempt).toThrow(TemplateError)
    expect(attempt).toThrow(expect.objectContaining({ param }))
  })

  it('reads the clock once a prompt and not where the caller gives a date', () => {
    let reads = 0
    const counted = gptOssTemplate({
      currentDate: () => {
        reads += 1
        return TODAY
      },
    })
    counted.render(conversation({}))
    counted.render(conversation({ templateVariables: { current_date: TODAY } }))
    expect(reads).toBe(1)
  })
})

describe('tools', () => {
  it('are hidden where none may be called, and their calls in the history stay', () => {
    const call = { id: 'c', name: 'f', arguments: '{}' }
    const { text } = rendered({
      tools: [tool({})],
      toolChoice: 'none',
      messages: [
        user('x'),
        { role: 'assistant', content: null, toolCalls: [call] },
        { role: 'tool', content: 'r', toolCallId: 'c' },
      ],
    })
    expect(text).not.toContain('# Tools')
    expect(text).not.toContain('Calls to these tools')
    expect(text).toContain(
      '<|start|>functions.f to=assistant<|channel|>commentary<|message|>r<|end|>'
    )
  })

  it('answer by order where the caller gives neither id nor name', () => {
    const toolCalls = ['a', 'b'].map((name) => ({ name, arguments: '{}' }))
    const { text } = rendered({
      messages: [
        { role: 'assistant', content: null, toolCalls },
        { role: 'tool', content: '1' },
        { role: 'tool', content: '2' },
      ],
    })
    expect(text).toContain('functions.a to=assistant<|channel|>commentary<|message|>1<|end|>')
    expect(text).toContain('functions.b to=assistant<|channel|>commentary<|message|>2<|end|>')
  })

  it('must have been called before they answer', () => {
    const attempt = () => rendered({ messages: [{ role: 'tool', content: 'x' }] })
    expect(attempt).toThrow(expect.objectContaining({ param: 'messages[0].tool_call_id' }))
  })

  it("go before builtin tools of the same name: a caller's python is a function", () => {
    const toolCalls = [{ id: 'c', name: 'python', arguments: '{}' }]
    const messages: Message[] = [{ role: 'assistant', content: null, toolCalls }]
    const templateVariables = { builtin_tools: ['python'] }
    const own = rendered({ messages, templateVariables, tools: [tool({}, 'python')] })
    expect(own.text).toContain('assistant to=functions.python<|channel|>commentary')
    expect(rendered({ messages, templateVariables }).text).toContain(
      'assistant to=python<|channel|>analysis code<|message|>{}<|call|>'
    )
  })

  it.each([
    ['a schema that holds itself', { $ref: '#' }],
    [
      'types that hold each other',
      {
        type: 'object',
        properties: { a: { $ref: '#/$defs/A' } },
        $defs: { A: { type: 'object', properties: { b: { $ref: '#/$defs/A' } } } },
      },
    ],
    ['a reference to nowhere', { $ref: '#/no/where' }],
    ['a reference elsewhere', { $ref: 'https://example.com/x' }],
    ['nonsense', { type: 5, oneOf: 'x', anyOf: {}, properties: [], enum: 1, required: 'a' }],
    ['a list', []],
    ['a flag', true],
  ])('renders %s', (_, parameters) => {
    expect(rendered({ tools: [tool(parameters as Json)] }).text).toContain('type f = (_: ')
  })

  it('references that multiply end soon', () => {
    const doubled = Array.from({ length: 40 }, (__, i) => [
      `d${i}`,
      { oneOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
    ])
    const schema = { $ref: '#/$defs/d0', $defs: Object.fromEntries(doubled) }
    expect(rendered({ tools: [tool(schema as Json)] }).text.length).toBeLessThan(1e6)
  })

  it('references to much text are followed only so often', () => {
    const properties = Object.fromEntries(
      Array.from({ length: 500 }, (__, i) => [`p${i}`, { $ref: '#/$defs/big' }])
    )
    const big = { type: 'string', description: 'x'.repeat(50_000) }
    const schema = { type: 'object', properties, $defs: { big } }
    const { text } = rendered({ tools: [tool(schema)] })
    expect(text.length).toBeLessThan(1e6)
    expect(text).toContain('p499?: any,')
  })

  it('too deep a schema is refused', () => {
    let schema = '{}'
    for (let i = 0; i < 5000; i += 1) schema = `{"items":${schema}}`
    const source = `{"function":{"name":"f","parameters":${schema}}}`
    expect(() => rendered({ tools: [{ name: 'f', source }] })).toThrow(TemplateError)
  })
})

describe('what a caller writes', () => {
  const hostile = CONTROL_TOKENS.join('')

  it('is never a control token, wherever it stands', () => {
    const messages = (text: string): Message[] => [
      { role: 'system', content: text },
      { role: 'user', content: text, name: text },
      {
        role: 'assistant',
        content: text,
        reasoning: text,
        toolCalls: [{ id: text, name: text, arguments: text }],
      },
      { role: 'tool', content: text, toolCallId: text },
      { role: 'developer', content: text },
    ]
    const all = (text: string): RenderedPrompt =>
      rendered({
        messages: messages(text),
        tools: [tool({ type: 'string', enum: [text] }, text)],
        responseFormat: { name: text, description: text, schema: JSON.stringify({ title: text }) },
        templateVariables: { model_identity: text, current_date: text },
      })
    expect(controls(all(hostile))).toEqual(controls(all('plain')))
  })

  it('keeps the thought of a turn that goes on and drops the thoughts before the last answer', () => {
    const said = (content: string | null, reasoning: string): Message => ({
      role: 'assistant',
      content,
      reasoning,
    })
    const call = { id: 'c', name: 'f', arguments: '{}' }
    const { text } = rendered({
      messages: [
        user('1'),
        said('first', 'old thought'),
        user('2'),
        said('second', 'older than the last answer'),
        user('3'),
        { ...said(null, 'kept thought'), toolCalls: [call] },
        { role: 'tool', content: 'r', toolCallId: 'c' },
      ],
    })
    expect(text).not.toContain('old')
    expect(text).toContain('<|channel|>analysis<|message|>kept thought<|end|>')
    expect(text).not.toContain('<|return|>')
  })

  it('must be something', () => {
    expect(() => rendered({ messages: [] })).toThrow(TemplateError)
  })
})

describe('a final message to go on with', () => {
  const open = (message: Partial<Message>): RenderedPrompt =>
    rendered({
      messages: [user('x'), { role: 'assistant', content: null, ...message }],
      continueFinalMessage: true,
      addGenerationPrompt: false,
    })

  it('stays open, its own thought with it', () => {
    const { text, start } = open({ content: 'Once', reasoning: 'A tale' })
    const end =
      '<|start|>assistant<|channel|>analysis<|message|>A tale<|end|><|start|>assistant<|channel|>final<|message|>Once'
    expect(text.endsWith(end)).toBe(true)
    expect(start).toBe('content')
  })

  it('may be a thought', () => {
    const { text, start } = open({ reasoning: 'Hm' })
    expect(text.endsWith('<|start|>assistant<|channel|>analysis<|message|>Hm')).toBe(true)
    expect(start).toBe('reasoning')
  })

  it("must be the assistant's, without calls", () => {
    expect(() => open({ role: 'user', content: 'x' })).toThrow(TemplateError)
    expect(() => open({ toolCalls: [{ name: 'f', arguments: '' }] })).toThrow(TemplateError)
  })
})
