// Properties of the Seed-OSS parser: any splitting reads the same, a slow oracle agrees, time is linear.
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { ParserStart, Tool } from '../src/conversation.ts'
import type { ParsedEvent } from '../src/events.ts'
import { createParser } from '../src/families/seed-oss/parser.ts'
import { folded, oracle, type Reading } from './oracle.ts'

const tool = (name: string, properties: object): Tool => ({
  name,
  source: '{}',
  parameters: { type: 'object', properties: properties as never },
})

const TOOLS = [
  tool('get_weather', { location: { type: 'string' }, days: { type: 'integer' } }),
  tool('every_type', {
    s: { type: 'string' },
    i: { type: 'integer' },
    n: { type: 'number' },
    b: { type: 'boolean' },
    o: { type: 'object', properties: { deep: { type: 'integer' } } },
    a: { type: 'array', items: { type: 'number' } },
    u: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    e: { enum: [1, 'two'] },
  }),
]

/** A seeded generator, so that a failure can be run again (mulberry32). */
class Dice {
  private seed: number

  constructor(seed: number) {
    this.seed = seed
  }

  next(): number {
    this.seed = (this.seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.seed ^ (this.seed >>> 15), 1 | this.seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  below(n: number): number {
    return Math.floor(this.next() * n)
  }

  chance(p: number): boolean {
    return this.next() < p
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  times(max: number, make: () => string): string {
    return Array.from({ length: this.below(max + 1) }, make).join('')
  }
}

const WORDS = [
  'Hello',
  ' ',
  '\n',
  '\n\n',
  'Grüße',
  '天气',
  '🌦️',
  '👩‍👩‍👧',
  ' a < b ',
  '&lt;',
  '"q"',
  '\\n',
  '\u3000',
  '\ud83d',
]
const VALUES = [
  'Paris',
  '3',
  '-1.0',
  '12345678901234567890',
  '1e400',
  'true',
  'False',
  'None',
  'null',
  '',
  '\n',
  '\nx\n',
  '\n\n',
  "{'a': True, 'b': None}",
  '{"deep": "7", "x": [1.0, 2]}',
  "['a', 1, (2,)]",
  '[1, "2", oops',
  '🌦️ "é"',
  'if (a </function> b)',
  '</function>\n',
  '<parameter=x>',
  '<function=get_weather>',
  '<seed:think>',
  'a\n</param',
]
const MARKERS = [
  '<seed:think>',
  '</seed:think>',
  '<seed:tool_call>',
  '</seed:tool_call>',
  '<function=get_weather>',
  '<function=nobody>',
  '<function=',
  '</function>',
  '<parameter=location>',
  '<parameter=',
  '</parameter>',
  '>',
  '<seed:eos>',
  '<seed:cot_budget_reflect>',
  '</seed:cot_budget_reflect>',
  '<',
  '</',
  '<seed:',
  '<seed:tool_',
]

const words = (dice: Dice): string => dice.times(4, () => dice.of(WORDS))

const parameter = (dice: Dice): string => {
  const key = dice.of(['s', 'i', 'n', 'b', 'o', 'a', 'u', 'e', 'location', 'days', 'other'])
  const frame = dice.chance(0.3) ? '\n' : ''
  const end = dice.chance(0.9) ? '</parameter>' : ''
  return `<parameter=${key}>${frame}${dice.of(VALUES)}${frame}${end}${dice.of(['\n', '', ' '])}`
}

const block = (dice: Dice): string => {
  const fn = (): string =>
    `<function=${dice.of(['get_weather', 'every_type', 'nobody'])}>\n${dice.times(4, () => parameter(dice))}` +
    (dice.chance(0.9) ? '</function>\n' : '')
  const bare = dice.chance(0.1)
  const functions = fn() + (dice.chance(0.2) ? fn() : '')
  return bare
    ? functions
    : `<seed:tool_call>\n${functions}${dice.chance(0.9) ? '</seed:tool_call>' : ''}\n`
}

const realistic = (dice: Dice): string => {
  const reflection = '<seed:cot_budget_reflect>I have used 129 tokens.</seed:cot_budget_reflect>'
  const mention = (): string =>
    dice.of([block(dice), 'I could use <seed:tool_call> here', reflection])
  const thought = `<seed:think>\n${words(dice)}${dice.times(2, mention)}${words(dice)}\n</seed:think>`
  return (
    (dice.chance(0.7) ? thought : '') +
    words(dice) +
    dice.times(3, () => block(dice)) +
    (dice.chance(0.3) ? words(dice) : '') +
    (dice.chance(0.5) ? '<seed:eos>' : '')
  )
}

const adversarial = (dice: Dice): string =>
  dice.times(14, () =>
    dice.of([dice.of(MARKERS), dice.of(MARKERS), dice.of(VALUES), dice.of(WORDS)])
  )

/** Realistic, cut anywhere, or noise. */
const output = (dice: Dice): string => {
  const text = dice.chance(0.6) ? realistic(dice) : adversarial(dice)
  return dice.chance(0.3) ? text.slice(0, dice.below(text.length + 1)) : text
}

interface Case {
  text: string
  start: ParserStart
  tools: Tool[]
  finish: 'stop' | 'length'
}

const caseOf = (seed: number): Case => {
  const dice = new Dice(seed)
  return {
    text: output(dice),
    start: dice.of(['auto', 'auto', 'reasoning', 'content']),
    tools: dice.chance(0.9) ? TOOLS : [],
    finish: dice.chance(0.7) ? 'stop' : 'length',
  }
}

const feed = ({ start, tools, finish }: Case, pieces: Iterable<string>): ParsedEvent[] => {
  const parser = createParser({ start, tools, toolChoice: 'auto' })
  const events: ParsedEvent[] = []
  for (const piece of pieces) events.push(...parser.push(piece))
  return [...events, ...parser.finish(finish)]
}

const read = (question: Case, pieces: Iterable<string>): Reading => folded(feed(question, pieces))

function* split(text: string, dice: Dice): Generator<string, undefined> {
  const most = dice.of([1, 2, 5, 20])
  for (let at = 0; at < text.length;) {
    const size = most === 1 ? 1 : dice.below(most + 1)
    yield text.slice(at, at + size)
    at += size
  }
  return undefined
}

/** PARSER_CASES=100000 looks further. */
const CASES = Number(process.env.PARSER_CASES ?? 1500)
const SEEDS = Array.from({ length: CASES }, (_, i) => i + 1)

/** Events without the places where pieces were cut: equal neighbours joined. */
const joined = (events: ParsedEvent[]): ParsedEvent[] => {
  const all: ParsedEvent[] = []
  for (const event of events) {
    const last = all.at(-1)
    const same = last?.type === event.type && 'text' in last && 'text' in event
    if (
      same &&
      (last.type !== 'tool-args' || event.type !== 'tool-args' || last.index === event.index)
    )
      last.text += event.text
    else all.push({ ...event })
  }
  return all
}

/** Compares cheaply and shows the difference and the seed. */
const same = (seed: number, actual: unknown, expected: unknown): void => {
  if (!isDeepStrictEqual(actual, expected))
    expect(actual, `seed ${seed}: ${JSON.stringify(caseOf(seed))}`).toEqual(expected)
}

describe('any splitting reads the same', () => {
  test('in single characters and in random pieces', () => {
    for (const seed of SEEDS) {
      const question = caseOf(seed)
      const whole = joined(feed(question, [question.text]))
      same(seed, joined(feed(question, question.text.split(''))), whole)
      const dice = new Dice(seed ^ 0x5bd1e995)
      same(seed, joined(feed(question, split(question.text, dice))), whole)
    }
  })

  test('as the slow oracle reads it', () => {
    for (const seed of SEEDS) {
      const question = caseOf(seed)
      same(seed, read(question, [question.text]), oracle(question.text, question))
    }
  })
})

/** The order of a call's events and what is wrong with it. */
const complaint = (events: ParsedEvent[]): string | null => {
  let open = -1
  let calls = 0
  for (const event of events) {
    if (event.type === 'tool-start') {
      if (event.index !== calls || open >= 0 || event.name === '') return 'a start out of order'
      open = calls
      calls += 1
    } else if (event.type === 'tool-args') {
      if (event.index !== open || event.text === '') return 'arguments out of order'
    } else if (event.type === 'tool-end') {
      if (event.index !== open) return 'an end out of order'
      open = -1
    } else if (event.text === '' || open >= 0) return 'text that is empty or inside a call'
  }
  return open < 0 ? null : 'a call without an end'
}

describe('what the wire relies on', () => {
  test('names come once, indices are dense, complete arguments are one JSON document', () => {
    for (const seed of SEEDS) {
      const question = { ...caseOf(seed), finish: 'stop' as const }
      const events = feed(question, split(question.text, new Dice(seed)))
      same(seed, complaint(events), null)
      for (const call of folded(events).calls) same(seed, typeof JSON.parse(call.args), 'object')
    }
  })

  test('without tools every character of the text is shown, tags of the thought and its edges aside', () => {
    for (const seed of SEEDS) {
      const question = { ...caseOf(seed), tools: [] }
      const { reasoning, content } = read(question, [question.text])
      const ink = (text: string): string => text.replace(/<\/?seed:think>|\s/g, '')
      const shown = question.text.replace(/(?:<seed:eos>)+$/, '')
      same(seed, ink(reasoning + content), ink(shown))
    }
  })
})

const MEGABYTE = 1_000_000
const fill = (text: string): string => text.repeat(Math.ceil(MEGABYTE / text.length))
const ADVERSARIAL: { [name: string]: string } = {
  'open brackets': fill('<'),
  'blocks that never begin': fill('<seed:tool_call>'),
  'blocks in a thought': `<seed:think>${fill('<seed:tool_call>')}`,
  'calls held in a thought': `<seed:think>${fill('<seed:tool_call><function=f></function></seed:tool_call>\n')}`,
  'a block that never ends in a thought': `<seed:think><seed:tool_call><function=f>${fill('</seed:')}`,
  'parameters in parameters': `<seed:tool_call><function=f>${fill('<parameter=')}`,
  'a value that never ends': `<seed:tool_call><function=f><parameter=s>${fill('</parameter')}`,
  'function ends in a value': `<seed:tool_call><function=f><parameter=s>${fill('</function>\n')}`,
  'a deep list': `<seed:tool_call><function=every_type><parameter=a>${fill('[')}`,
  'a name that never ends': `<seed:tool_call><function=${fill('x')}`,
  'white space': fill(' \n'),
  'end tokens': `${fill('<seed:eos>')}x`,
}

describe('1 MB in 1-byte pieces', () => {
  test.each(Object.entries(ADVERSARIAL))('%s: under a second of work', (_, text) => {
    const parser = createParser({ start: 'auto', tools: TOOLS, toolChoice: 'auto' })
    // Processor time: on a busy machine the clock measures the neighbours.
    const before = process.cpuUsage()
    for (const piece of text) parser.push(piece)
    parser.finish('stop')
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(1000)
  })
})
