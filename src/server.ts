// The life of an HTTP server: open the port, load, serve, drain, close; the command line and embedders create it.
import { createServer as createNodeServer } from 'node:http'
import type { IncomingMessage, Server as NodeServer, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, RequestError } from '@hono/node-server'
import { createApp } from './app.ts'
import { ApiError, envelope, internal } from './errors.ts'
import { isLoopback } from './hosts.ts'
import {
  checkPossible,
  type LoadHooks,
  loadModels,
  modelsOf,
  namesOf,
  type OneModel,
  settingsOf,
  StartError,
} from './loading.ts'
import { silentLog } from './log.ts'
import { planText } from './machine.ts'
import type { ServeOptions } from './options.ts'
import type { Lifecycle, Log, ServedModel } from './served.ts'

export interface ServerHooks extends LoadHooks {
  log?: Log
  /** Leave the global Request and Response alone, as embedders expect. */
  embedded?: boolean
}

export interface Server {
  /** Where it can be reached from this machine. */
  url: string
  app: ReturnType<typeof createApp>
  /** One for each model, in the order they were named. */
  lifecycles: Lifecycle[]
  /** Fulfilled when all models answer; rejects with a sentence when one cannot be loaded. */
  ready: Promise<ServedModel[]>
  /** Fulfilled with the reason when the last engine that lived has died. */
  died: Promise<string>
  /** Refuses new work, lets what runs end within `drainMs`, then closes. */
  close(options?: { drainMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Milliseconds: what a client has to send its request, and an idle connection to send the next. */
const TIMEOUTS = {
  requestTimeout: 60_000,
  headersTimeout: 30_000,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
}

/** Milliseconds between two looks at the engine. */
const WATCH_EVERY = 500

/** Milliseconds that answers cut at the end of a drain have to say so. */
const LAST_WORDS = 1000

/** What is answered where the app could not be asked. */
const unasked = (error: unknown): Response => {
  const known =
    error instanceof RequestError
      ? new ApiError(400, `The request is malformed: ${error.message}`, { code: 'bad_request' })
      : internal()
  return Response.json(envelope(known), { status: known.status })
}

const listen = async (server: NodeServer, { host, port }: ServeOptions): Promise<void> => {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const where = `port ${port} on ${host}`
      const why: { [code: string]: string } = {
        EADDRINUSE: `${where} is taken; choose another with --port`,
        EACCES: `${where} may not be used; choose one above 1023 with --port`,
        EADDRNOTAVAIL: `${host} is no address of this machine; choose another with --host`,
        ENOTFOUND: `${host} is no address of this machine; choose another with --host`,
      }
      reject(new StartError(why[error.code ?? ''] ?? `cannot listen on ${where}: ${error.message}`))
    })
    server.listen({ host, port }, resolve)
  })
}

