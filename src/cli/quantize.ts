// `seed-server quantize`: writes a model folder whose large matrices are rounded to blocks, which then loads as any other.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { StartError } from '../loading.ts'
import { quantizeFolder, sizeText } from '../machine.ts'
import { helpText } from '../options/help.ts'
import { choice, text } from '../options/kinds.ts'
import { readOptions } from '../options/read.ts'
import { flag, UsageError } from '../options/schema.ts'

const GROUPS = { quantize: 'What is written' }

const QUANTIZE = {
  model: flag('quantize', text('FOLDER'), 'the folder of a checkpoint in safetensors'),
  out: flag('quantize', text('FOLDER'), 'the folder to write, which must be new or empty'),
  format: flag(
    'quantize',
    choice(['q8_0', 'q6_k', 'q4_k', 'q4_0']),
    'blocks of the matrices that are multiplied; head to q8_0; embedding, routers, norms and packed experts stay',
    'q8_0'
  ),
} as const

const HEAD = `Usage: seed-server quantize FOLDER --out FOLDER [flags]

Writes a model folder with smaller weights: what --quantize does at each start, once.`

/** Weights in any form, and their indexes: the new file takes their place. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|gguf)$|\.index\.json$/

const NAME = 'model.safetensors'

const checkedFolders = (model: string | undefined, out: string | undefined) => {
  if (model === undefined) throw new UsageError('a FOLDER to quantise must be given')
  if (out === undefined) throw new UsageError('--out must name the folder to write')
  if (!existsSync(join(model, 'config.json')))
    throw new StartError(`${model}: holds no config.json; give the folder of a checkpoint`)
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new StartError(`${out}: is not empty; name a new folder`)
  return { from: resolve(model), to: resolve(out) }
}

/** All but the weights; the config says to other programs what they would stumble over. */
const copyOthers = (from: string, to: string, format: string): void => {
  const files = readdirSync(from, { withFileTypes: true }).filter(
    (entry) => !entry.isDirectory() && !WEIGHTS.test(entry.name)
  )
  for (const { name } of files) copyFileSync(join(from, name), join(to, name))
  const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8')) as object
  writeFileSync(
    join(to, 'config.json'),
    `${JSON.stringify({ ...config, seed_blocks: format }, null, 2)}\n`
  )
}

export const run = async (argv: string[]): Promise<number> => {
  const { values, help } = readOptions(QUANTIZE, { argv, positional: 'model' })
  if (help !== undefined) {
    process.stdout.write(helpText(QUANTIZE, GROUPS, HEAD, help))
    return 0
  }
  const { from, to } = checkedFolders(values.model, values.out)
  mkdirSync(to, { recursive: true })
  const part = join(to, `${NAME}.part`)
  const written = (): number => (existsSync(part) ? statSync(part).size : 0)
  const shown = process.stderr.isTTY
    ? setInterval(() => process.stderr.write(`\r${sizeText(written())} written `), 500)
    : undefined
  try {
    await quantizeFolder(from, values.format, part)
    copyOthers(from, to, values.format)
    // As readable as the files beside it.
    chmodSync(part, 0o644)
    renameSync(part, join(to, NAME))
  } catch (error) {
    rmSync(part, { force: true })
    throw new StartError((error as Error).message)
  } finally {
    clearInterval(shown)
    if (shown) process.stderr.write('\r')
  }
  process.stdout.write(`${to}: ${sizeText(statSync(join(to, NAME)).size)} of weights\n`)
  return 0
}
