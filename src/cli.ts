#!/usr/bin/env node
// The command line's door: picks the command and turns its end into an exit code. package.json's bin points here.
import { existsSync } from 'node:fs'
import { printable } from './log.ts'
import { nearest, UsageError } from './options/schema.ts'
import { VERSION } from './version.ts'

type Command = (argv: string[]) => Promise<number>

/** Each in a file of its own, loaded when it is called. */
const COMMANDS: {
  [name: string]: { what: string; load: () => Promise<{ run: Command }>; alias?: string }
} = {
  serve: { what: 'serve models over the OpenAI API', load: () => import('./cli/serve.ts') },
  generate: { what: 'answer prompts once and end', load: () => import('./cli/generate.ts') },
  chat: { what: 'talk to a model in the terminal', load: () => import('./cli/chat.ts') },
  render: { what: 'show the prompt of a conversation', load: () => import('./cli/render.ts') },
  doctor: {
    what: 'say what this machine can serve',
    load: () => import('./cli/doctor.ts'),
    alias: 'check-environment',
  },
  quantize: {
    what: 'write a folder of smaller weights',
    load: () => import('./cli/quantize.ts'),
  },
  parse: { what: 'show the events of an output', load: () => import('./cli/parse.ts') },
}

const overview = (): string =>
  [
    `seed-server ${VERSION}: an OpenAI-compatible server for ByteDance Seed-OSS and OpenAI gpt-oss`,
    '',
    ...Object.entries(COMMANDS).map(
      ([name, { what }]) => `  seed-server ${name.padEnd(10)}${what}`
    ),
    '',
    'Without a command it serves. "seed-server COMMAND --help" shows the flags of one.',
    '',
  ].join('\n')

/** The command that goes by this name, as it is or as others call it. */
const commandBy = (name: string) =>
  Object.hasOwn(COMMANDS, name)
    ? COMMANDS[name]
    : Object.values(COMMANDS).find(({ alias }) => alias === name)

/** Runs the command line; a mistake in it is 2, anything else that keeps it from working is 1. */
export const main = async (argv: string[]): Promise<number> => {
  const [first = ''] = argv
  if (first === 'help') {
    process.stdout.write(overview())
    return 0
  }
  // A folder or file where a command would stand is what to serve.
  const isPath = !commandBy(first) && (/[\\/]/.test(first) || existsSync(first))
  const named = first !== '' && !first.startsWith('-') && !isPath
  const command = commandBy(named ? first : 'serve')
  try {
    if (!command) {
      const meant = nearest(first, Object.keys(COMMANDS))
      throw new UsageError(
        `unknown command "${first}"${meant ? `; did you mean "${meant}"?` : '; see "seed-server help"'}`
      )
    }
    const { run } = await command.load()
    return await run(named ? argv.slice(1) : argv)
  } catch (error) {
    process.stderr.write(`error: ${printable(sentence(error))}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

/** Known mistakes are sentences; of anything else the stack is what helps. */
const sentence = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return process.env.SEED_DEBUG ? (error.stack ?? error.message) : error.message
}

process.exitCode = await main(process.argv.slice(2))
