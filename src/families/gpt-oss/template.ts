// Renders a conversation as harmony, the format of gpt-oss, token for token as the openai-harmony library does.
import { TemplateError } from '../../conversation.ts'
import type {
  ChatTemplate,
  Conversation,
  Message,
  ParserStart,
  PromptPiece,
  RenderedPrompt,
  ResponseFormat,
} from '../../conversation.ts'
import { readJson, writeJson } from './json.ts'
import { CALL, CHANNEL, CONSTRAIN, control, END, MESSAGE, plain, START } from './tokens.ts'
import { BUILTIN, functionsOf, isBuiltin, nameOf, toolsSection, type Namespace } from './tools.ts'

export interface GptOssOptions {
  /** Today as `YYYY-MM-DD`, for conversations that do not say; null leaves the date out. */
  currentDate: () => string | null
}

const IDENTITY = 'You are ChatGPT, a large language model trained by OpenAI.'
const CUTOFF = '2024-06'
const CHANNELS =
  '# Valid channels: analysis, commentary, final. Channel must be included for every message.'
const CALLS = `Calls to these tools must go to the commentary channel: 'functions'.`

const EFFORTS: { readonly [given: string]: string } = {
  none: 'low',
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
}

export const gptOssTemplate = (options: GptOssOptions): ChatTemplate => ({
  render: (conversation) => new Rendering(conversation, options).rendered(),
})

/** What a message's header says beside its author. */
interface Header {
  name?: string
  recipient?: string
  channel?: string
  /** The model writes `<|constrain|>json` to functions and a bare `code` to its builtin tools. */
  type?: 'json' | 'code'
}

class Rendering {
  private pieces: PromptPiece[] = []
  private conversation: Conversation
  private options: GptOssOptions
  private functions: Namespace | null
  private builtins: string[]
  private functionNames: Set<string>
  /** Thoughts before the last answer are left out, as the model never saw them in training. */
  private lastAnswer: number
  /** Recipients of calls by their ids; the newest of an id counts. */
  private byId = new Map<string, string>()
  /** Recipients of the newest calls, which results without id or name answer in order. */
  private calls: string[] = []
  private today: string | null

  constructor(conversation: Conversation, options: GptOssOptions) {
    const { messages, tools, toolChoice, continueFinalMessage } = conversation
    this.conversation = conversation
    this.options = options
    const shown = toolChoice === 'none' ? [] : tools
    this.functions = shown.length > 0 ? readable(() => functionsOf(shown), 'tools') : null
    this.functionNames = new Set(readable(() => tools.map(nameOf), 'tools'))
    this.builtins = this.builtinsAsked()
    this.today = this.dateToday()
    const ended = continueFinalMessage ? messages.slice(0, -1) : messages
    this.lastAnswer = ended.findLastIndex(isAnswer)
  }

  rendered(): RenderedPrompt {
    const { messages, continueFinalMessage, addGenerationPrompt } = this.conversation
    if (messages.length === 0)
      throw new TemplateError('messages must hold at least one message', 'messages')
    this.open('system')
    this.content(this.systemContent())
    const first = messages.findIndex(({ role }) => !isInstruction(role))
    const leading = first < 0 ? messages.length : first
    this.developer(messages.slice(0, leading))
    const ended = continueFinalMessage ? messages.length - 1 : messages.length
    for (let i = leading; i < ended; i += 1) this.message(messages[i]!, i)
    const start = continueFinalMessage ? this.unended(messages.at(-1)!, ended) : 'auto'
    if (!continueFinalMessage && addGenerationPrompt)
      this.pieces.push(control(START), plain('assistant'))
    const { pieces, today } = this
    const text = pieces.map((piece) => piece.text).join('')
    return { text, pieces, start, ...(today === null ? {} : { date: today }) }
  }

  private variable(name: string): unknown {
    return this.conversation.templateVariables[name]
  }

  private textVariable(name: string): string | undefined {
    const value = this.variable(name)
    if (value === undefined || value === null || typeof value === 'string')
      return value ?? undefined
    throw new TemplateError(`${name} must be text`, `chat_template_kwargs.${name}`)
  }

  private builtinsAsked(): string[] {
    const names = this.variable('builtin_tools') ?? []
    if (Array.isArray(names) && names.every((name) => Object.hasOwn(BUILTIN, String(name))))
      return names.map(String)
    throw new TemplateError(
      `builtin_tools must be a list of ${Object.keys(BUILTIN).join(', ')}`,
      'chat_template_kwargs.builtin_tools'
    )
  }

  private effort(): string {
    const given = this.textVariable('reasoning_effort') ?? 'medium'
    if (Object.hasOwn(EFFORTS, given)) return EFFORTS[given]!
    throw new TemplateError(
      `reasoning_effort must be low, medium or high, not '${given}'`,
      'reasoning_effort'
    )
  }

  private dateToday(): string | null {
    if (this.variable('current_date') === null) return null
    return this.textVariable('current_date') ?? this.options.currentDate()
  }

  private systemContent(): string {
    const { today } = this
    const top = [
      this.textVariable('model_identity') ?? IDENTITY,
      `Knowledge cutoff: ${CUTOFF}`,
      ...(today === null ? [] : [`Current date: ${today}`]),
    ]
    const sections = [top.join('\n'), `Reasoning: ${this.effort()}`]
    const builtins = [...new Set(this.builtins)].map((name) => BUILTIN[name]!)
    if (builtins.length > 0) sections.push(toolsSection(builtins))
    sections.push(this.functions ? `${CHANNELS}\n${CALLS}` : CHANNELS)
    return sections.join('\n\n')
  }

