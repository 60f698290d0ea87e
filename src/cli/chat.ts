// `seed-server chat`: a conversation in the terminal with the flags of gpt-oss's chat.py, over the same chat route that is served.
import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'
import { createApp } from '../index.ts'
import { type LoadedModel, StartError } from '../loading.ts'
import { printable } from '../log.ts'
import { helpText } from '../options/help.ts'
import { decimal, integer, text, toggle } from '../options/kinds.ts'
import { readOptions } from '../options/read.ts'
import { flag, type Values } from '../options/schema.ts'
import { type Delta, type Message, Talk } from './chat/talk.ts'
import { EFFORT, ENGINE_FLAGS, MEANINGLESS, openModel } from './one-model.ts'

const GROUPS = { chat: 'What is said, and how', engine: 'How it runs' }

const CHAT = {
  model: flag('chat', text('FOLDER'), 'a model folder or GGUF file; without it, the demo model'),
  prompt: flag('chat', text('TEXT'), 'answer this first', undefined, ['p']),
  temperature: flag(
    'chat',
    decimal(0, 2),
    "how freely it draws, 0 for the likeliest; default the model's",
    undefined,
    ['t']
  ),
  limit: flag('chat', integer(0), 'longest answer in tokens, 0 for as long as the context', 0, [
    'l',
  ]),
  reasoningEffort: flag('chat', EFFORT, "how much it thinks; default the model's", undefined, [
    'r',
  ]),
  thinkingBudget: flag('chat', integer(-1), 'tokens a thought may have, -1 for no bound'),
  developerMessage: flag('chat', text('TEXT'), 'instructions that stand before the conversation'),
  raw: flag('chat', toggle, 'print prompts and answers as the model has them', false),
  applyPatch: flag('chat', toggle, 'refused: no tools run here', false, ['a']),
  browser: flag('chat', toggle, 'refused: no tools run here', false, ['b']),
  python: flag('chat', toggle, 'refused: no tools run here', false),
  ...ENGINE_FLAGS,
} as const

type ChatOptions = Values<typeof CHAT>

const HEAD = `Usage: seed-server chat [FOLDER] [flags]

A conversation: each line that is typed, or comes through a pipe, is a message. Ctrl-C ends an answer, Ctrl-D all.`

const LABELS = {
  user: ['User:', 'red'],
  reasoning: ['CoT:', 'yellow'],
  content: ['Assistant:', 'green'],
  call: ['Tool call:', 'cyan'],
} as const

const write = (said: string): void => {
  process.stdout.write(said)
}

/** Coloured where somebody looks. */
const label = (of: keyof typeof LABELS): string => {
  const [name, colour] = LABELS[of]
  return process.stdout.isTTY ? styleText(colour, name) : name
}

const checkPossible = ({ applyPatch, browser, python }: ChatOptions): void => {
  const asked = Object.entries({ 'apply-patch': applyPatch, browser, python }).find(([, on]) => on)
  if (asked) throw new StartError(`--${asked[0]}: chat runs no tools; leave the flag out`)
}

/** What the conversation stands on, as chat.py begins. */
const heading = (model: LoadedModel, options: ChatOptions): string => {
  const { reasoningEffort, developerMessage } = options
  const rows: [string, string][] = [
    ['Model', `${model.names[0]} (${model.family.name})`],
    ['Context', `${model.engine.info.maxModelLen.toLocaleString('en')} tokens`],
    ...(reasoningEffort === undefined
      ? []
      : [['Reasoning Effort', reasoningEffort] as [string, string]]),
    ...(developerMessage === undefined
      ? []
      : [['Developer Message', developerMessage] as [string, string]]),
  ]
  return rows.map(([name, value]) => `${name}: ${value}\n`).join('')
}

/** Prints an answer part by part, each kind under its label. */
class Printer {
  private kind: keyof typeof LABELS | undefined

