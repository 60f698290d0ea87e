// The public API for embedding; importing it is cheap, the native engine loads with loadEngine, loadModel or createServer.
import { createApp as createAppOver } from './app.ts'
import type { Engine } from './engine.ts'
import { checkNames, loadAll, type LoadHooks, modelsOf, settingsOf } from './loading.ts'
import { silentLog } from './log.ts'
import { type ModelOptions, type ServeOptions, SERVE } from './options.ts'
import { withDefaults } from './options/read.ts'
import { UsageError } from './options/schema.ts'
import { createServer as createHttpServer, type Server, type ServerHooks } from './server.ts'
import type { Lifecycle, Log, ServedModel } from './served.ts'

export { EngineRefusal } from './engine.ts'
export type {
  Engine,
  EngineRequest,
  EngineStats,
  ModelInfo,
  Sampling,
  StepOutput,
} from './engine.ts'
export { StartError } from './loading.ts'
export { createLog } from './log.ts'
export { ModelError, readModelFolder } from './model.ts'
export { nodeHandler } from './node-handler.ts'
export { UsageError } from './options/schema.ts'
export type { Server } from './server.ts'
export type { Lifecycle, Log, SamplingDefaults, ServedModel } from './served.ts'
export { VERSION as version } from './version.ts'

/** Options in camelCase; sizes may be written as on the command line. */
type Given<All> = Partial<Omit<All, 'kvCacheMemory'> & { kvCacheMemory: number | string }>

/** One of several models: its folder, and what is not as for all. */
export type OneOfSeveral = Given<ModelOptions> & { model: string }

/** The options of `seed-server serve`; `models` serves several, each with options of its own. */
export type Options = Given<Omit<ServeOptions, 'config' | 'printConfig' | 'models'>> & {
  models?: (string | OneOfSeveral)[]
}

const closing = <T extends object>(owner: T, close: () => Promise<void>): T & AsyncDisposable =>
  Object.assign(owner, { [Symbol.asyncDispose]: close })

const closeAll = async (models: ServedModel[]): Promise<void> => {
  await Promise.all(models.map(({ engine }) => engine.close()))
}

/** Loads the models that options name, all or none; without any named, the demo models. */
export const loadModels = async (
  given: Options = {},
  hooks: LoadHooks = {}
): Promise<ServedModel[] & AsyncDisposable> => {
  const models = await loadAll(modelsOf(withDefaults(SERVE, given)), hooks)
  return closing(models as ServedModel[], () => closeAll(models))
}

/** Loads a model: a folder, or options that name one; without either, the first demo model. */
export const loadModel = async (
  given: string | Options = {},
  hooks: LoadHooks = {}
): Promise<ServedModel & AsyncDisposable> => {
  const options = typeof given === 'string' ? { model: given } : given
  if (options.models) throw new UsageError('loadModel loads one model; for several use loadModels')
  const [one] = modelsOf(withDefaults(SERVE, options))
  const [model] = await loadAll(one ? [one] : [], hooks)
  if (!model) throw new UsageError('there is no model to load')
  return closing(model as ServedModel, () => closeAll([model]))
}

/** Loads a model and gives its bare engine: tokens in, tokens out. */
export const loadEngine = async (
  given: string | Options = {},
  hooks: LoadHooks = {}
): Promise<Engine & AsyncDisposable> => {
  const { engine } = await loadModel(given, hooks)
  return closing(engine, () => engine.close())
}

const readyLife = (model: ServedModel): Lifecycle => ({
  names: model.names,
  phase: 'ready',
  progress: 1,
  detail: '',
  model,
})

/**
 * The app over loaded models, one or several, without a socket: `app.fetch`, `app.request`, `route('/llm', app)`.
 * Options that are a model's own count where it is loaded; here those of the server do.
 */
export const createApp = (
  models: ServedModel | ServedModel[],
  options: Options = {},
  log: Log = silentLog
) => {
  const all = [models].flat()
  checkNames(all.map(({ names }) => names))
  return createAppOver(all.map(readyLife), settingsOf(withDefaults(SERVE, options)), log)
}

/**
 * A server of its own: the port is open when this is fulfilled, `ready` when the models are loaded. No signal handlers,
 * no exit; `await server.close({ drainMs })` or `await using` ends it.
 */
export const createServer = (options: Options = {}, hooks: ServerHooks = {}): Promise<Server> =>
  createHttpServer(withDefaults(SERVE, options), { embedded: true, ...hooks })