  /** Instructions that stand at the head become one message, with the tools and the answer's format. */
  private developer(leading: Message[]): void {
    const instructions = leading.map(({ content }) => content ?? '').filter((text) => text !== '')
    const sections: string[] = []
    if (instructions.length > 0) sections.push('# Instructions', instructions.join('\n\n'))
    if (this.functions) sections.push(toolsSection([this.functions]))
    const { responseFormat } = this.conversation
    if (responseFormat) sections.push(formatSection(responseFormat))
    if (sections.length === 0) return
    this.open('developer')
    this.content(sections.join('\n\n'))
  }

  private open(author: string, { name, recipient, channel, type }: Header = {}): void {
    this.pieces.push(control(START))
    // Each text is a piece of its own because the library encodes each by itself.
    this.say(author)
    if (name) this.say(`:${name}`)
    if (recipient !== undefined) this.say(` to=${recipient}`)
    if (channel !== undefined) this.pieces.push(control(CHANNEL), plain(channel))
    if (type === 'json') this.pieces.push(plain(' '), control(CONSTRAIN), plain(type))
    if (type === 'code') this.say(` ${type}`)
    this.pieces.push(control(MESSAGE))
  }

  private content(text: string, end: string = END): void {
    this.say(text)
    this.pieces.push(control(end))
  }

  private say(text: string): void {
    if (text !== '') this.pieces.push(plain(text))
  }

  private message(message: Message, index: number): void {
    if (message.role === 'assistant') return this.assistant(message, index)
    if (message.role === 'tool') return this.result(message, index)
    const content = message.content ?? ''
    if (isInstruction(message.role)) {
      if (content === '') return
      this.open('developer')
      return this.content(`# Instructions\n\n${content}`)
    }
    this.open('user', message.name === undefined ? {} : { name: message.name })
    return this.content(content)
  }

  private assistant(message: Message, index: number): void {
    const { reasoning, toolCalls = [], content } = message
    if (reasoning && index > this.lastAnswer) {
      this.open('assistant', { channel: 'analysis' })
      this.content(reasoning)
    }
    if (content) {
      this.open('assistant', { channel: toolCalls.length > 0 ? 'commentary' : 'final' })
      this.content(content)
    }
    if (toolCalls.length > 0) this.calls = toolCalls.map(({ name }) => this.recipientOf(name))
    for (const [i, { id, arguments: args }] of toolCalls.entries()) {
      const recipient = this.calls[i]!
      if (id !== undefined) this.byId.set(id, recipient)
      const type = isFunction(recipient) ? 'json' : 'code'
      this.open('assistant', { recipient, channel: channelOf(recipient), type })
      this.content(args, CALL)
    }
  }

  /** A caller's function of a builtin's name goes before it. */
  private recipientOf(name: string): string {
    const builtin = !this.functionNames.has(name) && isBuiltin(name, this.builtins)
    return builtin || name.startsWith('functions.') ? name : `functions.${name}`
  }

  private result(message: Message, index: number): void {
    const { toolCallId, name } = message
    const given = toolCallId === undefined ? undefined : this.byId.get(toolCallId)
    const next = this.calls.shift()
    const recipient = given ?? (name ? this.recipientOf(name) : next)
    if (recipient === undefined) {
      throw new TemplateError(
        'a tool message must answer a tool call of an assistant message before it',
        `messages[${index}].tool_call_id`
      )
    }
    this.open(recipient, { recipient: 'assistant', channel: channelOf(recipient) })
    this.content(message.content ?? '')
  }

  /** The last message, left open for the model to go on with. */
  private unended(message: Message, index: number): ParserStart {
    const { role, content, reasoning, toolCalls = [] } = message
    if (role !== 'assistant' || toolCalls.length > 0) {
      throw new TemplateError(
        'To continue the final message, it must be text from the assistant',
        `messages[${index}]`
      )
    }
    if (reasoning) {
      this.open('assistant', { channel: 'analysis' })
      this.say(reasoning)
      if (!content) return 'reasoning'
      this.pieces.push(control(END))
    }
    this.open('assistant', { channel: 'final' })
    this.say(content ?? '')
    return 'content'
  }
}

const isFunction = (recipient: string): boolean => recipient.startsWith('functions.')

/** The model thinks with its builtin tools and speaks through functions. */
const channelOf = (recipient: string): string => (isFunction(recipient) ? 'commentary' : 'analysis')

const isInstruction = (role: Message['role']): boolean => role === 'system' || role === 'developer'

const isAnswer = ({ role, content, toolCalls = [] }: Message): boolean =>
  role === 'assistant' && Boolean(content) && toolCalls.length === 0

function formatSection({ name, description, schema }: ResponseFormat): string {
  const shape = readable(() => writeJson(readJson(schema)), 'response_format')
  const about = description ? `// ${description.replaceAll('\n', '\n// ')}\n` : ''
  return `# Response Formats\n\n## ${name}\n\n${about}${shape}`
}

/** Runs a reader of the caller's JSON; its complaints name the field. */
function readable<T>(read: () => T, param: string): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new TemplateError(`${param} cannot be used: ${error.message}`, param)
  }
}
