// Grammars through the addon: what a random model answers under one, and how wrong ones are refused.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Engine, EngineRequest, StepOutput } from '../../src/engine.ts'
import { EngineRefusal } from '../../src/engine.ts'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { openEngine } from '../../src/native.ts'
import { DRAW, engineOptions, tinyModel } from './tiny.ts'

const SCHEMA = JSON.stringify({
  type: 'object',
  properties: {
    place: { enum: ['Oslo', 'Rome'] },
    days: { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
    near: { anyOf: [{ type: 'null' }, { $ref: '#' }] },
  },
  required: ['place', 'days', 'near'],
  additionalProperties: false,
  'x-guidance': { whitespace_flexible: false },
})

const request = (
  engine: Engine,
  changes: Partial<EngineRequest['sampling']> = {}
): EngineRequest => ({
  prompt: Uint32Array.of(engine.info.eosTokenIds[0] ?? 0, 40, 41, 42),
  sampling: { ...DRAW, ...changes },
  priority: 0,
  tenant: 0,
})

const answer = async (
  engine: Engine,
  lark: string,
  changes?: Partial<EngineRequest['sampling']>
) => {
  const constraint = await engine.compileConstraint(lark)
  const outputs: StepOutput[] = []
  for await (const output of engine.generate({ ...request(engine, changes), constraint }))
    outputs.push(output)
  const tokens = outputs.flatMap((output) => output.tokens)
  return { tokens, text: engine.decode(tokens.map((t) => t.id)), end: outputs.at(-1)?.finish }
}

for (const family of [seedOss, gptOss])
  describe(family.name, () => {
    const model = tinyModel(family)
    let engine: Engine
    beforeAll(async () => {
      engine = await openEngine(engineOptions(model.path, family))
    })
    afterAll(async () => {
      await engine.close()
      model.drop()
    })

    test('a random model writes what the schema says, whatever the draw', async () => {
      const texts = await Promise.all(
        Array.from({ length: 12 }, async (_, seed) => {
          const { text, end, tokens } = await answer(
            engine,
            `start: "{" "}" | rf\nrf: %json ${SCHEMA.replace('"$ref":"#"', '"type":"boolean"')}`,
            { seed }
          )
          expect(end).toMatchObject({ reason: 'stop', completionTokens: tokens.length })
          return text
        })
      )
      for (const text of texts) {
        const value = JSON.parse(text)
        if (Object.keys(value).length === 0) continue
        expect(['Oslo', 'Rome']).toContain(value.place)
        expect(Object.keys(value)).toEqual(['place', 'days', 'near'])
      }
      expect(new Set(texts).size).toBeGreaterThan(2)
    })

    test('an envelope of control tokens comes as it is written', async () => {
      const [open, close] =
        family === seedOss ? ['<seed:tool_call>', '</seed:tool_call>'] : ['<|start|>', '<|end|>']
      const { text, end } = await answer(engine, `start: ${open} "call" ("a" | "b") ${close}`)
      expect(text).toMatch(
        new RegExp(`^${open}call[ab]${close}$`.replaceAll('|>', '\\|>').replaceAll('<|', '<\\|'))
      )
      expect(end).toMatchObject({ reason: 'stop', stop: null })
    })

    test('log-probabilities come with every token, forced ones too, and change nothing', async () => {
      const lark = 'start: "forced " ("a" | "b") " text"'
      const plain = await answer(engine, lark, { temperature: 0 })
      const scored = await answer(engine, lark, { temperature: 0, logprobs: 2 })
      expect(scored.text).toBe(plain.text)
      for (const token of scored.tokens) {
        expect(token.logprob).toBeLessThan(0)
        expect(token.top).toHaveLength(2)
      }
    })

    test('wrong, impossible and hostile grammars are 400 in one short sentence', async () => {
      const refs = Object.fromEntries(
        Array.from({ length: 2000 }, (_, n) => [`d${n}`, { $ref: `#/$defs/d${n + 1}` }])
      )
      for (const lark of [
        'start: (',
        'start: nothing',
        'start: <|no_such_token|>',
        'start: A\nA: /a/ & /b/',
        'start: %json {"not": {}}',
        'start: %json {"type": "integer", "multipleOf": 999983}',
        `start: %json ${JSON.stringify({ $ref: '#/$defs/d0', $defs: { ...refs, d2000: {} } })}`,
        'start: /(a{1000}){1000}/',
        ' '.repeat(2 << 20),
      ]) {
        const refusal = await engine.compileConstraint(lark).then(
          () => undefined,
          (error: EngineRefusal) => error
        )
        expect(refusal, lark.slice(0, 60)).toBeInstanceOf(EngineRefusal)
        expect(refusal?.status).toBe(400)
        expect(refusal?.message.length).toBeLessThan(1024)
        expect(refusal?.message).not.toContain('\n')
      }
    })
  })

test('a constraint of another model is refused', async () => {
  const models = [seedOss, gptOss].map((family) => tinyModel(family))
  const engines = await Promise.all([
    openEngine(engineOptions(models[0]?.path ?? '', seedOss)),
    openEngine(engineOptions(models[1]?.path ?? '', gptOss)),
  ])
  const constraint = await engines[0].compileConstraint('start: "a"')
  const outputs = engines[1].generate({ ...request(engines[1]), constraint })
  await expect(outputs[Symbol.asyncIterator]().next()).rejects.toMatchObject({ status: 400 })
  await Promise.all(engines.map((engine) => engine.close()))
  for (const model of models) model.drop()
})
