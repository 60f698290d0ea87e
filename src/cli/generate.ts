// `seed-server generate`: answers prompts once, greedily, with the flags of the Seed-OSS repository's inference/generate.py.
import type { Conversation } from '../conversation.ts'
import type { Sampling } from '../engine.ts'
import { type LoadedModel, loadAll, modelsOf, StartError } from '../loading.ts'
import { SERVE } from '../options.ts'
import { helpText } from '../options/help.ts'
import { choice, integer, text, toggle } from '../options/kinds.ts'
import { readOptions, withDefaults } from '../options/read.ts'
import { flag, inGroup, type Values } from '../options/schema.ts'
import { createProgress } from '../progress.ts'
import { plainParser, type RunEvent, run as runSequences, thoughtOf } from '../run.ts'
import type { ServedModel } from '../served.ts'
import { promptsIn } from './prompts.ts'

const GROUPS = { generate: 'What is answered, and how', engine: 'How it runs' }

const GENERATE = {
  prompts: flag('generate', text('TEXT'), `a prompt, or a list such as "['one', 'two']"`),
  modelPath: flag('generate', text('FOLDER'), 'the model folder; without it, the demo model'),
  tokenizerPath: flag('generate', text('FOLDER'), "accepted; the model folder's tokenizer is used"),
  attnImplementation: flag(
    'generate',
    choice(['flash_attention_2', 'eager', 'sdpa']),
    'accepted; there is one implementation'
  ),
  useCache: flag('generate', toggle, 'accepted; keys and values are always kept', true),
  maxNewTokens: flag('generate', integer(1), 'longest answer in tokens', 4096),
  thinkingBudget: flag('generate', integer(-1), 'tokens a thought may have, -1 for no bound', -1),
  loadIn8bit: flag('generate', toggle, 'weights of 8 bits; not in yet', false, ['load-in-8bit']),
  loadIn4bit: flag('generate', toggle, 'weights of 4 bits; not in yet', false, ['load-in-4bit']),
  raw: flag('generate', toggle, 'take prompts as they are, control tokens included', false),
  threads: inGroup('engine', SERVE.threads),
  dtype: inGroup('engine', SERVE.dtype),
  kvCacheMemory: inGroup('engine', SERVE.kvCacheMemory),
  maxModelLen: inGroup('engine', SERVE.maxModelLen),
} as const

type GenerateOptions = Values<typeof GENERATE>

const HEAD = `Usage: seed-server generate [flags]

Answers prompts once, greedily, and prints prompt and answer. Flags may be written with _ or -.`

/** The prompts of generate.py. */
const DEFAULT_PROMPTS = ['How to make pasta?', 'Write a quick sort in Python.']

const MEANINGLESS = {
  'trust-remote-code': { why: "a model's code is never run", value: false },
}

const GREEDY: Omit<Sampling, 'maxTokens'> = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  minTokens: 0,
  ignoreEos: false,
  stopTokenIds: [],
  stopStrings: [],
  includeStop: false,
  badWords: [],
}

const conversationOf = (prompt: string, budget: number): Conversation => ({
  messages: [{ role: 'user', content: prompt }],
  tools: [],
  toolChoice: 'auto',
  budget: { tokens: budget, dialect: 'soft' },
  templateVariables: {},
  addGenerationPrompt: true,
  continueFinalMessage: false,
})

interface Prompt {
  /** As it is printed: without bos, eos and pad. */
  shown: string
  ids: Uint32Array
  open: boolean
}

const promptOf = async (
  { template, engine, folder }: LoadedModel,
  { raw, thinkingBudget }: GenerateOptions,
  prompt: string
): Promise<Prompt> => {
  if (raw) return { shown: prompt, ids: await engine.encodePrompt(prompt), open: false }
  const { pieces, start } = template.render(conversationOf(prompt, thinkingBudget))
  const special = (piece: { text: string; control: boolean }): boolean =>
    piece.control && folder.specialTokens.includes(piece.text)
  const shown = pieces.filter((piece) => !special(piece)).map((piece) => piece.text)
  return {
    shown: shown.join(''),
    ids: await engine.encodePieces(pieces),
    open: start === 'reasoning',
  }
}

