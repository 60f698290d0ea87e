// What this machine can do, what a model would need of it, and a smaller form of it, before anything is loaded; loading.ts
// shows plans, `doctor` all of it, `quantize` writes.
import { availableParallelism, cpus, totalmem } from 'node:os'
import { findAddon, loadAddon } from './addon.ts'
import type { EngineOptions } from './engine.ts'
import { withSeed } from './native.ts'

/** What a model needs, in bytes unless named otherwise. */
export interface Prospect {
  architecture: string
  parameters: number
  /** Longest context it was made for, in tokens. */
  trainedContext: number
  weights: number
  /** Of the weights, what is packed as MXFP4. */
  packed: number
  /** Activations and logits of the largest step. */
  workspace: number
  /** Keys and values of one sequence of the longest context. */
  wholeContext: number
  /** The least memory with which a short context can be served. */
  least: number
  /** What there is to plan with. */
  available: number
  /** What would be used; null where it does not fit, and `why` says so. */
  plan: { weights: number; kvCache: number; workspace: number; maxModelLen: number } | null
  why: string | null
}

/** Plans a model without loading it; `path` may be a released model's name. Throws one sentence. */
export const prospectOf = (model: EngineOptions): Prospect =>
  JSON.parse(loadAddon().prospect(withSeed(model))) as Prospect

/** Writes a folder's weights as one safetensors file of blocks; rejects with one sentence. */
export const quantizeFolder = (folder: string, format: string, file: string): Promise<void> =>
  loadAddon().quantizeFolder(folder, format, file)

/** As the addon says it. */
interface AddonFacts {
  version: string
  backends: string[]
  /** Which instruction sets the kernels use. */
  kernels: 'scalar' | 'avx2' | 'avx512'
  /** What they ask of the CPU, and whether it is here. */
  features: { name: string; here: boolean }[]
  freeMemory: number
  /** Names of released models. */
  models: string[]
}

export interface EngineFacts extends AddonFacts {
  path: string
  origin: string
  /** Engines that would have gone before it, with why they could not be loaded. */
  passedOver: string[]
}

export interface Machine {
  platform: string
  cpu: string
  /** Cores this process may use. */
  cores: number
  totalMemory: number
  /** What the container allows, where it allows less than there is. */
  memoryLimit: number | null
  /** The engine, or why there is none. */
  engine: EngineFacts | { error: string }
}

/** Free memory where the engine cannot see it for itself: what it reads are Linux's files. */
export const freeMemory = (platform: string = process.platform): number | undefined =>
  platform === 'linux' ? undefined : process.availableMemory()

const engineFacts = (): Machine['engine'] => {
  try {
    const { addon, ...found } = findAddon()
    const facts = JSON.parse(addon.machine()) as AddonFacts
    return { ...facts, freeMemory: freeMemory() ?? facts.freeMemory, ...found }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

/** Looks at this machine; a missing engine is a finding, not a failure. */
export const lookAround = (): Machine => {
  const total = totalmem()
  const limit = process.constrainedMemory()
  return {
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    totalMemory: total,
    // Without a limit, 0 or a number beyond all memory is said.
    memoryLimit: limit > 0 && limit < total ? limit : null,
    engine: engineFacts(),
  }
}

/** Bytes as a person reads them, in the units of the engine's sentences. */
export const sizeText = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** A plan in one line. */
export const planText = (prospect: Prospect): string => {
  const { plan, available, packed, trainedContext } = prospect
  if (!plan) return `${prospect.why}`
  const experts = packed > 0 ? ` (${sizeText(packed)} of it packed experts)` : ''
  const context = plan.maxModelLen.toLocaleString('en')
  const short =
    plan.maxModelLen < trainedContext ? ` of ${trainedContext.toLocaleString('en')}` : ''
  return (
    `weights ${sizeText(plan.weights)}${experts}, steps ${sizeText(plan.workspace)}, ` +
    `KV cache ${sizeText(plan.kvCache)} for a context of ${context}${short} tokens, of ${sizeText(available)}`
  )
}
