// Log lines on stderr: JSON for machines, short lines on a terminal; the command line makes one, embedders pass their own.
import { styleText } from 'node:util'
import type { Log } from './served.ts'

const WEIGHTS = { debug: 0, info: 1, warn: 2, error: 3 } as const

export type LogLevel = keyof typeof WEIGHTS

const COLOURS = { debug: 'dim', info: 'cyan', warn: 'yellow', error: 'red' } as const

/** Where lines go; process.stderr is one. */
export interface Sink {
  write(line: string): unknown
  isTTY?: boolean
}

/** Text in which nothing can move the cursor or begin a line of its own. */
export const printable = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control bytes are what it is about
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    const code = character.charCodeAt(0)
    return character === '\n' ? '\\n' : `\\x${code.toString(16).padStart(2, '0')}`
  })

const fieldText = ([key, value]: [string, unknown]): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return `${key}=${printable(text)}`
}

const pretty = (level: LogLevel, message: string, fields: Record<string, unknown>): string => {
  const time = new Date().toISOString().slice(11, 19)
  const mark = styleText(COLOURS[level], level.padEnd(5))
  const rest = Object.entries(fields).map(fieldText)
  return [styleText('dim', time), mark, printable(message), ...rest].join(' ')
}

const json = (level: LogLevel, message: string, fields: Record<string, unknown>): string => {
  const head = { time: new Date().toISOString(), level, message }
  try {
    return JSON.stringify({ ...head, ...fields, ...head })
  } catch {
    return JSON.stringify({ ...head, fields: 'not JSON' })
  }
}

/** A log that writes what weighs at least `level`. */
export const createLog = (level: LogLevel = 'info', sink: Sink = process.stderr): Log => {
  const write =
    (kind: LogLevel) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (WEIGHTS[kind] < WEIGHTS[level]) return
      sink.write(`${(sink.isTTY ? pretty : json)(kind, message, fields)}\n`)
    }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  }
}

/** A log that says nothing, for embedders that pass none. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