  private under(kind: keyof typeof LABELS, said: string): void {
    if (this.kind !== kind) {
      this.end()
      write(`${label(kind)}\n`)
      this.kind = kind
    }
    write(said)
  }

  show({ reasoning, content, call }: Delta): void {
    if (reasoning) this.under('reasoning', reasoning)
    if (content) this.under('content', content)
    if (call) this.under('call', call)
  }

  end(): void {
    if (this.kind) write('\n')
    this.kind = undefined
  }
}

/** One turn; false where it failed, which is told and forgotten. */
const turn = async (
  talk: Talk,
  said: string,
  raw: boolean,
  signal: AbortSignal
): Promise<boolean> => {
  const printer = new Printer()
  try {
    if (raw) write(await talk.promptFor(said))
    for await (const delta of talk.answer(said, signal)) {
      if (raw) write(delta.raw)
      else printer.show(delta)
    }
    return true
  } catch (error) {
    printer.end()
    process.stderr.write(`error: ${printable((error as Error).message)}\n`)
    return false
  } finally {
    if (raw) write('\n')
    else printer.end()
  }
}

/** Goes on until there is nothing more to say; true where all went well. */
const converse = async (talk: Talk, { raw, prompt }: ChatOptions): Promise<boolean> => {
  const tty = process.stdin.isTTY === true && process.stdout.isTTY === true
  const lines = createInterface({
    input: process.stdin,
    ...(tty ? { output: process.stdout, historySize: 10_000 } : {}),
  })
  // Begun before anything is awaited: what comes until then would be lost.
  const typed = lines[Symbol.asyncIterator]()
  let answering: AbortController | undefined
  let unanswered = 0
  let fine = true
  const say = async (said: string): Promise<void> => {
    if (said.trim() === '') return
    answering = new AbortController()
    fine = (await turn(talk, said, raw, answering.signal)) && fine
    answering = undefined
  }
  lines.on('line', () => (unanswered += 1))
  lines.on('SIGINT', () => (unanswered > 0 ? answering?.abort() : lines.close()))
  const ask = (): void => {
    if (!raw) write(`${label('user')}\n`)
    if (tty) lines.prompt()
  }
  lines.setPrompt('')
  if (prompt !== undefined) {
    if (!raw) write(`${label('user')}\n${prompt}\n`)
    await say(prompt)
  }
  ask()
  for await (const line of typed) {
    if (!tty && !raw) write(`${line}\n`)
    // One answer after another: each belongs to what was said before it.
    await say(line)
    unanswered -= 1
    ask()
  }
  return fine
}

export const run = async (argv: string[]): Promise<number> => {
  const { values, notes, help } = readOptions(CHAT, {
    argv,
    meaningless: MEANINGLESS,
    positional: 'model',
  })
  if (help !== undefined) {
    write(helpText(CHAT, GROUPS, HEAD, help))
    return 0
  }
  checkPossible(values)
  for (const note of notes) process.stderr.write(`note: ${note}\n`)
  // Whoever stops reading, as head does, has had enough.
  process.stdout.on('error', () => process.exit(0))
  const model = await openModel(values.model, values)
  try {
    if (!values.raw) write(heading(model, values))
    const { temperature, limit, reasoningEffort, thinkingBudget, developerMessage } = values
    const instructions: Message[] =
      developerMessage === undefined ? [] : [{ role: 'developer', content: developerMessage }]
    const talk = new Talk(createApp(model), model.engine, instructions, {
      ...(temperature === undefined ? {} : { temperature }),
      ...(limit === 0 ? {} : { max_completion_tokens: limit }),
      ...(reasoningEffort === undefined ? {} : { reasoning_effort: reasoningEffort }),
      ...(thinkingBudget === undefined ? {} : { thinking_budget: thinkingBudget }),
    })
    return (await converse(talk, values)) ? 0 : 1
  } finally {
    await model.engine.close()
  }
}
