// `seed-server parse`: prints the message and deltas the chat route would send for outputs on stdin; debugs a fine-tune.
import { text as readAll } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import type { Family, Json, ParserStart, Tool, ToolChoice } from '../conversation.ts'
import type { GenerationEvent, OutputParser } from '../events.ts'
import { gptOss } from '../families/gpt-oss/index.ts'
import { seedOss } from '../families/seed-oss/index.ts'
import { UsageError } from '../options/schema.ts'
import { harmonyToken } from '../vocabulary.ts'
import { ChatChoice, type ChatDelta, ChatFold, isEmptyDelta } from '../stream/chat.ts'

const USAGE = `Usage: seed-server parse [--family seed-oss|gpt-oss] [--jsonl] < outputs

Reads one output as JSON, or with --jsonl one a line:
  {"text": "…", "tools": […], "tool_choice": …, "start": "auto" | "reasoning" | "content",
   "finish": "stop" | "length", "chunk": N}
and prints {"message": …, "finish_reason": …, "deltas": […]} for each, as chat completions would send them.
Of gpt-oss the text spells control tokens by name, such as <|channel|>final<|message|>Hi<|return|>; in place of it
"tokens" may list ids of o200k_harmony, such as [200005,17196,200008,12194,200002].
The text is fed in pieces of N characters, whole without "chunk". Only "text" (or "tokens") must be there.
`

const FAMILIES = [seedOss, gptOss]

interface Line {
  text: string
  /** In place of text. */
  tokens?: number[]
  tools: Tool[]
  toolChoice: ToolChoice
  start: ParserStart
  finish: 'stop' | 'length'
  chunk: number
}

/** A line that says something other than what the command reads: the sentence to print. */
class LineError extends Error {
  override name = 'LineError'
}

