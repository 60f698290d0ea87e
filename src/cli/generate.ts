// `seed-server generate`: answers prompts once, with the flags of Seed-OSS's inference/generate.py and gpt-oss's generate.py and chat.py.
import type { Conversation, ThinkingBudget } from '../conversation.ts'
import type { Engine, Sampling } from '../engine.ts'
import type { Token } from '../events.ts'
import { type LoadedModel, StartError } from '../loading.ts'
import { helpText } from '../options/help.ts'
import { choice, decimal, integer, text, toggle } from '../options/kinds.ts'
import { readOptions } from '../options/read.ts'
import { flag, UsageError, type Values } from '../options/schema.ts'
import { budgetOf } from '../protocol/thinking.ts'
import { plainParser, type RunEvent, run as runSequences } from '../run.ts'
import { thoughtOf } from '../run/thought.ts'
import type { ServedModel } from '../served.ts'
import { EFFORT, ENGINE_FLAGS, MEANINGLESS, openModel } from './one-model.ts'
import { promptsIn } from './prompts.ts'

const GROUPS = { generate: 'What is answered, and how', engine: 'How it runs' }

const GENERATE = {
  prompts: flag('generate', text('TEXT'), `a prompt, or a list such as "['one', 'two']"`),
  prompt: flag('generate', text('TEXT'), 'one prompt, whatever it looks like', undefined, ['p']),
  modelPath: flag(
    'generate',
    text('FOLDER'),
    'the model folder; without it, the demo model',
    undefined,
    ['model']
  ),
  tokenizerPath: flag('generate', text('FOLDER'), "accepted; the model folder's tokenizer is used"),
  attnImplementation: flag(
    'generate',
    choice(['flash_attention_2', 'eager', 'sdpa']),
    'accepted; there is one implementation'
  ),
  useCache: flag('generate', toggle, 'accepted; keys and values are always kept', true),
  temperature: flag('generate', decimal(0, 100), 'how freely it draws; 0 takes the likeliest', 0, [
    't',
  ]),
  maxNewTokens: flag('generate', integer(1), 'longest answer in tokens', 4096),
  limit: flag('generate', integer(0), 'the same; 0 for as long as the context', undefined, ['l']),
  reasoningEffort: flag('generate', EFFORT, 'how much it thinks', undefined, ['r']),
  developerMessage: flag('generate', text('TEXT'), 'instructions that go before each prompt'),
  thinkingBudget: flag('generate', integer(-1), 'tokens a thought may have, -1 for no bound', -1),
  loadIn8bit: flag('generate', toggle, 'the same as --quantize q8_0', false, ['load-in-8bit']),
  loadIn4bit: flag('generate', toggle, 'the same as --quantize q4_k', false, ['load-in-4bit']),
  raw: flag('generate', toggle, 'take prompts as they are, control tokens included', false),
  logprobs: flag('generate', toggle, 'print each token on a line, with its log-probability', false),
  ...ENGINE_FLAGS,
} as const

type GenerateOptions = Values<typeof GENERATE>

const HEAD = `Usage: seed-server generate [FOLDER] [flags]

Answers prompts once, greedily unless told, and prints prompt and answer. Flags may be written with _ or -.`

/** The prompts of generate.py. */
const DEFAULT_PROMPTS = ['How to make pasta?', 'Write a quick sort in Python.']

