// `--cache-tiled`: a later start maps what the first one made, answers the same bit by bit, and notices when the model is another.
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { openEngine } from '../../src/native.ts'
import { engineOptions, greedy, tinyModel } from './tiny.ts'

const scratch = mkdtempSync(join(tmpdir(), 'seed-tiles-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** The one file of a folder, and what tells whether it was written anew. */
const file = (folder: string) => {
  const names = readdirSync(folder)
  expect(names).toHaveLength(1)
  const path = join(folder, names[0]!)
  return { path, inode: statSync(path).ino }
}

const families = { 'seed-oss': seedOss, 'gpt-oss': gptOss }

test.each([
  ['seed-oss', 'q8_0'],
  ['seed-oss', 'q4_k'],
  ['gpt-oss', undefined],
  ['gpt-oss', 'q6_k'],
] as const)('%s in %s', async (name, quantize) => {
  const family = families[name]
  const model = tinyModel(family)
  const tiles = join(scratch, 'made', `${family.name}-${quantize}`)
  const more = quantize ? { quantize } : {}
  const plain = await greedy(model.path, family, more)
  expect(await greedy(model.path, family, { ...more, tiles })).toEqual(plain)
  const made = file(tiles)
  expect(await greedy(model.path, family, { ...more, tiles })).toEqual(plain)
  expect(file(tiles)).toEqual(made)

  // It is the file that is multiplied with.
  const size = statSync(made.path).size
  const header = 8 + Number(readFileSync(made.path).readBigUInt64LE(0))
  const whole = readFileSync(made.path)
  writeSync(openSync(made.path, 'r+'), Buffer.alloc(size - header, 0x55), 0, size - header, header)
  expect(await greedy(model.path, family, { ...more, tiles })).not.toEqual(plain)
  expect(file(tiles)).toEqual(made)

  // Half a file, and one that is something else, are made anew.
  for (const bytes of [whole.subarray(0, size - 1), Buffer.from('{}'), Buffer.alloc(0)]) {
    writeFileSync(made.path, bytes)
    // oxlint-disable-next-line no-await-in-loop
    expect(await greedy(model.path, family, { ...more, tiles })).toEqual(plain)
    expect(statSync(file(tiles).path).size).toBe(size)
  }
  model.drop()
})

test('files of another time are another model', async () => {
  const model = tinyModel()
  const tiles = join(scratch, 'changed')
  const more = { quantize: 'q8_0', tiles }
  await greedy(model.path, seedOss, more)
  const first = file(tiles)
  const weights = readdirSync(model.path).find((name) => /^model.*\.safetensors$/.test(name))
  utimesSync(join(model.path, weights!), 1, 1)
  await greedy(model.path, seedOss, more)
  expect(file(tiles).path).toBe(first.path)
  expect(file(tiles).inode).not.toBe(first.inode)
  // Other options have a file of their own; without quantised weights there is none.
  await greedy(model.path, seedOss, { ...more, quantize: 'q4_0' })
  await greedy(model.path, seedOss, { tiles })
  await greedy(model.path, seedOss, { ...more, roundsActivations: false })
  expect(readdirSync(tiles)).toHaveLength(2)
  model.drop()
})

test('a folder that cannot be one is one sentence', async () => {
  const model = tinyModel()
  const taken = join(scratch, 'taken')
  writeFileSync(taken, '')
  const open = openEngine({ ...engineOptions(model.path, seedOss), quantize: 'q8_0', tiles: taken })
  await expect(open).rejects.toThrow(/taken: cannot be made: /)
  model.drop()
})
