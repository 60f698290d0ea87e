// From options to a served model: reads the folder, opens the engine, and says in one sentence what cannot be; server.ts and index.ts load.
import { freemem } from 'node:os'
import type { Json } from './conversation.ts'
import type { Engine } from './engine.ts'
import { checkTemplate, demoFolder, type ModelFolder, readModelFolder } from './model.ts'
import { type EngineOptions, type LoadProgress, openEngine } from './native.ts'
import type { ServeOptions } from './options.ts'
import type { Size } from './options/kinds.ts'
import { UsageError } from './options/schema.ts'
import type { AppSettings, ServedModel } from './served.ts'
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
  onProgress?: (progress: LoadProgress) => void
  open?: OpenEngine
}

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
const templateVariables = (options: ServeOptions): { [key: string]: Json } => {
  const { defaultChatTemplateKwargs = {}, thinkingBudget } = options
  const budget = defaultChatTemplateKwargs.thinking_budget ?? undefined
  if (budget !== undefined && !Number.isInteger(budget))
    throw new UsageError(
      '--default-chat-template-kwargs: thinking_budget must be a whole number of tokens'
    )
  const variables = { ...defaultChatTemplateKwargs } as { [key: string]: Json }
  if (thinkingBudget !== undefined) variables.thinking_budget = thinkingBudget
  return variables
}

/** What the app must know of the options. */
export const settingsOf = (options: ServeOptions): AppSettings => ({
  apiKeys: options.apiKey ?? [],
  maxBody: options.maxBody,
  keepAliveSeconds: options.sseKeepAliveInterval,
  returnTokensAsTokenIds: options.returnTokensAsTokenIds,
  forceIncludeUsage: options.enableForceIncludeUsage,
  reasoningParser: options.reasoningParser === 'none' ? 'none' : 'auto',
  toolCallParser: options.toolCallParser === 'none' ? 'none' : 'auto',
  trustRequestChatTemplate: options.trustRequestChatTemplate,
  defaultTemplateVariables: templateVariables(options),
  allowedOrigins: options.allowedOrigins ?? [],
  rootPath: options.rootPath ?? '',
  responseStore: options.responseStore,
  responseStoreMax: options.responseStoreMax,
  version: VERSION,
})

/** A part is one of the memory that is free now, within what a container may have. */
const bytesOf = (size: Size): number =>
  'bytes' in size ? size.bytes : Math.floor(size.part * (process.availableMemory?.() ?? freemem()))

export const engineOptionsOf = (options: ServeOptions, folder: ModelFolder): EngineOptions => ({
  path: folder.path,
  dtype: options.dtype,
  ...(options.maxModelLen === undefined ? {} : { maxModelLen: options.maxModelLen }),
  maxSequences: options.maxNumSeqs,
  maxBatchedTokens: options.maxNumBatchedTokens,
  ...(options.kvCacheMemory === undefined ? {} : { kvCacheBytes: bytesOf(options.kvCacheMemory) }),
  pageSize: options.pageSize,
  ...(options.threads === undefined ? {} : { threads: options.threads }),
  prefixCache: options.prefixCaching,
  maxQueue: options.maxQueue,
  maxQueuedTokens: options.maxQueuedTokens,
  controlTokens: folder.family.controlTokens,
  stopTokens: folder.family.stopTokens,
})

/** The folder the options name, read and checked. */
export const folderOf = (options: ServeOptions): ModelFolder => {
  const { model, chatTemplate } = options
  const folder = readModelFolder(
    model ?? demoFolder(),
    chatTemplate === undefined ? {} : { chatTemplate }
  )
  const variables = templateVariables(options)
  if (Object.keys(variables).length > 0)
    checkTemplate(folder.template, '--default-chat-template-kwargs', variables)
  return folder
}

/** Loads a model; rejects with a sentence that names the file and what is wrong. */
export const loadModel = async (
  options: ServeOptions,
  { onProgress = () => {}, open = openEngine }: LoadHooks = {}
): Promise<ServedModel & { folder: ModelFolder }> => {
  checkPossible(options)
  const folder = folderOf(options)
  const engine = await open(engineOptionsOf(options, folder), onProgress)
  return {
    names: options.servedModelName ?? [folder.name],
    created: Math.floor(Date.now() / 1000),
    family: folder.family,
    template: folder.template,
    engine,
    defaults: folder.defaults,
    folder,
  }
}
