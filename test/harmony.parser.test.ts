// gpt-oss output against the openai-harmony library's reading of it, and the malformed output that models really write.
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { answerTo } from '../src/cli/parse.ts'
import type { Tool } from '../src/conversation.ts'
import type { Engine, StepOutput } from '../src/engine.ts'
import type { GenerationEvent, OutputParser, ParsedEvent } from '../src/events.ts'
import { gptOss } from '../src/families/gpt-oss/index.ts'
import { createParser, type ParserOptions } from '../src/families/gpt-oss/parser.ts'
import { CONTROL_TOKENS } from '../src/families/gpt-oss/tokens.ts'
import { run } from '../src/run.ts'

const declared = (...names: string[]): Tool[] =>
  names.map((name) => ({ name, source: JSON.stringify({ type: 'function', function: { name } }) }))
const OPTIONS: ParserOptions = { start: 'auto', tools: declared('f'), toolChoice: 'auto' }

interface Said {
  reasoning?: string
  text?: string
  calls?: { name: string; args: string; ended: boolean }[]
}

/** The fold of the events, checked to be well formed on the way. */
const fold = (events: readonly (ParsedEvent | GenerationEvent)[]): Said => {
  const said: Said = {}
  for (const event of events) {
    const calls = (said.calls ??= [])
    if (event.type === 'reasoning' || event.type === 'text')
      said[event.type] = (said[event.type] ?? '') + event.text
    else if (event.type === 'tool-start') {
      expect(event.index).toBe(calls.length)
      calls.push({ name: event.name, args: '', ended: false })
    } else if (event.type !== 'finish') {
      expect(event.index).toBe(calls.length - 1)
      if (event.type === 'tool-args') calls[event.index]!.args += event.text
      else calls[event.index]!.ended = true
    }
  }
  if (said.calls?.length === 0) delete said.calls
  return said
}

/** A written output as its pieces: here, and only here, control tokens are told by their spelling. */
const piecesOf = (output: string): { text: string; control: boolean }[] =>
  output
    .split(/(<\|(?:startoftext|endoftext|return|constrain|channel|start|end|message|call)\|>)/)
    .filter((text) => text !== '')
    .map((text) => ({ text, control: CONTROL_TOKENS.includes(text) }))

const feed = (parser: OutputParser, text: string, control: boolean): ParsedEvent[] =>
  control ? parser.pushControl!(text) : parser.push(text)

const read = (
  output: string,
  options: Partial<ParserOptions> = {},
  end: 'stop' | 'length' = 'stop'
): Said => {
  const whole = createParser({ ...OPTIONS, ...options })
  const events = piecesOf(output).flatMap(({ text, control }) => feed(whole, text, control))
  const said = fold([...events, ...whole.finish(end)])
  const single = createParser({ ...OPTIONS, ...options })
  const slow = piecesOf(output).flatMap(({ text, control }) =>
    control ? single.pushControl!(text) : [...text].flatMap((one) => single.push(one))
  )
  expect(fold([...slow, ...single.finish(end)])).toEqual(said)
  return said
}

const THOUGHT = '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant'
const call = (args = '{}', name = 'f'): Said => ({ calls: [{ name, args, ended: true }] })

