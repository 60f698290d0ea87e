// Renders a conversation with a Seed-OSS chat template and tells in which state the model's reply starts.
import { TemplateError } from '../../conversation.ts'
import type {
  ChatTemplate,
  Conversation,
  Message,
  ParserStart,
  PromptPiece,
  RenderedPrompt,
  Tool,
  ToolCall,
} from '../../conversation.ts'
import {
  compileTemplate,
  fromJson,
  fromJsonText,
  GLOBAL_NAMES,
  SPACE,
  values,
} from '../../jinja.ts'
import type { CompiledTemplate, MapLike, Rendered, Value } from '../../jinja.ts'
import { BOS, cutAtControls, EOS, PAD, REFLECT, REFLECT_END, THINK, THINK_END } from './tokens.ts'

const { boolean, dict, integer, isDict, list, nullValue, ownText, string, truth } = values

/** Variables that the server sets itself: a caller who names one of them is refused. */
const RESERVED = new Set<string>([
  ...GLOBAL_NAMES,
  'messages',
  'tools',
  'add_generation_prompt',
  'continue_final_message',
  'chat_template',
  'tokenize',
  'return_dict',
  'return_tensors',
  'conversation',
  'bos_token',
  'eos_token',
  'pad_token',
])

/** What the second template version has the model say when it may not think. */
const ZERO_BUDGET =
  'The current thinking budget is 0, so I will directly start answering the question.'
const BLANK = new RegExp(`^[${SPACE}]*$`)

export function seedOssTemplate(source: string): ChatTemplate {
  const compiled = compileTemplate(source)
  return { render: (conversation) => render(compiled, conversation) }
}

function render(compiled: CompiledTemplate, conversation: Conversation): RenderedPrompt {
  const kept = keptMessages(conversation)
  const open = conversation.continueFinalMessage
  const tag = open ? unusedTag(conversation) : ''
  const variables: Record<string, Value> = {
    documents: nullValue,
    ...callerVariables(conversation),
    messages: list(kept.map(([message, i]) => messageValue(message, i))),
    tools: toolsValue(conversation),
    add_generation_prompt: boolean(conversation.addGenerationPrompt && !open),
    bos_token: ownText(BOS),
    eos_token: ownText(EOS),
    pad_token: ownText(PAD),
  }
  const budget = conversation.budget.tokens
  if (budget >= 0) variables['thinking_budget'] = integer(budget)
  if (open) appendTag(variables['messages']!, tag)
  const rendered = compiled.render(variables)
  const { text, ranges } = open ? cutAtTag(rendered, tag) : rendered
  const pieces = cutAtControls(text, ranges)
  const added = budget === 0 && !open ? closeThought(pieces) : ''
  return { text: text + added, pieces, start: startOf(pieces) }
}

/** The messages with their places in the request; a blank assistant turn would never be ended by the template. */
function keptMessages(conversation: Conversation): [Message, number][] {
  const { messages, continueFinalMessage } = conversation
  const last = messages.length - 1
  if (continueFinalMessage && messages[last]?.role !== 'assistant') {
    throw new TemplateError(
      'To continue the final message, it must be from the assistant',
      `messages[${Math.max(0, last)}].role`
    )
  }
  const kept = messages
    .map((message, i): [Message, number] => [message, i])
    .filter(([message, i]) => {
      const blank = message.role === 'assistant' && BLANK.test(message.content ?? '')
      return !blank || (message.toolCalls?.length ?? 0) > 0 || (continueFinalMessage && i === last)
    })
  if (kept.length === 0) {
    throw new TemplateError(
      'messages must hold at least one message that says something',
      'messages'
    )
  }
  return kept
}

function callerVariables(conversation: Conversation): Record<string, Value> {
  const variables = Object.create(null) as Record<string, Value>
  for (const [name, value] of Object.entries(conversation.templateVariables)) {
    if (name === 'thinking_budget' || value === undefined) continue
    if (RESERVED.has(name)) {
      throw new TemplateError(
        `chat_template_kwargs cannot set '${name}': the server sets it itself`,
        `chat_template_kwargs.${name}`
      )
    }
    variables[name] = at(`chat_template_kwargs.${name}`, () => fromJson(value))
  }
  return variables
}

function messageValue(message: Message, index: number): Value {
  const fields = new Map<string, Value>()
  const reasoning = message.reasoning
  if (reasoning !== undefined) fields.set('thinking', string(reasoning))
  // The role is one of our own words, never the caller's text.
  fields.set('role', ownText(message.role === 'developer' ? 'system' : message.role))
  fields.set('content', string(message.content ?? ''))
  if (message.name !== undefined) fields.set('name', string(message.name))
  if (reasoning !== undefined) fields.set('reasoning_content', string(reasoning))
  if (message.toolCalls && message.toolCalls.length > 0) {
    const calls = message.toolCalls.map((call, j) => {
      return callValue(call, `messages[${index}].tool_calls[${j}].function.arguments`)
    })
    fields.set('tool_calls', list(calls))
  }
  if (message.toolCallId !== undefined) fields.set('tool_call_id', string(message.toolCallId))
  return dict(fields)
}

