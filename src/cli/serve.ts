// `seed-server serve`: reads the options, creates the server, shows how it gets on, and ends it as signals ask.
import { isLoopback } from '../hosts.ts'
import { createLog } from '../log.ts'
import { GROUPS, MEANINGLESS, PER_MODEL, SERVE, type ServeOptions } from '../options.ts'
import { configText, helpText } from '../options/help.ts'
import { readOptions } from '../options/read.ts'
import { createProgress } from '../progress.ts'
import { createServer, type Server } from '../server.ts'
import type { Log, ServedModel } from '../served.ts'
import { VERSION } from '../version.ts'

const HEAD = `Usage: seed-server [serve] [FOLDER] [flags]

Each flag is also a variable (--max-model-len as SEED_MAX_MODEL_LEN) and a key of the config file ("max-model-len").
Numbers may be written 1k (1000), 32K (32 × 1024), 1.5M, 2GiB.

Several models: --model ONE --served-model-name one --model TWO --max-model-len 8K. What stands behind a --model and can
be a model's own is that model's; what stands before the first is for all. In the config file: "models": [{"model": …}, …].`

/** Exit code where a supervisor should start a new process: EX_SOFTWARE of sysexits.h. */
const DIED = 70

/** Milliseconds between an engine's death and the process's, for answers that say so. */
const GRACE = 1500

const curl = (url: string, { names }: ServedModel, key: boolean): string =>
  `curl ${url}/v1/chat/completions -H 'content-type: application/json'${key ? " -H 'authorization: Bearer YOUR_KEY'" : ''} \\\n` +
  `  -d '{"model": "${names[0]}", "messages": [{"role": "user", "content": "Hello, who are you?"}]}'`

const warnings = (options: ServeOptions): string[] => {
  const found: string[] = []
  if (!isLoopback(options.host) && !options.apiKey?.length)
    found.push(
      `listening on ${options.host} without --api-key: whoever reaches this port may use the model`
    )
  return found
}

/** The first signal drains, the second ends at once. */
const untilSignal = (log: Log): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    let signals = 0
    const signalled = (signal: NodeJS.Signals): void => {
      signals += 1
      if (signals > 1) {
        log.warn('ending at once', { signal })
        process.exit(signal === 'SIGINT' ? 130 : 143)
      }
      resolve(signal)
    }
    process.on('SIGTERM', signalled)
    process.on('SIGINT', signalled)
  })

/** Loads behind the open port; undefined where a signal came first. A failure closes the port again. */
const loaded = async (
  server: Server,
  progress: { end(): void },
  signal: Promise<NodeJS.Signals>
): Promise<ServedModel[] | undefined> => {
  try {
    return await Promise.race([server.ready, signal.then(() => undefined)])
  } catch (error) {
    progress.end()
    await server.close()
    throw error
  } finally {
    progress.end()
  }
}

const drain = async (server: Server, options: ServeOptions, log: Log, signal: string) => {
  log.info('draining', { signal, seconds: options.drainTimeout })
  await server.close({ drainMs: options.drainTimeout * 1000 })
  log.info('stopped')
  return 0
}

/** Serves until a signal or the engine's death; gives the exit code. */
const serve = async (options: ServeOptions, log: Log): Promise<number> => {
  const began = Date.now()
  const signal = untilSignal(log)
  const progress = createProgress()
  const server = await createServer(options, { log, onProgress: progress.update })
  process.on('unhandledRejection', (reason) => {
    log.error('unhandled rejection', { error: (reason as Error)?.stack ?? String(reason) })
  })
  log.debug('listening', { url: server.url })
  const models = await loaded(server, progress, signal)
  // A load cannot be interrupted, but whom a model serves that is loaded already is served to the end.
  if (!models) return drain(server, options, log, await signal)
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  for (const { names } of models)
    process.stdout.write(`${names.join(', ')} is ready at ${server.url} after ${seconds} s\n`)
  process.stdout.write(`${curl(server.url, models[0]!, (options.apiKey?.length ?? 0) > 0)}\n`)
  const end = await Promise.race([
    signal.then((name) => ({ signal: name })),
    server.died.then(() => 'died' as const),
  ])
  if (end !== 'died') return drain(server, options, log, end.signal)
  await new Promise((resolve) => setTimeout(resolve, GRACE))
  return DIED
}

/** Somebody who stops reading what we print must not end the server. */
const survivePipes = (): void => {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

export const run = async (argv: string[]): Promise<number> => {
  const { values, notes, help, version } = readOptions(SERVE, {
    argv,
    env: process.env,
    meaningless: MEANINGLESS,
    positional: 'model',
    sections: { opens: 'model', own: PER_MODEL, into: 'models' },
  })
  if (help !== undefined) process.stdout.write(helpText(SERVE, GROUPS, HEAD, help))
  else if (version) process.stdout.write(`${VERSION}\n`)
  else if (values.printConfig) process.stdout.write(configText(SERVE, values))
  if (help !== undefined || version || values.printConfig) return 0
  const log = createLog(values.logLevel)
  for (const note of notes) process.stderr.write(`note: ${note}\n`)
  for (const warning of warnings(values)) process.stderr.write(`warning: ${warning}\n`)
  survivePipes()
  // A thread that loads or hangs would keep the process; nothing is left to wait for.
  process.exit(await serve(values, log))
}
