// This package's version, read from its package.json once; whatever shows it imports it from here.
import { readFileSync } from 'node:fs'

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8')
) as { version: string }

export const VERSION = version