export async function run(argv: string[]): Promise<number> {
  const values = flagsOf(argv)
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const family = FAMILIES.find(({ name }) => name === values.family)
  if (!family)
    throw new UsageError(`parse knows the families seed-oss and gpt-oss, not '${values.family}'`)
  const input = await readAll(process.stdin)
  const documents = values.jsonl ? input.split('\n').filter((line) => line.trim() !== '') : [input]
  let failed = 0
  for (const document of documents) {
    const answer = answerTo(document, family)
    if ('error' in answer) failed += 1
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
  return failed > 0 ? 1 : 0
}

function flagsOf(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        family: { type: 'string', default: 'seed-oss' },
        jsonl: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** One line of output for one of input: what the chat route would send, or what is wrong with the line. */
export function answerTo(document: string, family: Family = seedOss): object {
  try {
    return answered(lineOf(document, family), family)
  } catch (error) {
    if (error instanceof LineError) return { error: error.message }
    if (error instanceof SyntaxError) return { error: `The input is not JSON: ${error.message}` }
    throw error
  }
}

/** The same renderer and fold that the chat route answers with. */
function answered(line: Line, family: Family): object {
  const choice = new ChatChoice({ includeReasoning: true, namedCall: isNamed(line.toolChoice) })
  const fold = new ChatFold()
  const deltas: ChatDelta[] = []
  let finishReason: string | null = null
  for (const event of eventsOf(family, line)) {
    for (const { delta, finish } of choice.push(event)) {
      if (!isEmptyDelta(delta)) deltas.push(delta)
      fold.add(delta)
      finishReason = finish ?? finishReason
    }
  }
  return { message: fold.message, finish_reason: finishReason, deltas }
}

const isNamed = (choice: ToolChoice): boolean => typeof choice === 'object'

function* eventsOf(family: Family, line: Line): Generator<GenerationEvent, void> {
  const parser = family.parser(line)
  const parts = line.tokens
    ? partsOfTokens(line.tokens, family)
    : partsOf(line.text, parser, family)
  for (const { text, control } of parts) {
    if (parser.pushControl && control) yield* parser.pushControl(text)
    else for (const piece of piecesOf(text, line.chunk)) yield* parser.push(piece)
  }
  yield* parser.finish(line.finish)
  const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 }
  yield { type: 'finish', reason: line.finish, stop: null, usage }
}

/** A stretch of output: text, or one control token by its name. */
interface Part {
  text: string
  control: boolean
}

/** For a parser that hears of control tokens by themselves, the text cut at them. */
function partsOf(text: string, parser: OutputParser, family: Family): Part[] {
  if (!parser.pushControl) return [{ text, control: false }]
  const names = family.controlTokens.map((name) => name.replaceAll('|', '\\|')).join('|')
  return text
    .split(new RegExp(`(${names})`))
    .filter((part) => part !== '')
    .map((part) => ({ text: part, control: family.controlTokens.includes(part) }))
}

/** Ids as the server reads them: characters may span tokens, and what text spells is only text. */
function partsOfTokens(tokens: number[], { silentTokens = [] }: Family): Part[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const parts: Part[] = []
  for (const [at, id] of tokens.entries()) {
    const token = harmonyToken(id)
    if (!token) throw new LineError(`"tokens[${at}]" is ${id}, which o200k_harmony does not have`)
    const { bytes, control } = token
    if (!control) parts.push({ text: decoder.decode(bytes, { stream: true }), control })
    else {
      const name = new TextDecoder().decode(bytes)
      if (silentTokens.includes(name)) continue
      parts.push({ text: decoder.decode(), control: false }, { text: name, control })
    }
  }
  return [...parts, { text: decoder.decode(), control: false }]
}

/** Pieces of so many characters, never half of one. */
function* piecesOf(text: string, chunk: number): Generator<string, void> {
  if (chunk === Infinity) return yield text
  let piece = ''
  let count = 0
  for (const character of text) {
    piece += character
    count += 1
    if (count < chunk) continue
    yield piece
    piece = ''
    count = 0
  }
  yield piece
}

function oneOf<Name extends string>(
  wire: { [key: string]: Json },
  key: string,
  names: readonly [Name, ...Name[]]
): Name {
  const given = wire[key] ?? names[0]
  const found = names.find((name) => name === given)
  if (!found) throw new LineError(`"${key}" must be one of ${names.join(', ')}`)
  return found
}

function lineOf(document: string, family: Family): Line {
  const wire = JSON.parse(document) as Json
  if (typeof wire !== 'object' || wire === null || Array.isArray(wire))
    throw new LineError('The input must be an object with "text"')
  const { text, tools = null, chunk = null } = wire
  const tokens = text === undefined ? tokensOf(wire['tokens'], family) : undefined
  if (typeof text !== 'string' && !tokens) throw new LineError('"text" must be a string')
  if (chunk !== null && (typeof chunk !== 'number' || !Number.isInteger(chunk) || chunk < 1))
    throw new LineError('"chunk" must be a whole number of characters, 1 or more')
  return {
    text: typeof text === 'string' ? text : '',
    ...(tokens ? { tokens } : {}),
    tools: toolsOf(tools),
    toolChoice: choiceOf(wire),
    start: oneOf(wire, 'start', ['auto', 'reasoning', 'content']),
    finish: oneOf(wire, 'finish', ['stop', 'length']),
    chunk: chunk ?? Infinity,
  }
}

function tokensOf(tokens: Json | undefined, { name }: Family): number[] | undefined {
  if (tokens === undefined) return undefined
  if (name !== 'gpt-oss')
    throw new LineError(`Output of ${name} is read as text: give "text" in place of "tokens"`)
  if (!Array.isArray(tokens) || !tokens.every((id) => Number.isInteger(id)))
    throw new LineError('"tokens" must be a list of token ids')
  return tokens as number[]
}

function choiceOf(wire: { [key: string]: Json }): ToolChoice {
  const choice = wire['tool_choice']
  if (typeof choice !== 'object' || choice === null || Array.isArray(choice))
    return oneOf<'auto' | 'none' | 'required'>(wire, 'tool_choice', ['auto', 'none', 'required'])
  const { function: named } = choice
  const name = typeof named === 'object' && named !== null && 'name' in named ? named.name : null
  if (typeof name !== 'string') throw new LineError('"tool_choice" must name a function')
  return { name }
}

function toolsOf(tools: Json): Tool[] {
  if (tools === null) return []
  if (!Array.isArray(tools)) throw new LineError('"tools" must be a list')
  return tools.map((tool, i) => {
    const outer = typeof tool === 'object' && tool !== null && !Array.isArray(tool) ? tool : {}
    const inner = outer['function'] ?? outer
    const known = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {}
    const { name, parameters } = known
    if (typeof name !== 'string')
      throw new LineError(`"tools[${i}].function.name" must be a string`)
    const schema =
      typeof parameters === 'object' && parameters !== null && !Array.isArray(parameters)
    return { name, source: JSON.stringify(tool), ...(schema ? { parameters } : {}) }
  })
}
