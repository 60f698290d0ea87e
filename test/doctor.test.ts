// `seed-server doctor` as people run it: the machine, what released models need, and what is wrong said as a finding.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { EngineFacts, Machine, Prospect } from '../src/machine.ts'
import { VERSION } from '../src/version.ts'
import { build, finished, killAll, launch, one, ready } from './command.ts'
import { tinyModel } from './native/tiny.ts'

const scratch = mkdtempSync(join(tmpdir(), 'seed-doctor-'))

beforeAll(build, 120_000)
afterEach(killAll)
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Report extends Machine {
  version: string
  node: string
  engine: EngineFacts
  models: { model: string; fits: boolean; prospect: Prospect; error?: string }[]
}

const report = async (...argv: string[]): Promise<{ code: number | null; report: Report }> => {
  const { code, out, err } = await finished(['doctor', '--json', ...argv])
  expect(err).toBe('')
  return { code, report: JSON.parse(out) as Report }
}

test('says what the machine is and what each released model needs', async () => {
  const { code, report: said } = await report('--memory', '32GB')
  expect(code).toBe(0)
  expect(said).toMatchObject({ version: VERSION, node: process.version })
  expect(said.cores).toBeGreaterThan(0)
  expect(said.engine).toMatchObject({ version: VERSION, backends: ['cpu'] })
  expect(said.engine.path).toMatch(/\.node$/)
  expect(said.engine.freeMemory).toBeLessThanOrEqual(said.totalMemory)
  expect(said.models.map(({ model, fits }) => [model, fits])).toEqual([
    ['gpt-oss-20b', true],
    ['gpt-oss-120b', false],
    ['Seed-OSS-36B-Instruct', false],
  ])
  const [small, large] = said.models
  expect(small!.prospect).toMatchObject({ weights: 13_761_264_768, available: 32e9 })
  expect(small!.prospect.least).toBeLessThan(15e9)
  expect(large!.prospect.least).toBeLessThan(70e9)
  expect(large!.prospect.why).toContain('60.8 GiB')
})

test('the same for people, under the name that gpt-oss has for it', async () => {
  const { code, out } = await finished(['check-environment', 'gpt-oss-120b', '--memory', '70GB'])
  expect(code).toBe(0)
  expect(out).toContain(`server    ${VERSION} on Node ${process.version}`)
  expect(out).toMatch(/^engine {4}.*\.node$/m)
  expect(out).toMatch(/^kernels {3}(scalar|avx2|avx512); the CPU has /m)
  expect(out).toMatch(/^gpt-oss-120b: fits; 116\.8 billion weights, needs 61\.\d GiB at least/m)
  expect(out).toMatch(/weights 60\.8 GiB \(56\.7 GiB of it packed experts\)/)
  expect((await finished(['help'])).out).toMatch(/seed-server doctor +say what/)
})

test('config.json alone is enough, and a model that does not fit ends it with 1', async () => {
  const folder = join(scratch, 'release', 'original')
  mkdirSync(folder, { recursive: true })
  const golden = new URL('../crates/engine/tests/golden-original/config.json', import.meta.url)
  copyFileSync(fileURLToPath(golden), join(folder, 'config.json'))
  const { code, report: said } = await report(join(scratch, 'release'), '--max-model-len', '1K')
  expect(code).toBe(0)
  expect(said.models[0]!.prospect.plan).toMatchObject({ weights: 582_912, maxModelLen: 1024 })
  const tight = await report(folder, '--memory', '1MiB')
  expect(tight.code).toBe(1)
  expect(tight.report.models[0]).toMatchObject({ fits: false })
  const missing = await report(join(scratch, 'nowhere'))
  expect(missing.code).toBe(1)
  expect(missing.report.models[0]!.error).toMatch(/nowhere: there is no such folder, .* are known$/)
})

test('serve tells its plan before it loads', async () => {
  const model = tinyModel()
  try {
    const running = launch([model.path, '--port', '0', '--max-model-len', '256'])
    await ready(running)
    const plan =
      /"message":"memory is planned".*"plan":"weights [\d.]+ MiB, .* context of 256 of 1,024 tokens/
    expect(running.err()).toMatch(plan)
  } finally {
    model.drop()
  }
})

test('an engine that cannot be loaded is a finding', async () => {
  const broken = join(scratch, 'broken.node')
  copyFileSync(fileURLToPath(import.meta.url), broken)
  const { code, out, err } = await finished(['doctor'], { SEED_NATIVE: broken })
  // The next one in line is taken: the checkout's own, or the package's.
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatch(/^engine .*(built in this checkout|the prebuilt package): /m)
  expect(out).toMatch(/^ {10}not .*broken\.node: /m)
})

test('mistakes in the command line are one sentence', async () => {
  const { code, err } = await finished(['doctor', '--memroy', '1'])
  expect(code).toBe(2)
  expect(err).toMatch(one('did you mean --memory\\?'))
})