describe('well-formed output', () => {
  it.each<[string, Said]>([
    ['<|channel|>final<|message|>Hi<|return|>', { text: 'Hi' }],
    [`${THOUGHT}<|channel|>final<|message|>Hi<|return|>`, { reasoning: 'Hm.', text: 'Hi' }],
    [`${THOUGHT}${THOUGHT}<|channel|>final<|message|>Hi`, { reasoning: 'Hm.\nHm.', text: 'Hi' }],
    [
      `${THOUGHT}<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a":1}<|call|>`,
      { reasoning: 'Hm.', text: 'Let me see.', ...call('{"a":1}') },
    ],
    [' to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>', call()],
    ['<|channel|>commentary to=functions.f code<|message|>print(1)<|call|>', call('print(1)')],
    ['<|channel|>analysis to=browser.search code<|message|>{}', call('{}', 'browser.search')],
    ['<|channel|>analysis to=python code<|message|>x', call('x', 'python')],
    [
      '<|channel|>commentary to=functions.f<|message|>1<|call|><|start|>assistant<|channel|>commentary to=functions.g<|message|>2<|call|>',
      { calls: [...call('1').calls!, ...call('2', 'g').calls!] },
    ],
  ])('%s', (output, said) => expect(read(output)).toEqual(said))

  it.each<[ParserOptions['start'], Said]>([
    ['content', { text: ' more' }],
    ['reasoning', { reasoning: ' more' }],
  ])('goes on in %s', (start, said) => {
    expect(read(' more', { start })).toEqual(said)
  })

  it('a call that the limit cut stays open (LM Studio 942)', () => {
    const output = '<|channel|>commentary to=functions.f<|message|>{"a": '
    expect(read(output, {}, 'length')).toEqual({
      calls: [{ name: 'f', args: '{"a": ', ended: false }],
    })
  })
})

describe('malformed headers', () => {
  it.each<[string, string, Said]>([
    [
      'V 45736: never closed',
      '<|channel|>final The answer is 4<|return|>',
      { text: 'The answer is 4' },
    ],
    ['never closed, a thought', '<|channel|>analysis The answer<|return|>', { text: 'The answer' }],
    [
      'never closed, with an answer after it',
      '<|channel|>analysis I think<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>',
      { reasoning: 'I think', text: '4' },
    ],
    [
      'never closed, no channel (H 80: a refusal)',
      "I'm sorry, I can't.",
      { text: "I'm sorry, I can't." },
    ],
    ['H 80: no channel', '<|message|>No.<|return|>', { text: 'No.' }],
    [
      'never closed, a call',
      '<|channel|>commentary to=functions.f <|constrain|>json{"a":1}',
      call('{"a":1}'),
    ],
    ['a call of nothing', '<|channel|>commentary to=functions.f<|call|>', call('')],
    [
      'content straight after a thought',
      `${THOUGHT.replace('<|start|>assistant', '')}{"a":1}`,
      { reasoning: 'Hm.', text: '{"a":1}' },
    ],
    [
      'no start',
      `${THOUGHT.replace('<|start|>', '')}<|channel|>final<|message|>x`,
      { reasoning: 'Hm.', text: 'x' },
    ],
    [
      'no end',
      '<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>x',
      { reasoning: 'Hm.', text: 'x' },
    ],
    [
      'no end but a start',
      '<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>x',
      { reasoning: 'Hm.', text: 'x' },
    ],
    ['H 38: ??', '<|channel|>final??<|message|>x', { text: 'x' }],
    ['H 38: commentary?', '<|channel|>commentary? to=functions.f<|message|>{}', call()],
    [
      'H 38: free text',
      '<|channel|>final and some words <|message|>x',
      { text: 'and some words x' },
    ],
    [
      'llama.cpp 27720: two channels',
      '<|channel|>analysis<|channel|>final<|message|>x',
      { text: 'x' },
    ],
    ['two starts', '<|start|><|start|>assistant<|channel|>final<|message|>x', { text: 'x' }],
    ['a role of its own', 'assistant<|channel|>final<|message|>x', { text: 'x' }],
    ['a role twice', '<|start|>assistantassistant<|channel|>final<|message|>x', { text: 'x' }],
    ['an empty channel', '<|channel|><|message|>x', { text: 'x' }],
    ['an unknown channel', '<|channel|>reply<|message|>x', { text: 'x' }],
    ['a channel begun', '<|channel|>anal<|message|>x', { reasoning: 'x' }],
    ['a channel in capitals', '<|channel|>Final<|message|>x', { text: 'x' }],
    ['a glued recipient', '<|channel|>commentaryto=functions.f<|message|>{}', call()],
    ['recipients user', '<|channel|>final to=user<|message|>x', { text: 'x' }],
    ['recipients all', ' to=all<|channel|>commentary<|message|>x', { text: 'x' }],
    ['to=assistant', ' to=assistant<|channel|>commentary<|message|>x', { text: 'x' }],
    [
      'to=assistant before analysis',
      '<|channel|>commentary to=assistant<|channel|>analysis<|message|>x',
      { reasoning: 'x' },
    ],
    [
      'a recipient twice',
      ' to=functions.f<|channel|>commentary to=functions.f<|message|>{}',
      call(),
    ],
    [
      'a bare recipient',
      '<|channel|>commentary functions.f <|constrain|>json<|message|>{}',
      call(),
    ],
    ['a bare word is a type', '<|channel|>final json<|message|>{}', { text: '{}' }],
    ['constrain on final', '<|channel|>final <|constrain|>json<|message|>{}', { text: '{}' }],
    [
      'constrain, a space',
      '<|channel|>commentary to=functions.f<|constrain|> json<|message|>{}',
      call(),
    ],
    [
      'constrain, nothing',
      '<|channel|>commentary to=functions.f <|constrain|><|message|>{}',
      call(),
    ],
    [
      'constrain before the recipient',
      '<|channel|>commentary <|constrain|>json to=functions.f<|message|>{}',
      call(),
    ],
    [
      'a type before the recipient',
      '<|channel|>commentary json to=functions.f<|message|>{}',
      call(),
    ],
    [
      'Ollama 12132: a channel glued to a name',
      ' to=functions.create_event<|channel|>analysis<|message|>{}',
      call('{}', 'create_event'),
    ],
    ['no namespace', '<|channel|>commentary to=f<|message|>{}', call()],
    [
      'a tool result of its own making',
      `<|start|>functions.f to=assistant<|channel|>commentary<|message|>42<|end|>`,
      { text: '42' },
    ],
  ])('%s', (_, output, said) => expect(read(output)).toEqual(said))
})

