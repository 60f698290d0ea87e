// From options to served models: reads the folders, opens the engines, and says in one sentence what cannot be; server.ts and index.ts load.
import { freemem } from 'node:os'
import type { Json } from './conversation.ts'
import type { Engine, EngineOptions, LoadProgress } from './engine.ts'
import { freeMemory, type Prospect, prospectOf } from './machine.ts'
import { checkTemplate, demoFolders, type ModelFolder, nameOf, readModelFolder } from './model.ts'
import { openEngine, shareMemory } from './native.ts'
import type { ModelOptions, ServeOptions } from './options.ts'
import type { Size } from './options/kinds.ts'
import { UsageError } from './options/schema.ts'
import type { AppSettings, ModelSettings, ServedModel } from './served.ts'
import { VERSION } from './version.ts'

/** What this machine or this version cannot do, in one sentence. */
export class StartError extends Error {
  override name = 'StartError'
}

/** Opens an engine; tests pass one of their own. */
export type OpenEngine = (
  options: EngineOptions,
  onProgress: (progress: LoadProgress) => void
) => Promise<Engine>

export interface LoadHooks {
  /** `model` is the name of the one that is loaded. */
  onProgress?: (progress: LoadProgress, model: string) => void
  /** Hears what memory a model will take, before any is loaded. */
  onPlan?: (prospect: Prospect, model: string) => void
  open?: OpenEngine
}

/** Options of one model whose folder is known. */
export type OneModel = ModelOptions & {
  model: string
  /** Its threads were given to it alone, not to all. */
  ownThreads: boolean
}

/** Throws where a request could mean two models, or could mean none. */
export const checkNames = (models: string[][]): void => {
  if (models.length === 0) throw new UsageError('there is no model to serve')
  const names = models.flat()
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined)
    throw new UsageError(
      `two models answer to '${twice}'; give each a name of its own: --model FOLDER --served-model-name NAME`
    )
}

/** The models that options ask for, each with all its options, checked; without any named, the demos. */
export const modelsOf = (options: ServeOptions): OneModel[] => {
  const { model, models } = options
  if (model !== undefined && models !== undefined)
    throw new UsageError('--model and --models cannot both be given; name all models in one way')
  const several =
    models ?? (model === undefined ? demoFolders() : [model]).map((one) => ({ model: one }))
  const all = several.map(
    (one) => ({ ...options, ...one, ownThreads: 'threads' in one }) as OneModel
  )
  checkNames(all.map(namesOf))
  for (const one of all) modelSettingsOf(one)
  return all
}

/** The names a model answers to. */
export const namesOf = ({ model, servedModelName }: OneModel): string[] =>
  servedModelName ?? [nameOf(model)]

/** Throws where the options ask for what there is not. */
export const checkPossible = ({ device, tensorParallelSize }: ServeOptions): void => {
  if (device === 'cuda')
    throw new StartError('--device cuda: this build computes on the CPU only; CUDA is not in yet')
  if (tensorParallelSize > 1)
    throw new StartError(
      `--tensor-parallel-size ${tensorParallelSize}: a model cannot be split over devices yet; leave it at 1`
    )
}

/** Variables every template gets, the default thinking budget among them. */
const templateVariables = (options: ModelOptions): { [key: string]: Json } => {
  const { defaultChatTemplateKwargs = {}, thinkingBudget, currentDate } = options
  const budget = defaultChatTemplateKwargs.thinking_budget ?? undefined
  if (budget !== undefined && !Number.isInteger(budget))
    throw new UsageError(
      '--default-chat-template-kwargs: thinking_budget must be a whole number of tokens'
    )
  const variables = { ...defaultChatTemplateKwargs } as { [key: string]: Json }
  if (thinkingBudget !== undefined) variables.thinking_budget = thinkingBudget
  if (currentDate !== undefined) variables.current_date = currentDate
  return variables
}

/** What the app must know of the options. */
export const settingsOf = (options: ServeOptions): AppSettings => ({
  apiKeys: options.apiKey ?? [],
  maxBody: options.maxBody,
  keepAliveSeconds: options.sseKeepAliveInterval,
  returnTokensAsTokenIds: options.returnTokensAsTokenIds,
  forceIncludeUsage: options.enableForceIncludeUsage,
  trustRequestChatTemplate: options.trustRequestChatTemplate,
  allowedOrigins: options.allowedOrigins ?? [],
  watchdog: options.watchdog,
  rootPath: options.rootPath ?? '',
  responseStore: options.responseStore,
  responseStoreMax: options.responseStoreMax,
  version: VERSION,
})