const IDLE = {
  ...MEANINGLESS,
  b: MEANINGLESS.backend,
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

/** The bound on thought; an effort is one too, unless a number is given. */
const budgetFrom = (options: GenerateOptions, { info }: Engine): ThinkingBudget => {
  const { thinkingBudget, reasoningEffort } = options
  if (thinkingBudget >= 0 || reasoningEffort === undefined)
    return { tokens: thinkingBudget, dialect: 'soft' }
  return budgetOf({ reasoning_effort: reasoningEffort }, {}, info.maxModelLen)
}

const conversationOf = (
  prompt: string,
  { developerMessage, reasoningEffort }: GenerateOptions,
  budget: ThinkingBudget
): Conversation => ({
  messages: [
    ...(developerMessage === undefined
      ? []
      : [{ role: 'developer' as const, content: developerMessage }]),
    { role: 'user', content: prompt },
  ],
  tools: [],
  toolChoice: 'auto',
  budget,
  templateVariables: reasoningEffort === undefined ? {} : { reasoning_effort: reasoningEffort },
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
  options: GenerateOptions,
  prompt: string
): Promise<Prompt> => {
  if (options.raw) return { shown: prompt, ids: await engine.encodePrompt(prompt), open: false }
  const { pieces, start } = template.render(
    conversationOf(prompt, options, budgetFrom(options, engine))
  )
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
  options: GenerateOptions,
  { ids, open }: Prompt
): AsyncGenerator<RunEvent[], undefined> {
  const left = engine.info.maxModelLen - ids.length
  if (left < 1)
    throw new StartError(
      `a prompt of ${ids.length} tokens leaves no room in a context of ${engine.info.maxModelLen}`
    )
  const { temperature, limit, maxNewTokens, logprobs } = options
  const sampling = {
    ...GREEDY,
    temperature,
    maxTokens: Math.min(limit === 0 ? left : (limit ?? maxNewTokens), left),
    ...(logprobs ? { logprobs: 0 } : {}),
  }
  const budget = budgetFrom(options, engine)
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

/** As gpt-oss's generate.py prints it. */
const tokenLine = ({ bytes, logprob }: Token): string =>
  `Generated token: ${JSON.stringify(new TextDecoder().decode(bytes))}, logprob: ${logprob}\n`

const textIn = (events: RunEvent[], logprobs: boolean): string =>
  events
    .map(({ event }) => {
      if (event.type === 'finish' && event.reason === 'error')
        throw new StartError(`the generation failed: ${event.error ?? 'no reason was given'}`)
      if (logprobs) return (event.tokens ?? []).map(tokenLine).join('')
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
    for await (const events of answerOf(model, options, prompt))
      write(index, textIn(events, options.logprobs))
  })
  // A later failure is heard when its turn comes.
  for (const end of ended) end.catch(() => {})
  for (const [index, prompt] of prompts.entries()) {
    current = index
    const gap = options.logprobs ? '\n' : ''
    process.stdout.write(`${index > 0 ? '\n' : ''}${prompt.shown}${gap}${answers[index]}`)
    await ended[index]
    process.stdout.write('\n')
  }
}

/** How weights are kept, by the engine's flag or by those of generate.py. */
const quantizeFrom = ({ quantize, loadIn8bit, loadIn4bit }: GenerateOptions) => {
  const asked = [
    ...(quantize === undefined ? [] : [quantize]),
    ...(loadIn8bit ? ['q8_0' as const] : []),
    ...(loadIn4bit ? ['q4_k' as const] : []),
  ]
  if (asked.length > 1)
    throw new UsageError('only one of --quantize, --load_in_8bit and --load_in_4bit can be given')
  return asked[0]
}

/** What is to be answered; what asks two things at once is refused. */
const promptsOf = ({
  prompt,
  prompts,
  raw,
  reasoningEffort,
  developerMessage,
}: GenerateOptions) => {
  if (prompt !== undefined && prompts !== undefined)
    throw new UsageError('--prompt and --prompts cannot both be given')
  const idle = [
    ...(reasoningEffort === undefined ? [] : ['--reasoning-effort']),
    ...(developerMessage === undefined ? [] : ['--developer-message']),
  ]
  if (raw && idle.length > 0)
    throw new UsageError(`${idle[0]} cannot go with --raw, which takes prompts as they are`)
  if (prompt !== undefined) return [prompt]
  return prompts === undefined ? DEFAULT_PROMPTS : promptsIn(prompts)
}

const idle = ({ tokenizerPath, attnImplementation }: GenerateOptions): string[] => [
  ...(tokenizerPath === undefined ? [] : ["--tokenizer_path (the model folder's is used)"]),
  ...(attnImplementation === undefined ? [] : ['--attn_implementation (there is one)']),
]

export const run = async (argv: string[]): Promise<number> => {
  const { values, notes, help } = readOptions(GENERATE, {
    argv,
    meaningless: IDLE,
    positional: 'modelPath',
  })
  if (help !== undefined) {
    process.stdout.write(helpText(GENERATE, GROUPS, HEAD, help))
    return 0
  }
  const quantize = quantizeFrom(values)
  const ignored = idle(values)
  if (ignored.length > 0) notes.push(`accepted, but without meaning here: ${ignored.join(', ')}`)
  for (const note of notes) process.stderr.write(`note: ${note}\n`)
  const written = promptsOf(values)
  // Whoever stops reading, as head does, has had enough.
  process.stdout.on('error', () => process.exit(0))
  const model = await openModel(values.modelPath, { ...values, quantize })
  try {
    const prompts = await Promise.all(written.map((prompt) => promptOf(model, values, prompt)))
    await answerAll(model, values, prompts)
  } finally {
    await model.engine.close()
  }
  return 0
}