describe('what comes after the end or inside', () => {
  it.each<[string, string, Said]>([
    ['two ends', '<|channel|>final<|message|>x<|return|><|return|>', { text: 'x' }],
    ['stray text', '<|channel|>final<|message|>x<|return|>stray<|message|>more', { text: 'x' }],
    ['endoftext', '<|channel|>final<|message|>x<|endoftext|>stray', { text: 'x' }],
    [
      'another message',
      '<|channel|>final<|message|>x<|return|><|start|>assistant<|channel|>final<|message|>y',
      { text: 'x\ny' },
    ],
    [
      'markers inside',
      '<|channel|>final<|message|>a<|message|>b<|constrain|>c<|startoftext|>',
      { text: 'abc' },
    ],
    ['nothing', '', {}],
    ['only an end', '<|return|>', {}],
    ['a header cut', '<|channel|>analysis', {}],
  ])('%s', (_, output, said) => expect(read(output)).toEqual(said))

  it('a header that never ends is shown before the end comes', () => {
    const parser = createParser(OPTIONS)
    const text = 'word 😀 '.repeat(100)
    expect(fold(parser.push(text)).text).toBe(text)
  })

  it('a name ends where a control token is spelled', () => {
    const parser = createParser(OPTIONS)
    const header = parser.push(' to=functions.create_event<|channel|>analysis')
    const events = [...header, ...parser.pushControl!('<|message|>'), ...parser.finish('stop')]
    expect(fold(events)).toEqual(call('', 'create_event'))
  })

  it('text that spells control tokens stays text', () => {
    const hostile = CONTROL_TOKENS.join('x')
    const parser = createParser(OPTIONS)
    const events = [
      ...parser.pushControl!('<|channel|>'),
      ...parser.push('final'),
      ...parser.pushControl!('<|message|>'),
      ...parser.push(hostile),
    ]
    expect(fold([...events, ...parser.finish('stop')])).toEqual({ text: hostile })
  })
})