/** What the app must know of one model's options. */
const modelSettingsOf = (options: ModelOptions): ModelSettings => ({
  reasoningParser: options.reasoningParser === 'none' ? 'none' : 'auto',
  toolCallParser: options.toolCallParser === 'none' ? 'none' : 'auto',
  harmonyGuard: options.harmonyGuard,
  defaultTemplateVariables: templateVariables(options),
})

/** A part is one of the memory that is free now, within what a container may have. */
export const bytesOf = (size: Size): number =>
  'bytes' in size ? size.bytes : Math.floor(size.part * (process.availableMemory?.() ?? freemem()))

const memoryElsewhere = (): { memory?: number } => {
  const memory = freeMemory()
  return memory === undefined ? {} : { memory }
}

/** What the engine must know of a model; without its family, enough to plan it. */
export const engineOptionsOf = (
  options: OneModel,
  path: string,
  family?: ModelFolder['family']
): EngineOptions => ({
  path,
  dtype: options.dtype,
  ...(options.quantize === undefined ? {} : { quantize: options.quantize }),
  roundsActivations: options.activations !== 'float32',
  ...(options.cacheTiled === undefined ? {} : { tiles: options.cacheTiled }),
  ...(options.maxModelLen === undefined ? {} : { maxModelLen: options.maxModelLen }),
  maxSequences: options.maxNumSeqs,
  maxBatchedTokens: options.maxNumBatchedTokens,
  ...(options.kvCacheMemory === undefined ? {} : { kvCacheBytes: bytesOf(options.kvCacheMemory) }),
  ...(options.kvCacheDtype === 'auto' ? {} : { kvCacheDtype: options.kvCacheDtype }),
  pageSize: options.pageSize,
  ...memoryElsewhere(),
  ...(options.threads === undefined ? {} : { threads: options.threads }),
  ownThreads: options.ownThreads,
  prefixCache: options.prefixCaching,
  promptLookup: options.promptLookup,
  maxQueue: options.maxQueue,
  maxQueuedTokens: options.maxQueuedTokens,
  controlTokens: family?.controlTokens ?? [],
  stopTokens: family?.stopTokens ?? [],
})

/** The folder the options name, read and checked. */
const folderOf = (options: OneModel): ModelFolder => {
  const { model, chatTemplate } = options
  const folder = readModelFolder(model, chatTemplate === undefined ? {} : { chatTemplate })
  const variables = templateVariables(options)
  if (Object.keys(variables).length > 0)
    checkTemplate(folder.template, '--default-chat-template-kwargs', variables)
  return folder
}

export type LoadedModel = ServedModel & { folder: ModelFolder }

/** Loads models one after another, each ready once it is yielded; rejects with a sentence that names the file and what is wrong. */
export async function* loadModels(
  wanted: OneModel[],
  { onProgress = () => {}, onPlan = () => {}, open }: LoadHooks = {}
): AsyncGenerator<LoadedModel, undefined> {
  // What is wrong with any is said before the first is loaded.
  const read = wanted.map((options) => {
    const folder = folderOf(options)
    return { options, folder, engineOptions: engineOptionsOf(options, folder.path, folder.family) }
  })
  // The first must leave the others what they need.
  if (!open && read.length > 1)
    for (const [at, memory] of shareMemory(read.map((one) => one.engineOptions)).entries())
      read[at]!.engineOptions.memory = memory
  if (!open)
    for (const { options, engineOptions } of read) {
      const prospect = prospectOf(engineOptions)
      // The loader plans with the same number, so that it comes to the same.
      engineOptions.memory = prospect.available
      if (prospect.plan) onPlan(prospect, namesOf(options)[0] ?? '')
    }
  for (const { options, folder, engineOptions } of read) {
    const names = namesOf(options)
    // Two loads at once would be slower than one after the other: both read the same disk.
    // oxlint-disable-next-line no-await-in-loop
    const engine = await (open ?? openEngine)(engineOptions, (progress) =>
      onProgress(progress, names[0] ?? '')
    )
    yield {
      names,
      created: Math.floor(Date.now() / 1000),
      family: folder.family,
      template: folder.template,
      engine,
      defaults: folder.defaults,
      settings: modelSettingsOf(options),
      folder,
    }
  }
  return undefined
}

/** All of them, or none: where one cannot be loaded, those before it are closed. */
export const loadAll = async (
  wanted: OneModel[],
  hooks: LoadHooks = {}
): Promise<LoadedModel[]> => {
  const models: LoadedModel[] = []
  try {
    for await (const model of loadModels(wanted, hooks)) models.push(model)
    return models
  } catch (error) {
    await Promise.all(models.map(({ engine }) => engine.close()))
    throw error
  }
}
