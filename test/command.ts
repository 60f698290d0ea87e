// The built command as a child process, for the tests that run it as people do.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CLI = join(ROOT, 'dist', 'cli.js')

const children: ChildProcess[] = []

/** Brings dist/ up to date. */
export const build = (): void => {
  execFileSync(process.execPath, [join(ROOT, 'tools', 'setup.mjs'), 'ts'], { stdio: 'inherit' })
}

/** Ends what is still running. */
export const killAll = (): void => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
}

/** This process's environment without what the command would read from it. */
const clean = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(SEED_(?!NATIVE)|PORT$|HOST$)/.test(name))
  )

export interface Running {
  child: ChildProcess
  out: () => string
  err: () => string
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export const launch = (argv: string[], env: NodeJS.ProcessEnv = {}): Running => {
  const child = spawn(process.execPath, [CLI, ...argv], { env: { ...clean(), ...env } })
  children.push(child)
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (err += chunk))
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  return { child, out: () => out, err: () => err, ended }
}

/** The address of a server that has become ready. */
export const ready = async (running: Running): Promise<string> => {
  for (let n = 0; n < 600; n++) {
    const url = / is ready at (\S+)/.exec(running.out())?.[1]
    if (url) return url
    if (running.child.exitCode !== null) break
    await pause(50)
  }
  throw new Error(`not ready: ${running.out()}${running.err()}`)
}

export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Runs to the end, with `input` on stdin. */
export const finished = async (argv: string[], env: NodeJS.ProcessEnv = {}, input = '') => {
  const { child, ended, out, err } = launch(argv, env)
  child.stdin?.end(input)
  const { code } = await ended
  return { code, out: out(), err: err() }
}

/** All of stderr: one sentence in which these words stand. */
export const one = (sentence: string): RegExp => new RegExp(`^error: [^\\n]*${sentence}[^\\n]*\\n$`)