describe('calls', () => {
  const output = '<|channel|>commentary to=functions.g<|message|>{"a":1}<|call|>'

  it('of tools that were not declared are calls: the client decides', () =>
    expect(read(output)).toEqual(call('{"a":1}', 'g')))

  it.each<[string, Partial<ParserOptions>]>([
    ['there are no tools', { tools: [] }],
    ['none may be called', { toolChoice: 'none' }],
  ])('are text where %s', (_, options) =>
    expect(read(output, options)).toEqual({ text: '{"a":1}' })
  )

  it.each(['analysis', 'commentary', 'final'])('may come on %s', (channel) => {
    expect(read(`<|channel|>${channel} to=functions.f<|message|>{}`)).toEqual(call())
    expect(read(` to=functions.f<|channel|>${channel}<|message|>{}`)).toEqual(call())
  })

  it('keep a declared name that has the namespace in it', () => {
    const tools = declared('functions.x')
    const written = '<|channel|>commentary to=functions.x<|message|>{}'
    expect(read(written, { tools })).toEqual(call('{}', 'functions.x'))
  })
})

/** As few of its methods as a run needs: it plays the steps it is given. */
const playing = (steps: StepOutput[]): Engine =>
  ({
    info: { maxModelLen: 131_072 },
    async *generate() {
      yield* steps
    },
  }) as unknown as Engine

interface Golden {
  tokens: number[]
  bytes: string[]
  messages?: {
    role: string
    channel?: string
    recipient?: string
    content: { text: string }[] | string
  }[]
  error?: string
  /** What we read where the library fails or is wrong. */
  ours?: Said
}

