// Where the engine is told how much memory there is, it plans with that: alone, and parted among several models.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ARCHITECTURES } from '../../src/families/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { freeMemory, prospectOf } from '../../src/machine.ts'
import { shareMemory } from '../../src/native.ts'
import { engineOptions, tinyModel } from './tiny.ts'

const { family } = ARCHITECTURES.GptOssForCausalLM!
let models: ReturnType<typeof tinyModel>[]
beforeAll(() => {
  models = [tinyModel(), tinyModel(family)]
})
afterAll(() => models.forEach(({ drop }) => drop()))

const optionsOf = (memory: number) =>
  [seedOss, family].map((one, n) => ({ ...engineOptions(models[n]!.path, one), memory }))

test('a model plans with what there is said to be', () => {
  const [, one] = optionsOf(40e6)
  const { plan, available, least } = prospectOf(one!)
  expect(available).toBe(40e6)
  expect(least).toBeLessThan(40e6)
  expect(plan!.weights + plan!.kvCache + plan!.workspace).toBeLessThanOrEqual(40e6)
  expect(prospectOf({ ...one!, memory: 1e5 })).toMatchObject({
    plan: null,
    why: expect.stringContaining('the weights need'),
  })
})

test('several part it, and hear of it where it is too little', () => {
  const shares = shareMemory(optionsOf(60e6))
  expect(shares).toHaveLength(2)
  expect(shares[0]! + shares[1]!).toBeLessThanOrEqual(60e6)
  expect(() => shareMemory(optionsOf(1e6))).toThrow(/the weights of all 2 models need/)
})

test('outside Linux it is Node that says what is free', () => {
  expect(freeMemory('linux')).toBeUndefined()
  expect(freeMemory('darwin')).toBeGreaterThan(2 ** 20)
  expect(freeMemory('win32')).toBeGreaterThan(2 ** 20)
})
