// `seed-server chat` and `generate` with the flags of gpt-oss's programs, run as people do: the demo, and OpenAI's own layout.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { demoFolders } from '../src/model.ts'
import { build, finished, killAll, one } from './command.ts'
import { originalModel } from './native/original.ts'

const demos = demoFolders()
const demo = demos.find((folder) => folder.endsWith('seed-oss-demo'))!
let original: ReturnType<typeof originalModel>

beforeAll(() => {
  build()
  original = originalModel()
}, 120_000)

afterEach(killAll)
afterAll(() => original.drop())

const generate = (...argv: string[]) => finished(['generate', ...argv])

/** Messages come through a pipe, one a line. */
const chat = (input: string, ...argv: string[]) => finished(['chat', ...argv], {}, input)

const GREETED = 'CoT:\nThe user greets me.\nAssistant:\nHello! How can I help you?\n'

describe('generate', { timeout: 60_000 }, () => {
  test('takes the flags of gpt-oss on its own layout', async () => {
    const flags = ['-r', 'high', '--developer-message', 'Be brief.', '-t', '0', '-c', '512']
    const argv = [original.path, '-p', "['How are you?']", '-l', '8', ...flags, '--logprobs']
    const { code, out, err } = await generate(...argv, '--backend', 'triton')
    expect(code).toBe(0)
    expect(err).toContain('--backend (there is one engine)')
    expect(err).toMatch(/^gpt-oss-tiny: weights .* for a context of 512 of 2,048 tokens/m)
    expect(out).toContain('\n\nReasoning: high\n\n')
    expect(out).toContain('<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>')
    expect(out).toContain(`<|start|>user<|message|>['How are you?']<|end|><|start|>assistant\n`)
    const lines = out.split('\n').filter((line) => line.startsWith('Generated token: "'))
    expect(lines).toHaveLength(8)
    for (const line of lines) expect(line).toMatch(/, logprob: -?[\d.e-]+$/)
  })

  test('--raw goes on from the prompt as it is, and draws where it is told to', async () => {
    const argv = [original.path, '--raw', '--prompt', '<|start|>user', '-l', '6']
    const [first, second] = [await generate(...argv), await generate(...argv, '-t', '0')]
    expect(first).toMatchObject({ code: 0, out: second.out })
    expect(first.out).toMatch(/^<\|start\|>user./)
    const drawn = await Promise.all([1, 2].map(() => generate(...argv, '-t', '1.5')))
    expect(new Set([first.out, ...drawn.map(({ out }) => out)]).size).toBeGreaterThan(1)
  })

  test('an effort bounds the thought of a model that counts tokens', async () => {
    const { code, out } = await generate('--model', demo, '-p', 'Hello', '-r', 'low', '-l', '0')
    expect(code).toBe(0)
    expect(out).toContain('thinking budget, which is 1024.')
    expect(out).toContain('Hello! How can I help you?')
  })

  test.each([
    [['-p', 'a', '--prompts', 'b'], '--prompt and --prompts cannot both be given'],
    [['--raw', '-p', 'a', '-r', 'low'], '--reasoning-effort cannot go with --raw'],
    [['-p'], '-p needs a value: -p TEXT'],
    [['-r', 'huge'], '-r: expected one of low, medium, high'],
    [['-t', '-1'], '-t: expected a number from 0 to 100'],
    [['-q', 'a'], 'unknown flag -q; see --help'],
    [['--p', 'a'], 'unknown flag --p'],
    [['-prompt', 'a'], 'unknown flag -prompt; did you mean --prompt'],
  ])('%j is a mistake', async (argv, sentence) => {
    const end = await generate(...argv)
    expect(end.err).toMatch(one(sentence))
    expect(end).toMatchObject({ code: 2, out: '' })
  })

  test('--help shows letters and words', async () => {
    const { out } = await generate('--help')
    expect(out).toMatch(/^ {2}-p, --prompt TEXT/m)
    expect(out).toMatch(/^ {2}-c, --max-model-len N/m)
  })
})

describe('chat', { timeout: 60_000 }, () => {
  test.each(demos)('%s greets, in one turn as in the next', async (folder) => {
    const flags = ['-t', '0', '-r', 'low', '--developer-message', 'Be kind.']
    const { code, out, err } = await chat('Hello\nHello again\n', folder, ...flags)
    expect({ code, errors: err.match(/^error.*/gm) }).toEqual({ code: 0, errors: null })
    expect(out).toContain('\nReasoning Effort: low\nDeveloper Message: Be kind.\nUser:\nHello\n')
    expect(out.match(/^Assistant:\n\S.*/gm)).toHaveLength(2)
    const { out: once } = await generate(folder, '-p', 'Hello', '-r', 'low')
    const answer = /^Assistant:\n(.+)/m.exec(
      (await chat('Hello\n', folder, '-t', '0', '-r', 'low')).out
    )
    expect(once).toContain(answer![1])
  })

  test('answers line by line, thought and answer under their labels', async () => {
    const { code, out } = await chat('Hello\n\nHi\n', demo, '-t', '0')
    expect(code).toBe(0)
    expect(out).toMatch(/^Model: seed-oss-demo \(seed-oss\)\nContext: 2,048 tokens\nUser:\nHello\n/)
    expect(out.split(GREETED)).toHaveLength(3)
  })

  test('what was said before counts, and an error is told and forgotten', async () => {
    const { code, out, err } = await chat(
      `Hello\n${'word '.repeat(200)}\nHello\n`,
      demo,
      '-t',
      '0',
      '-c',
      '96'
    )
    expect(code).toBe(1)
    expect(err).toMatch(/^error: .*context length is 96 tokens.*$/m)
    expect(out.split(GREETED)).toHaveLength(3)
    const alone = await chat('Hello\n', demo, '-t', '0', '-c', '40')
    expect(alone).toMatchObject({ code: 0 })
    const grown = await chat('Hello\nHello\nHello\n', demo, '-t', '0', '-c', '40')
    expect(grown.code).toBe(1)
  })

  test('--raw prints what the model reads and writes, once', async () => {
    const { out } = await chat(
      'Hello\nHello\n',
      demo,
      '--raw',
      '-t',
      '0',
      '--developer-message',
      'Be kind.'
    )
    const turn =
      '<seed:bos>user\nHello<seed:eos><seed:bos>assistant\n' +
      '<seed:think>The user greets me.</seed:think>\nHello! How can I help you?<seed:eos>\n'
    expect(out).toBe(`<seed:bos>system\nBe kind.<seed:eos>${turn}${turn}`)
  })

  test('on OpenAI’s own layout, with an effort and a first message', async () => {
    const flags = ['-r', 'low', '-t', '0', '-l', '12', '--raw', '--prompt', 'How are you?']
    const { code, out } = await chat('', original.path, ...flags)
    expect(code).toBe(0)
    expect(out).toContain('\n\nReasoning: low\n\n')
    expect(out).toContain(
      '<|start|>user<|message|>How are you?<|end|><|start|>assistant<|channel|>'
    )
  })

  test.each([
    [['-a'], 1, '--apply-patch: chat runs no tools'],
    [['--browser'], 1, '--browser: chat runs no tools'],
    [['-r', 'none'], 2, '-r: expected one of low, medium, high'],
    [['nowhere/at-all'], 1, 'nowhere/at-all: there is no such folder'],
  ])('%j is refused', async (argv, code, sentence) => {
    const end = await chat('', ...argv)
    expect(end.err).toMatch(one(sentence))
    expect(end).toMatchObject({ code, out: '' })
  })
})