function callValue(call: ToolCall, param: string): Value {
  const parsed = at(param, () => fromJsonText(BLANK.test(call.arguments) ? '{}' : call.arguments))
  if (!isDict(parsed)) {
    throw new TemplateError(`${param} must be the JSON text of an object`, param)
  }
  const called = dict(
    new Map<string, Value>([
      ['name', string(call.name)],
      ['arguments', parsed],
    ])
  )
  const fields = new Map<string, Value>()
  if (call.id !== undefined) fields.set('id', string(call.id))
  fields.set('type', ownText('function'))
  fields.set('function', called)
  return dict(fields)
}

/** Runs a reader of the caller's JSON; its complaints name the field. */
function at<T>(param: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const what =
      error instanceof SyntaxError ? `is not valid JSON: ${reason}` : `cannot be used: ${reason}`
    throw new TemplateError(`${param} ${what}`, param)
  }
}

function toolsValue(conversation: Conversation): Value {
  if (conversation.tools.length === 0) return nullValue
  const asJson = Boolean(conversation.templateVariables['use_json_tooldef'])
  return list(conversation.tools.map((tool, i) => toolValue(tool, `tools[${i}]`, asJson)))
}

/** A tool as the caller wrote it, with the empty parameters that the template cannot do without. */
function toolValue(tool: Tool, param: string, asJson: boolean): Value {
  const value = at(param, () => fromJsonText(tool.source || sourceOfTool(tool)))
  const called = isDict(value) ? value.value.get('function') : undefined
  if (!called || !isDict(called)) {
    throw new TemplateError(`${param} must be an object with a 'function' object`, param)
  }
  const given = called.value.get('parameters')
  const parameters = given && truth(given) ? given : emptyParameters()
  called.value.set('parameters', parameters)
  if (isDict(parameters) && !asJson) fillProperties(parameters)
  return value
}

function emptyParameters(): MapLike {
  return dict(
    new Map<string, Value>([
      ['type', ownText('object')],
      ['properties', dict(new Map())],
    ])
  )
}

function fillProperties(parameters: MapLike): void {
  const properties = parameters.value.get('properties')
  if (!properties || !isDict(properties)) parameters.value.set('properties', dict(new Map()))
}

function sourceOfTool(tool: Tool): string {
  const { name, description, parameters, strict } = tool
  return JSON.stringify({ type: 'function', function: { name, description, parameters, strict } })
}

/** A word that occurs nowhere in the conversation, so that the end of the final message is found for sure. */
function unusedTag(conversation: Conversation): string {
  const given = JSON.stringify(conversation)
  for (let i = 0; ; i += 1) {
    const tag = `CONTINUE_FINAL_MESSAGE_TAG_${i} `
    if (!given.includes(tag.trim())) return tag
  }
}

function appendTag(messages: Value, tag: string): void {
  const last = (messages as unknown as { value: MapLike[] }).value.at(-1)!
  const content = last.value.get('content') as unknown as { value: string }
  last.value.set('content', string(content.value + tag))
}

/** As transformers' continue_final_message: everything after the final message's content goes. */
function cutAtTag({ text, ranges }: Rendered, tag: string): Rendered {
  const found = text.lastIndexOf(tag.trim())
  if (found < 0) {
    throw new TemplateError(
      'The final message cannot be continued: the chat template does not show its content',
      'continue_final_message'
    )
  }
  const exact = text.startsWith(tag, found)
  const head = text.slice(0, found)
  const end = exact ? found : head.replace(new RegExp(`[${SPACE}]+$`), '').length
  return { text: text.slice(0, end), ranges: ranges.map((offset) => Math.min(offset, end)) }
}

function isControl(piece: PromptPiece | undefined, text: string): boolean {
  return piece?.control === true && piece.text === text
}

/**
 * The first template version leaves a zero-budget prompt inside an open reflection for the model to close;
 * we close it with the words the second version uses. Returns what was appended.
 */
function closeThought(pieces: PromptPiece[]): string {
  if (!isControl(pieces.at(-1), REFLECT) || !isControl(pieces.at(-2), THINK)) return ''
  const added: PromptPiece[] = [
    { text: ZERO_BUDGET, control: false },
    { text: REFLECT_END, control: true },
    { text: '\n', control: false },
    { text: THINK_END, control: true },
  ]
  pieces.push(...added)
  return added.map((piece) => piece.text).join('')
}

/** Reads the state off the prompt's last, unfinished assistant turn. */
function startOf(pieces: PromptPiece[]): ParserStart {
  const begin = pieces.findLastIndex((piece) => piece.control && piece.text === BOS)
  const turn = pieces.slice(begin + 1)
  if (begin < 0 || turn[0]?.control !== false || !turn[0].text.startsWith('assistant'))
    return 'auto'
  if (turn.some((piece) => piece.control && piece.text === EOS)) return 'auto'
  const last = turn.findLast((p) => p.control && (p.text === THINK || p.text === THINK_END))
  if (last) return last.text === THINK ? 'reasoning' : 'content'
  const said = turn.map((piece) => piece.text).join('')
  return BLANK.test(said.slice('assistant'.length)) ? 'auto' : 'content'
}
