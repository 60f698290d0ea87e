// The public API for embedding; importing it is cheap, the native engine loads with loadEngine, loadModel or createServer.
import { createApp as createAppOver } from './app.ts'
import type { Engine } from './engine.ts'
import { type LoadHooks, loadModel as load, settingsOf } from './loading.ts'
import { silentLog } from './log.ts'
import { type ServeOptions, SERVE } from './options.ts'
import { withDefaults } from './options/read.ts'
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

/** The options of `seed-server serve`, in camelCase; sizes may be written as on the command line. */
export type Options = Partial<
  Omit<ServeOptions, 'kvCacheMemory' | 'config' | 'printConfig'> & {
    kvCacheMemory: number | string
  }
>

const closing = <T extends object>(owner: T, close: () => Promise<void>): T & AsyncDisposable =>
  Object.assign(owner, { [Symbol.asyncDispose]: close })

/** Loads a model: a folder, or options that name one; without either, the demo model. */
export const loadModel = async (
  given: string | Options = {},
  hooks: LoadHooks = {}
): Promise<ServedModel & AsyncDisposable> => {
  const options = typeof given === 'string' ? { model: given } : given
  const model = await load(withDefaults(SERVE, options), hooks)
  return closing(model, () => model.engine.close())
}

/** Loads a model and gives its bare engine: tokens in, tokens out. */
export const loadEngine = async (
  given: string | Options = {},
  hooks: LoadHooks = {}
): Promise<Engine & AsyncDisposable> => {
  const { engine } = await loadModel(given, hooks)
  return closing(engine, () => engine.close())
}

/** The app over a loaded model, without a socket: `app.fetch`, `app.request`, `route('/llm', app)`. */
export const createApp = (model: ServedModel, options: Options = {}, log: Log = silentLog) => {
  const lifecycle: Lifecycle = { phase: 'ready', progress: 1, detail: '', model }
  return createAppOver(lifecycle, settingsOf(withDefaults(SERVE, options)), log)
}

/**
 * A server of its own: the port is open when this is fulfilled, `ready` when the model is loaded. No signal handlers,
 * no exit; `await server.close({ drainMs })` or `await using` ends it.
 */
export const createServer = (options: Options = {}, hooks: ServerHooks = {}): Promise<Server> =>
  createHttpServer(withDefaults(SERVE, options), { embedded: true, ...hooks })
