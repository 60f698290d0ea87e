// The bundled o200k_harmony vocabulary by token id, against what openai-harmony says of outputs; `parse` reads ids with it.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { answerTo } from '../../src/cli/parse.ts'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { harmonyToken } from '../../src/vocabulary.ts'

/** Ids of outputs, with the bytes of each: hexadecimal, or a control token's name. */
const golden = gunzipSync(
  readFileSync(new URL('../fixtures/harmony/parse.jsonl.gz', import.meta.url))
)
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as { tokens: number[]; bytes: string[] })

const parsed = (line: object, family = gptOss) =>
  answerTo(JSON.stringify(line), family) as { message?: object; error?: string }

test('each token has the bytes that the library gives it', () => {
  for (const { tokens, bytes } of golden)
    for (const [at, id] of tokens.entries()) {
      const token = harmonyToken(id)!
      const written = bytes[at]!
      expect(token.control).toBe(written.startsWith('<|'))
      const expected = token.control ? Buffer.from(written) : Buffer.from(written, 'hex')
      expect(Buffer.from(token.bytes)).toEqual(expected)
    }
  expect(harmonyToken(200_018)).toMatchObject({ control: true })
  expect(harmonyToken(200_019)).toBeUndefined()
})

test('parse reads ids as it reads the text they spell', () => {
  let compared = 0
  for (const { tokens, bytes } of golden) {
    const shown = tokens.map((id) => Buffer.from(harmonyToken(id)!.bytes))
    const text = Buffer.concat(shown).toString('utf8')
    // Text that spells a control token, reserved places and broken characters have no spelling of their own.
    const plain = bytes.every((one) => one.startsWith('<|') || !/7c|3c/.test(one))
    if (!plain || text.includes('\ufffd') || text.includes('<|reserved')) continue
    compared += 1
    expect(parsed({ tokens }).message).toEqual(parsed({ text }).message)
  }
  expect(compared).toBeGreaterThan(20)
})

test('characters that span tokens are whole, and text that spells a control token is text', () => {
  const head = [200_005, 17_196, 200_008]
  const said = (tokens: number[]) => parsed({ tokens: [...head, ...tokens] }).message
  // A character in two tokens; then "<|end|>" as the library encodes text.
  expect(said([82_867, 95, 8134, 200_002])).toMatchObject({ content: ' 漢字' })
  expect(said([27, 91, 419, 91, 29, 200_002])).toMatchObject({ content: '<|end|>' })
  expect(said([12_194, 200_013, 1354])).toMatchObject({ content: 'Hi there' })
})

test.each([
  [{ tokens: [200_005, 300_000] }, '"tokens[1]" is 300000, which o200k_harmony does not have'],
  [{ tokens: [-1] }, '"tokens[0]" is -1'],
  [{ tokens: ['a'] }, '"tokens" must be a list of token ids'],
  [{ tokens: 7 }, '"tokens" must be a list of token ids'],
  [{}, '"text" must be a string'],
])('%j is refused with a sentence', (line, sentence) => {
  expect(parsed(line)).toEqual({ error: expect.stringContaining(sentence) })
  expect(parsed({ tokens: [1] }, seedOss).error).toContain('read as text')
})
