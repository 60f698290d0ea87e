// A conversation as every API states it and every family's template reads it.

/** JSON as parsed, or kept as source text where number spelling and key order matter. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

export interface ToolCall {
  id?: string
  name: string
  /** The arguments as JSON text, exactly as the caller or the model wrote them. */
  arguments: string
}

export interface Message {
  role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  /** Plain text; content parts are joined by the protocol before this point. */
  content: string | null
  name?: string
  reasoning?: string
  toolCalls?: ToolCall[]
  toolCallId?: string
}

export interface Tool {
  name: string
  description?: string
  /** JSON schema of the arguments. */
  parameters?: { [key: string]: Json }
  /** Where the request has that schema, for complaints about it. */
  param?: string
  strict?: boolean
  /** The tool exactly as the caller sent it (`{type:"function", function:{…}}`), as JSON text. */
  source: string
}

export type ToolChoice = 'none' | 'auto' | 'required' | { name: string }

/** Where the caller set the thinking budget, which decides how its end is forced. */
export interface ThinkingBudget {
  /** -1 unlimited, 0 no thought, N tokens. */
  tokens: number
  /** `soft` closes with the model's own sentence, `hard` with the end token alone. */
  dialect: 'soft' | 'hard'
  /** It stands for an effort, which some models know by its name. */
  isEffort?: boolean
}

/** A shape the answer is asked to have, as families that say so in the prompt show it. */
export interface ResponseFormat {
  name: string
  description?: string
  /** JSON schema of the answer, as JSON text. */
  schema: string
}

/** What an answer must be, whatever the family; see grammar/lark.ts, which writes it. */
export type AnswerShape =
  | { kind: 'json'; schema: Json; whitespace?: string }
  | { kind: 'regex'; pattern: string }
  | { kind: 'choice'; options: string[] }
  /** A caller's grammar, its names already its own. */
  | { kind: 'lark'; rules: string }
  /** Free text in which a trigger is always the start of a `begin`, after which come JSON and `end`. */
  | { kind: 'tags'; triggers: string[]; tags: { begin: string; schema: Json; end: string }[] }

export interface Conversation {
  messages: Message[]
  tools: Tool[]
  toolChoice: ToolChoice
  /** Undefined leaves it to what the model was taught. */
  parallelToolCalls?: boolean
  budget: ThinkingBudget
  responseFormat?: ResponseFormat
  /** What the answer is held to. */
  answer?: AnswerShape
  /** Variables the caller passes to the chat template, reserved names already refused. */
  templateVariables: { [key: string]: Json }
  addGenerationPrompt: boolean
  continueFinalMessage: boolean
}

/** A piece of a prompt: template text, or one control token named by its string. */
export interface PromptPiece {
  text: string
  control: boolean
}

/** Which state the output parser starts in. */
export type ParserStart = 'auto' | 'reasoning' | 'content'

export interface RenderedPrompt {
  /** The prompt as text, byte for byte what the template wrote. */
  text: string
  /** The same, cut at control tokens; caller text never lies in a control piece. */
  pieces: PromptPiece[]
  start: ParserStart
  /** The day it names as today, if it names one; a conversation that goes on keeps that of its first turn. */
  date?: string
}

/** What the engine must know of a family's thought to count and bound it; texts in which control tokens count. */
export interface ThoughtMarkers {
  start: string
  /** The part of `start` after which the model decides whether to think; by default there is none. */
  startUntilChoice?: string
  end: string
  reflectStart?: string
  reflectEnd?: string
  callStart?: string
  callEnd?: string
  /** Text (with control tokens) that closes a thought whose budget is used up. */
  closing: string
  closingInReflection: string
  closingHard: string
  /** What follows a forced closing, and begins an answer without a thought: all of it where no tool may be called. */
  afterClosing?: string
  afterClosingWithTools?: string
  /** A reply has one thought at most; else several share the budget. */
  once: boolean
  /** Efforts are for the model to understand and no budgets, but for that of no thought. */
  knowsEfforts: boolean
  /** Where replies are messages with headers: what begins their content, and the control tokens that end it. */
  content?: string
  contentEnds?: string
}

/** What a family's grammar of a whole generation is written from. */
export interface ConstraintRequest {
  conversation: Conversation
  start: ParserStart
  /** Hold the reply to the family's envelope even where nothing is asked of its content. */
  guard: boolean
  /** A text's tokens as the grammar names them. */
  ids(text: string): Promise<string>
}

/** One model family: turns a conversation into a prompt and output into events. */
export interface Family {
  name: string
  /** Control tokens the family needs in the tokenizer, by string. */
  controlTokens: string[]
  /** Control tokens that mean nothing inside an answer and are left out of its text. */
  silentTokens?: string[]
  /** Control tokens that always end a generation, whatever generation_config says. */
  stopTokens: string[]
  thought: ThoughtMarkers | null
  /** What the model writes around a thought, for those who want it left in the text. */
  thoughtTags: { start: string; end: string }
  /**
   * Where a call ends the reply, unless several are asked for: the token at its end, and that after which the content of
   * the next has begun.
   */
  nextCall?: { after: string; until: string }
  /** The grammar of a whole generation, in llguidance's Lark; undefined where anything may be written. */
  constraint(request: ConstraintRequest): Promise<string | undefined>
  /** Compiles the template once; throws TemplateError with a sentence. */
  template(source: string): ChatTemplate
  parser(options: {
    start: ParserStart
    tools: Tool[]
    toolChoice: ToolChoice
    /** The prompt ends inside the reply's own content: then no newline of it goes. */
    continues?: boolean
  }): import('./events.ts').OutputParser
}

export interface ChatTemplate {
  /** Throws TemplateError (the caller's mistake or the template's, with a sentence). */
  render(conversation: Conversation): RenderedPrompt
}

/** A conversation that cannot be rendered: the caller's mistake, or the template's. */
export class TemplateError extends Error {
  override name = 'TemplateError'
  /** The request field at fault, such as `messages[2].tool_calls[0].function.arguments`. */
  readonly param: string | undefined

  constructor(message: string, param?: string) {
    super(message)
    this.param = param
  }
}
