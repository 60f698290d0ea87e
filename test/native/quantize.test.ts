// `seed-server quantize`: the folder it writes answers as the checkpoint does that is quantised at each start, bit by bit.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { run } from '../../src/cli/quantize.ts'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { greedy, tinyModel } from './tiny.ts'

const scratch = mkdtempSync(join(tmpdir(), 'seed-quantize-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const size = (folder: string): number =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors'))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)

for (const family of [seedOss, gptOss])
  test.each(['q8_0', 'q4_0', 'q4_k', 'q6_k'])(`${family.name} in %s`, async (format) => {
    const model = tinyModel(family)
    const out = join(scratch, `${family.name}-${format}`)
    expect(await run([model.path, '--out', out, '--format', format])).toBe(0)
    expect(size(out)).toBeLessThan(size(model.path))
    expect(existsSync(join(out, 'tokenizer.json'))).toBe(true)
    expect(readdirSync(out).some((name) => name.endsWith('.part'))).toBe(false)
    const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as object
    expect(config).toMatchObject({ seed_blocks: format })
    expect(await greedy(out, family)).toEqual(
      await greedy(model.path, family, { quantize: format })
    )
    expect(await greedy(out, family)).not.toEqual(await greedy(model.path, family))
    model.drop()
  })

test('what cannot be written is one sentence', async () => {
  const model = tinyModel()
  const out = join(scratch, 'twice')
  await expect(run([model.path])).rejects.toThrow('--out must name')
  await expect(run([scratch, '--out', out])).rejects.toThrow('holds no config.json')
  await expect(run([model.path, '--out', model.path])).rejects.toThrow('is not empty')
  await run([model.path, '--out', out])
  const again = run([out, '--out', join(scratch, 'thrice')])
  await expect(again).rejects.toThrow('is in blocks already')
  expect(readdirSync(join(scratch, 'thrice'))).toEqual([])
  model.drop()
})
