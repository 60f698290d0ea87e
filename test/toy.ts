// A small stand-in for a model family, so that tests of the HTTP surface stand on their own; test/scripted.ts serves it.
import type { Conversation, Family, RenderedPrompt } from '../src/conversation.ts'
import type { OutputParser, ParsedEvent } from '../src/events.ts'

const THINK = '<seed:think>'
const THINK_END = '</seed:think>'
const CALL = '<seed:tool_call>'
const CALL_END = '</seed:tool_call>'
const REFLECT = '<seed:cot_budget_reflect>'
const REFLECT_END = '</seed:cot_budget_reflect>'
export const EOS = '<seed:eos>'
const BOS = '<seed:bos>'

type State = 'content' | 'reasoning' | 'call'

const callEvents = (source: string, index: number): ParsedEvent[] => {
  const name = /<function=([^>]*)>/.exec(source)?.[1] ?? ''
  const parameters = [...source.matchAll(/<parameter=([^>]*)>([^]*?)<\/parameter>/g)]
  const args = Object.fromEntries(parameters.map(([, key, value]) => [key, value]))
  const text = JSON.stringify(args)
  return [
    { type: 'tool-start', index, name },
    ...(parameters.length > 0 ? [{ type: 'tool-args' as const, index, text }] : []),
    { type: 'tool-end', index },
  ]
}

/** Reads whole tags only; what may be the start of one is held back. */
const toyParser = (options: Parameters<Family['parser']>[0]): OutputParser => {
  const calls = options.tools.length > 0 && options.toolChoice !== 'none'
  const tags = [THINK, THINK_END, ...(calls ? [CALL, CALL_END] : [])]
  let state: State = options.start === 'reasoning' ? 'reasoning' : 'content'
  let held = ''
  let call = ''
  let index = 0
  const say = (text: string): ParsedEvent[] => {
    if (state === 'call') {
      call += text
      return []
    }
    return text === '' ? [] : [{ type: state === 'reasoning' ? 'reasoning' : 'text', text }]
  }
  const enter = (tag: string): ParsedEvent[] => {
    const events = tag === CALL_END ? callEvents(call, index++) : []
    if (tag === CALL) call = ''
    state = tag === THINK ? 'reasoning' : tag === CALL ? 'call' : 'content'
    return events
  }
  const push = (text: string): ParsedEvent[] => {
    held += text
    const events: ParsedEvent[] = []
    for (;;) {
      const next = tags
        .map((tag) => ({ tag, at: held.indexOf(tag) }))
        .filter(({ at }) => at >= 0)
        .toSorted((a, b) => a.at - b.at)[0]
      if (!next) break
      events.push(...say(held.slice(0, next.at)), ...enter(next.tag))
      held = held.slice(next.at + next.tag.length)
    }
    const open = held.lastIndexOf('<')
    const keep =
      open >= 0 && tags.some((tag) => tag.startsWith(held.slice(open))) ? open : held.length
    events.push(...say(held.slice(0, keep)))
    held = held.slice(keep)
    return events
  }
  const finish = (): ParsedEvent[] => {
    const events = say(held)
    return state === 'call' ? [...events, ...callEvents(call, index++)] : events
  }
  return { push, finish }
}

const render = (conversation: Conversation): RenderedPrompt => {
  const pieces = conversation.messages.flatMap(({ role, content }) => [
    { text: BOS, control: true },
    { text: `${role}\n${content ?? ''}`, control: false },
    { text: EOS, control: true },
  ])
  if (conversation.addGenerationPrompt)
    pieces.push({ text: BOS, control: true }, { text: 'assistant\n', control: false })
  return { text: pieces.map(({ text }) => text).join(''), pieces, start: 'auto' }
}

export const toyFamily: Family = {
  name: 'toy',
  controlTokens: [BOS, EOS, THINK, THINK_END, CALL, CALL_END, REFLECT, REFLECT_END],
  stopTokens: [EOS],
  thoughtTags: { start: THINK, end: THINK_END },
  thought: {
    start: THINK,
    end: THINK_END,
    reflectStart: REFLECT,
    reflectEnd: REFLECT_END,
    callStart: CALL,
    callEnd: CALL_END,
    closing: `\n${REFLECT}enough${REFLECT_END}\n${THINK_END}`,
    closingInReflection: `${REFLECT_END}\n${THINK_END}`,
    closingHard: THINK_END,
    once: true,
    knowsEfforts: false,
  },
  template: () => ({ render }),
  /** Says what is asked; no engine that compiles grammars sees it. */
  constraint: async ({ conversation: { answer, tools, toolChoice, parallelToolCalls } }) => {
    const must = toolChoice === 'required' || typeof toolChoice === 'object'
    if (!answer && !must) return undefined
    const names = tools.map(({ name }) => name)
    return JSON.stringify({ answer, names, toolChoice, parallelToolCalls })
  },
  parser: toyParser,
}