/** The address to reach the server at; a wildcard is reached through loopback. */
const urlOf = (server: NodeServer): string => {
  const { address, port } = server.address() as AddressInfo
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The answers that are on their way, and what goes on without a connection. */
class Traffic {
  private open = new Set<ServerResponse | Promise<void>>()
  private draining = false
  private wake: (() => void) | undefined

  constructor(server: NodeServer) {
    server.prependListener('request', (_: IncomingMessage, response: ServerResponse) => {
      if (this.draining) response.shouldKeepAlive = false
      this.open.add(response)
      response.once('close', () => this.ended(response))
    })
  }

  private ended(one: ServerResponse | Promise<void>): void {
    this.open.delete(one)
    this.wake?.()
  }

  /** Work whose answer is fetched later; it never rejects. */
  hold(work: Promise<void>): void {
    this.open.add(work)
    void work.then(() => this.ended(work))
  }

  /** Waits until all answers begun before now have ended, at most so long. */
  async drained(milliseconds: number): Promise<void> {
    this.draining = true
    const before = [...this.open]
    const deadline = Date.now() + milliseconds
    while (before.some((response) => this.open.has(response))) {
      const left = deadline - Date.now()
      if (left <= 0) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

/** Looks whether the engine lives; `died` is called once, with the reason. */
const watch = (
  { engine }: ServedModel,
  seconds: number,
  died: (reason: string) => void
): NodeJS.Timeout => {
  const timer = setInterval(() => {
    const { dead, running, waiting, beatAge } = engine.stats()
    const hung = running + waiting > 0 && beatAge > seconds
    if (dead === null && !hung) return
    clearInterval(timer)
    died(dead ?? `the engine has stood still for ${Math.round(beatAge)} seconds with work to do`)
  }, WATCH_EVERY)
  return timer.unref()
}

/** From loading to closed; load and close share it. */
class Life {
  lifecycles: Lifecycle[]
  died: Promise<string>
  private announce!: (reason: string) => void
  private wanted: OneModel[]
  private watchdog: number
  private hooks: ServerHooks
  private watchers: NodeJS.Timeout[] = []
  private closing: Promise<void> | undefined

  constructor(options: ServeOptions, hooks: ServerHooks) {
    this.wanted = modelsOf(options)
    this.watchdog = options.watchdog
    this.hooks = hooks
    this.lifecycles = this.wanted.map((one): Lifecycle => ({
      names: namesOf(one),
      phase: 'loading',
      progress: 0,
      detail: 'waiting',
    }))
    this.died = new Promise((resolve) => {
      this.announce = resolve
    })
  }

  private die(lifecycle: Lifecycle, reason: string): void {
    lifecycle.phase = 'dead'
    lifecycle.detail = reason
    const [model] = lifecycle.names
    this.hooks.log?.error('the engine has died', { model, reason })
    if (this.lifecycles.every(({ phase }) => phase === 'dead')) this.announce(reason)
  }

  /** The first that is not loaded yet. */
  private get loading(): Lifecycle | undefined {
    return this.lifecycles.find(({ model }) => !model)
  }

  private enter(model: ServedModel): void {
    const lifecycle = this.loading
    if (!lifecycle) return
    Object.assign(lifecycle, { model, phase: 'ready', progress: 1, detail: '' })
    this.watchers.push(watch(model, this.watchdog, (reason) => this.die(lifecycle, reason)))
  }

  async load(): Promise<ServedModel[]> {
    const { hooks } = this
    const models = loadModels(this.wanted, {
      ...hooks,
      onProgress: (progress, name) => {
        if (this.loading) this.loading.progress = progress.done
        if (this.loading) this.loading.detail = progress.phase
        hooks.onProgress?.(progress, name)
      },
      onPlan: (prospect, model) => {
        hooks.log?.info('memory is planned', { model, plan: planText(prospect) })
        hooks.onPlan?.(prospect, model)
      },
    })
    try {
      const loaded: ServedModel[] = []
      for await (const model of models) {
        if (this.closing) {
          await model.engine.close()
          throw new StartError('the server was closed while a model was loading')
        }
        this.enter(model)
        loaded.push(model)
      }
      return loaded
    } catch (error) {
      if (!this.closing && this.loading) {
        this.loading.detail = (error as Error).message
        this.loading.phase = 'dead'
      }
      throw error
    }
  }

  close(server: NodeServer, traffic: Traffic, drainMs: number): Promise<void> {
    this.closing ??= this.drain(server, traffic, drainMs)
    return this.closing
  }

  private async drain(server: NodeServer, traffic: Traffic, drainMs: number): Promise<void> {
    const alive = this.lifecycles.filter(({ phase }) => phase !== 'dead')
    for (const lifecycle of alive)
      Object.assign(lifecycle, { phase: 'draining', detail: 'shutting down' })
    await traffic.drained(alive.length > 0 ? drainMs : 0)
    for (const watcher of this.watchers) clearInterval(watcher)
    // A dead or hung engine is not waited for.
    await Promise.all(alive.map(({ model }) => model?.engine.close()))
    await traffic.drained(LAST_WORDS)
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
}

/** Opens the port, then loads the models behind it. Rejects where the port cannot be had or the options ask too much. */
export const createServer = async (
  options: ServeOptions,
  hooks: ServerHooks = {}
): Promise<Server> => {
  checkPossible(options)
  const life = new Life(options, hooks)
  const { lifecycles, died } = life
  const settings = settingsOf(options)
  // Where others reach the address, names of all kinds lead to it.
  if (isLoopback(options.host)) settings.allowedHosts = options.allowedHosts ?? []
  const app = createApp(lifecycles, settings, hooks.log ?? silentLog, (work) => traffic.hold(work))
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: !hooks.embedded,
    errorHandler: unasked,
  })
  const server = createNodeServer(TIMEOUTS, listener)
  const traffic = new Traffic(server)
  await listen(server, options)
  const ready = life.load()
  // Whoever awaits it sees the failure; nobody has to.
  ready.catch(() => {})
  const close = ({ drainMs = 0 }: { drainMs?: number } = {}): Promise<void> =>
    life.close(server, traffic, drainMs)
  const url = urlOf(server)
  return { url, app, lifecycles, ready, died, close, [Symbol.asyncDispose]: () => close() }
}
