// `--kv-cache-dtype`: what the cache is made of, in memory and in what is said.
import { expect, test } from 'vitest'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { prospectOf } from '../../src/machine.ts'
import { openEngine } from '../../src/native.ts'
import { engineOptions, greedy, tinyModel } from './tiny.ts'

const KINDS = ['float32', 'bfloat16', 'q8_0'] as const

test('eight bits take half of the memory of bfloat16 and say nearly the same', async () => {
  const model = tinyModel()
  const [wide, half, eight] = KINDS.map(
    (kvCacheDtype) =>
      prospectOf({ ...engineOptions(model.path, seedOss), kvCacheDtype }).wholeContext
  )
  expect(wide).toBe(2 * half!)
  // A block of 32 has a scale of two bytes.
  expect(eight).toBe((half! * 34) / 64)

  const float32 = { kvCacheDtype: 'float32', roundsActivations: false } as const
  const exact = await greedy(model.path, seedOss, float32)
  for (const kvCacheDtype of KINDS) {
    for (const roundsActivations of [false, true]) {
      // oxlint-disable-next-line no-await-in-loop
      const said = await greedy(model.path, seedOss, { kvCacheDtype, roundsActivations })
      expect(said).toHaveLength(exact.length)
      const [token, logprob] = said[0]!
      expect(token).toBe(exact[0]![0])
      expect(Math.abs(logprob! - exact[0]![1]!)).toBeLessThan(0.05)
      // Each is a thing of its own.
      if (kvCacheDtype !== 'float32') expect(said).not.toEqual(exact)
    }
  }
  // Weights of bfloat16 have a cache as precise.
  const half16 = await greedy(model.path, seedOss, { kvCacheDtype: 'bfloat16' })
  expect(await greedy(model.path, seedOss)).toEqual(half16)
  expect(await greedy(model.path, seedOss, { kvCacheDtype: 'q8_0' })).not.toEqual(half16)
  model.drop()
})

test('heads that are no whole blocks are refused, in a plan too', async () => {
  const model = tinyModel(gptOss)
  const options = { ...engineOptions(model.path, gptOss), kvCacheDtype: 'q8_0' as const }
  const sentence = /has heads of \d+ elements, which a KV cache of blocks of 32 cannot hold/
  expect(() => prospectOf(options)).toThrow(sentence)
  await expect(openEngine(options, () => {})).rejects.toThrow(sentence)
  model.drop()
})
