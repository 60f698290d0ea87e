// The one model that `generate` and `chat` talk to: how it is loaded where people watch, and flags that `doctor` has too.
import { type LoadedModel, loadAll, modelsOf } from '../loading.ts'
import { planText } from '../machine.ts'
import { SERVE } from '../options.ts'
import { choice } from '../options/kinds.ts'
import { withDefaults } from '../options/read.ts'
import { inGroup, type Values } from '../options/schema.ts'
import { createProgress } from '../progress.ts'

/** Efforts as gpt-oss's programs take them. */
export const EFFORT = choice(['low', 'medium', 'high'])

/** How the model runs; `-c` is what gpt-oss's chat.py calls its context, `--context-length` its generate.py. */
export const ENGINE_FLAGS = {
  threads: inGroup('engine', SERVE.threads),
  dtype: inGroup('engine', SERVE.dtype),
  quantize: inGroup('engine', SERVE.quantize),
  activations: inGroup('engine', SERVE.activations),
  kvCacheMemory: inGroup('engine', SERVE.kvCacheMemory),
  kvCacheDtype: inGroup('engine', SERVE.kvCacheDtype),
  maxModelLen: {
    ...inGroup('engine', SERVE.maxModelLen),
    aliases: ['c', 'context', 'context-length'],
  },
} as const

/** What is accepted because gpt-oss's programs have it. */
export const MEANINGLESS = {
  backend: { why: 'there is one engine', value: true },
  'tensor-parallel-size': { why: 'a model is on one device', value: true },
} as const

/** Of a command's flags those that load the model. */
const enginePart = (flags: Values<typeof ENGINE_FLAGS>): Partial<Values<typeof ENGINE_FLAGS>> =>
  Object.fromEntries(Object.entries(flags).filter(([name]) => Object.hasOwn(ENGINE_FLAGS, name)))

/** Loads the model of a folder, or the first demo, showing on stderr what it will take and how far it is. */
export const openModel = async (
  model: string | undefined,
  flags: Values<typeof ENGINE_FLAGS>
): Promise<LoadedModel> => {
  const progress = createProgress()
  const options = withDefaults(SERVE, { model, ...enginePart(flags) })
  try {
    // Of several demos the first answers.
    const [loaded] = await loadAll(modelsOf(options).slice(0, 1), {
      onProgress: progress.update,
      onPlan: (prospect, name) => process.stderr.write(`${name}: ${planText(prospect)}\n`),
    })
    return loaded!
  } finally {
    progress.end()
  }
}