const golden = gunzipSync(readFileSync(new URL('fixtures/harmony/parse.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Golden)

/** Runs tokens through run.ts, so many a step, as the engine brings them: the final stop token shows nothing. */
const ran = async ({ tokens, bytes }: Golden, step: number): Promise<GenerationEvent[]> => {
  const names = new Map(
    tokens.flatMap((id, i) => (bytes[i]!.startsWith('<|') ? [[id, bytes[i]!] as const] : []))
  )
  const all = tokens.map((id, i) => {
    const name = names.get(id)
    const raw = Buffer.from(bytes[i]!, name === undefined ? 'hex' : 'utf8')
    const ends = i === tokens.length - 1 && gptOss.stopTokens.includes(name ?? '')
    return { id, bytes: raw, visible: ends ? 0 : raw.length }
  })
  const steps: StepOutput[] = []
  for (let i = 0; i < all.length; i += step) steps.push({ tokens: all.slice(i, i + step) })
  const end = { reason: 'stop' as const, stop: null, reasoningTokens: 0, completionTokens: 0 }
  steps.push({ tokens: [], finish: end })
  const request = {
    engine: playing(steps),
    sequences: [{ prompt: new Uint32Array(1), sampling: {} as never }],
    parser: () => createParser(OPTIONS),
    controlName: (id: number) => names.get(id),
    priority: 0,
    tenant: 0,
  }
  const events: GenerationEvent[] = []
  for await (const batch of run(request, new AbortController().signal))
    events.push(...batch.map(({ event }) => event))
  return events
}

/** The library's messages as our rules map them. */
const expected = (messages: NonNullable<Golden['messages']>): Said => {
  const said: Said = {}
  for (const { channel, recipient, content } of messages) {
    const text = typeof content === 'string' ? content : content.map((part) => part.text).join('')
    if (recipient) {
      const name = recipient.replace('functions.', '')
      said.calls = [...(said.calls ?? []), { name, args: text, ended: true }]
    } else {
      const kind = channel === 'analysis' ? 'reasoning' : 'text'
      if (text !== '') said[kind] = said[kind] === undefined ? text : `${said[kind]}\n${text}`
    }
  }
  return said
}

describe('against openai-harmony', () => {
  it.each(golden.map((one, n) => ({ n, one })))('output $n', async ({ one }) => {
    const said = one.ours ?? expected(one.messages!)
    for (const step of [1, 3, one.tokens.length])
      expect(fold(await ran(one, step)), `${step} a step`).toEqual(said)
  })

  it('counts the tokens of thoughts alone (V 23363)', async () => {
    for (const one of golden.filter(({ messages }) => messages?.length === 2).slice(0, 8)) {
      const marks = ['<|message|>', '<|end|>'].map((name) => one.bytes.indexOf(name))
      const end = (await ran(one, 2)).at(-1)!
      const counted = end.type === 'finish' ? end.usage.reasoningTokens : -1
      expect(counted).toBe(marks[1]! - marks[0]! - 1)
      expect(counted).toBeGreaterThan(0)
    }
  })

  it('differs only where it is said', () => {
    expect(golden.filter(({ error, ours }) => error && !ours)).toEqual([])
    const same = golden.filter(({ messages, ours }) => {
      return messages && ours && JSON.stringify(expected(messages)) === JSON.stringify(ours)
    })
    expect(same).toEqual([])
  })
})

describe('whatever comes', () => {
  /** A small generator that gives the same numbers every time. */
  const drawing = (seed: number) => {
    let state = seed * 2654435761 + 1
    return (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
  }
  const WORDS = [
    'analysis',
    'final',
    'commentary',
    ' to=functions.f',
    ' json',
    'assistant',
    'Hi 😀',
    ' ',
    '\n',
    '{"a":',
    '??',
    'x'.repeat(200),
    ' to=',
    'é漢',
    '<|end|>',
    '<',
  ]

  it('never throws, never loses content, and any splitting gives the same', () => {
    for (let seed = 0; seed < 3000; seed += 1) {
      const draw = drawing(seed)
      const pieces = Array.from({ length: 1 + draw(14) }, () => {
        const control = draw(2) === 0
        const list = control ? CONTROL_TOKENS : WORDS
        return { text: list[draw(list.length)]!, control }
      })
      const end = draw(2) === 0 ? 'stop' : 'length'
      const splittings = [0, 1, 2].map((way) => {
        const parser = createParser(OPTIONS)
        const events = pieces.flatMap(({ text, control }) => {
          if (control || way === 0) return feed(parser, text, control)
          const marks = [...text]
          const size = way === 1 ? 1 : 1 + draw(5)
          const parts: string[] = []
          for (let i = 0; i < marks.length; i += size) parts.push(marks.slice(i, i + size).join(''))
          return parts.flatMap((part) => parser.push(part))
        })
        return fold([...events, ...parser.finish(end)])
      })
      expect(splittings[1], `seed ${seed}`).toEqual(splittings[0])
      expect(splittings[2], `seed ${seed}`).toEqual(splittings[0])
    }
  })

  it('content comes out as it went in', () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const draw = drawing(seed)
      const text = Array.from({ length: 1 + draw(9) }, () => WORDS[draw(WORDS.length)]!).join('')
      const parser = createParser(OPTIONS)
      for (const part of ['<|channel|>', 'final', '<|message|>'])
        feed(parser, part, part.startsWith('<|'))
      expect(fold([...text].flatMap((one) => parser.push(one))).text).toBe(text)
    }
  })
})

describe('the family', () => {
  it('ends a generation at every end, whatever a checkpoint says', () =>
    expect(gptOss.stopTokens).toEqual(['<|return|>', '<|call|>', '<|endoftext|>']))

  it('gives the date of today unless told', () => {
    const { text } = gptOss.template('').render({
      messages: [{ role: 'user', content: 'x' }],
      tools: [],
      toolChoice: 'auto',
      parallelToolCalls: true,
      budget: { tokens: -1, dialect: 'soft' },
      templateVariables: {},
      addGenerationPrompt: true,
      continueFinalMessage: false,
    })
    expect(text).toMatch(/\nCurrent date: \d{4}-\d\d-\d\d\n/)
  })
})

describe('seed-server parse', () => {
  const text = `${THOUGHT}<|channel|>commentary to=functions.f<|message|>{"a":1}<|call|>`

  it.each([{}, { chunk: 1 }])('shows what a client would get %j', (more) => {
    const line = { text, tools: [{ type: 'function', function: { name: 'f' } }], ...more }
    expect(answerTo(JSON.stringify(line), gptOss)).toMatchObject({
      message: {
        content: null,
        reasoning: 'Hm.',
        tool_calls: [{ function: { name: 'f', arguments: '{"a":1}' } }],
      },
      finish_reason: 'tool_calls',
    })
  })
})