const answerOf = async function* (
  { family, engine }: ServedModel,
  { maxNewTokens, thinkingBudget }: GenerateOptions,
  { ids, open }: Prompt
): AsyncGenerator<RunEvent[], undefined> {
  const left = engine.info.maxModelLen - ids.length
  if (left < 1)
    throw new StartError(
      `a prompt of ${ids.length} tokens leaves no room in a context of ${engine.info.maxModelLen}`
    )
  const budget = { tokens: thinkingBudget, dialect: 'soft' } as const
  const sampling = { ...GREEDY, maxTokens: Math.min(maxNewTokens, left) }
  const standing = { openInPrompt: open, mayCall: false }
  const thought = family.thought && (await thoughtOf(engine, family.thought, budget, standing))
  yield* runSequences(
    {
      engine,
      sequences: [{ prompt: ids, sampling }],
      parser: plainParser,
      priority: 0,
      tenant: 0,
      ...(thought ? { thought } : {}),
    },
    new AbortController().signal
  )
  return undefined
}

const textIn = (events: RunEvent[]): string =>
  events
    .map(({ event }) => {
      if (event.type === 'finish' && event.reason === 'error')
        throw new StartError(`the generation failed: ${event.error ?? 'no reason was given'}`)
      return event.type === 'text' ? event.text : ''
    })
    .join('')

/** All prompts run at once; the first prints as it comes, each later one when those before it have ended. */
const answerAll = async (
  model: LoadedModel,
  options: GenerateOptions,
  prompts: Prompt[]
): Promise<void> => {
  const answers = prompts.map(() => '')
  let current = 0
  const write = (index: number, said: string): void => {
    if (index === current) process.stdout.write(said)
    else answers[index] += said
  }
  const ended = prompts.map(async (prompt, index) => {
    for await (const events of answerOf(model, options, prompt)) write(index, textIn(events))
  })
  // A later failure is heard when its turn comes.
  for (const end of ended) end.catch(() => {})
  for (const [index, prompt] of prompts.entries()) {
    current = index
    process.stdout.write(`${index > 0 ? '\n' : ''}${prompt.shown}${answers[index]}`)
    await ended[index]
    process.stdout.write('\n')
  }
}

const checkPossible = ({ loadIn8bit, loadIn4bit }: GenerateOptions): void => {
  if (loadIn8bit || loadIn4bit)
    throw new StartError(
      `--load_in_${loadIn8bit ? 8 : 4}bit: quantised weights are not in yet; leave the flag out`
    )
}

const idle = ({ tokenizerPath, attnImplementation }: GenerateOptions): string[] => [
  ...(tokenizerPath === undefined ? [] : ["--tokenizer_path (the model folder's is used)"]),
  ...(attnImplementation === undefined ? [] : ['--attn_implementation (there is one)']),
]

const open = async (options: GenerateOptions): Promise<LoadedModel> => {
  const { modelPath, threads, dtype, kvCacheMemory, maxModelLen } = options
  const progress = createProgress()
  const serveOptions = withDefaults(SERVE, {
    model: modelPath,
    threads,
    dtype,
    kvCacheMemory,
    maxModelLen,
  })
  try {
    // Of several demos the first answers.
    const [model] = await loadAll(modelsOf(serveOptions).slice(0, 1), {
      onProgress: progress.update,
    })
    return model!
  } finally {
    progress.end()
  }
}

export const run = async (argv: string[]): Promise<number> => {
  const { values, notes, help } = readOptions(GENERATE, { argv, meaningless: MEANINGLESS })
  if (help !== undefined) {
    process.stdout.write(helpText(GENERATE, GROUPS, HEAD, help))
    return 0
  }
  checkPossible(values)
  const ignored = idle(values)
  if (ignored.length > 0) notes.push(`accepted, but without meaning here: ${ignored.join(', ')}`)
  for (const note of notes) process.stderr.write(`note: ${note}\n`)
  const written = values.prompts === undefined ? DEFAULT_PROMPTS : promptsIn(values.prompts)
  // Whoever stops reading, as head does, has had enough.
  process.stdout.on('error', () => process.exit(0))
  const model = await open(values)
  try {
    const prompts = await Promise.all(written.map((prompt) => promptOf(model, values, prompt)))
    await answerAll(model, values, prompts)
  } finally {
    await model.engine.close()
  }
  return 0
}
