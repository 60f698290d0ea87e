// `@seed/server/client`: prints a chat answer, runs the functions it calls; people coming from Seed-OSS's demo clients call it.

/** The part of a function call that matters here; objects of the `openai` package have it. */
export interface FunctionCall {
  name: string
  /** JSON text. */
  arguments: string
}

interface CallLike {
  type?: string
  function?: { name?: string; arguments?: string }
}

/** A plain chat completion. */
export interface ChatAnswer {
  choices: { message: { content: string | null; tool_calls?: CallLike[] | null } }[]
}

/** One chunk of a streamed chat completion. */
export interface ChatChunk {
  choices: {
    delta: { content?: string | null; tool_calls?: (CallLike & { index: number })[] | null }
  }[]
}

/** A function the model may call, by its name; it gets the arguments as one object. */
// eslint-disable-next-line typescript/no-explicit-any
export type ToolFunction = (args: any) => unknown

export interface ParseOptions {
  /** Whether the response is a stream of chunks. */
  stream?: boolean
  toolFunctions?: { [name: string]: ToolFunction }
  /** Where to print; standard output unless told. */
  write?: (text: string) => void
}

/**
 * The text, the call and what its function returned; null where there was none.
 * Of several calls both are lists, in the order of the calls.
 */
export type ParsedOutput = [
  chatResponse: string | null,
  toolCall: FunctionCall | FunctionCall[] | null,
  result: unknown,
]

const toStandardOutput = (text: string): void => {
  process.stdout.write(text)
}

/** Reads a response to its end, printing text as it comes, and runs the called functions one after another. */
export async function parseOutput(
  response: ChatAnswer | AsyncIterable<ChatChunk>,
  { stream = false, toolFunctions = {}, write = toStandardOutput }: ParseOptions = {}
): Promise<ParsedOutput> {
  const { text, calls } = stream
    ? await readStream(response as AsyncIterable<ChatChunk>, write)
    : readAnswer(response as ChatAnswer, write)
  const results: unknown[] = []
  for (const call of calls) {
    write(`Function called: ${call.name}\nArguments: ${call.arguments}\n`)
    const result = await resultOf(call, toolFunctions)
    write(`Result: ${shown(result)}\n`)
    results.push(result)
  }
  if (calls.length > 1) return [text, calls, results]
  return [text, calls[0] ?? null, results[0] ?? null]
}

interface Output {
  text: string | null
  calls: FunctionCall[]
}

function readAnswer(answer: ChatAnswer, write: (text: string) => void): Output {
  const message = answer.choices[0]?.message
  const text = message?.content ?? null
  if (text !== null) write(`${text}\n`)
  const calls = (message?.tool_calls ?? []).map(({ function: call }) => ({
    name: call?.name ?? '',
    arguments: call?.arguments ?? '',
  }))
  return { text, calls }
}

async function readStream(
  chunks: AsyncIterable<ChatChunk>,
  write: (text: string) => void
): Promise<Output> {
  let text = ''
  const calls: FunctionCall[] = []
  for await (const { choices } of chunks) {
    // The chunk that carries the usage has no choice.
    const delta = choices[0]?.delta
    if (delta?.content) {
      write(delta.content)
      text += delta.content
    }
    for (const { index, function: piece } of delta?.tool_calls ?? []) {
      const call = (calls[index] ??= { name: '', arguments: '' })
      call.name += piece?.name ?? ''
      call.arguments += piece?.arguments ?? ''
    }
  }
  if (text !== '') write('\n')
  return { text: text === '' && calls.length > 0 ? null : text, calls }
}

async function resultOf(
  call: FunctionCall,
  functions: { [name: string]: ToolFunction }
): Promise<unknown> {
  const run = Object.hasOwn(functions, call.name) ? functions[call.name] : undefined
  if (!run) throw new Error(`The model called '${call.name}', which is not among toolFunctions`)
  return await run(JSON.parse(call.arguments))
}

const shown = (result: unknown): string =>
  typeof result === 'string' ? result : (JSON.stringify(result) ?? String(result))
