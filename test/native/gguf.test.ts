// GGUF files over HTTP: both families answer from their own template, tokenizer and weights.
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readModelFolder } from '../../src/model.ts'
import { openEngine } from '../../src/native.ts'
import { engineOptions, serveFolder } from './tiny.ts'

const file = (name: string): string =>
  fileURLToPath(new URL(`../../crates/engine/tests/golden-gguf/${name}`, import.meta.url))

test.each(['seed_oss-00001-of-00003.gguf', 'gpt-oss.gguf'])('%s answers in chat', async (name) => {
  const { family } = readModelFolder(file(name))
  const server = await serveFolder(file(name), "{{ messages[0]['content'] }}", {}, family)
  try {
    const ask = () =>
      server.client.chat.completions.create({
        model: 'tiny',
        messages: [{ role: 'user', content: 'the question' }],
        max_tokens: 20,
        temperature: 0,
      })
    const [first, second] = [await ask(), await ask()]
    expect(first.usage?.completion_tokens).toBeGreaterThan(0)
    expect(second.choices).toEqual(first.choices)
    // "the" is one token by the file's merges; letter by letter it would be three.
    expect(await server.engine.encodeText('the')).toHaveLength(1)
  } finally {
    await server.close()
  }
})

test('a part that is missing is one sentence', async () => {
  const { family } = readModelFolder(file('gpt-oss.gguf'))
  await expect(openEngine(engineOptions(file('nowhere.gguf'), family))).rejects.toThrow(
    /nowhere\.gguf: cannot be opened/
  )
})
