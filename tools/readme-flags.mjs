// Writes README's flag table anew from src/options.ts, between its markers; npm run flags calls it after a build.
import { readFileSync, writeFileSync } from 'node:fs'

const { SERVE } = await import('../dist/options.js')
const { flagTable } = await import('../dist/options/help.js')

const README = new URL('../README.md', import.meta.url)
const text = readFileSync(README, 'utf8')
const table = `<!-- flags -->\n${flagTable(SERVE)}\n<!-- /flags -->`
writeFileSync(
  README,
  text.replace(/<!-- flags -->[^]*<!-- \/flags -->/, () => table)
)
