// A slow reading of whole Seed-OSS outputs, written from the rules alone; parser.property.test.ts compares the parser to it.
import type { ParserStart, Tool } from '../src/conversation.ts'
import type { ParsedEvent } from '../src/events.ts'
import { argumentTypes } from '../src/families/seed-oss/values.ts'

export interface Reading {
  reasoning: string
  content: string
  calls: { name: string; args: string; ended: boolean }[]
}

/** What events add up to. */
export const folded = (events: ParsedEvent[]): Reading => {
  const reading: Reading = { reasoning: '', content: '', calls: [] }
  for (const event of events) {
    if (event.type === 'reasoning') reading.reasoning += event.text
    else if (event.type === 'text') reading.content += event.text
    else if (event.type === 'tool-start')
      reading.calls[event.index] = { name: event.name, args: '', ended: false }
    else if (event.type === 'tool-args') reading.calls[event.index]!.args += event.text
    else reading.calls[event.index]!.ended = true
  }
  return reading
}

const W = '[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
const re = (source: string): RegExp => new RegExp(source.replaceAll('\\W', W))
const isBlank = (text: string): boolean => re('^\\W*$').test(text)
const trimEnd = (text: string): string => text.replace(re('\\W+$'), '')
const trimStart = (text: string): string => text.replace(re('^\\W+'), '')

const CALL = '<seed:tool_call>'
const VALUE_END = re(
  '</parameter>|</seed:tool_call>|</function>(?=\\W{0,16}(?:</seed:tool_call>|$))'
)
const BODY_MARK = /<parameter=|<\/function>|<\/seed:tool_call>|<function=|<seed:tool_call>/
/** The mention rule: blocks up to the end of the output, the last perhaps unfinished. */
const INSIDE = '<seed:tool_call>\\W*<function=(?:(?!</seed:tool_call>)[^])*'
const MENTIONED = re(`^(?:${INSIDE}</seed:tool_call>\\W*)*(?:${INSIDE}|<seed:tool_call>\\W*)?$`)

interface Question {
  start: ParserStart
  tools: Tool[]
  finish: 'stop' | 'length'
}

class Oracle {
  private rest: string
  private q: Question
  private reading: Reading = { reasoning: '', content: '', calls: [] }
  private run = ''
  private thoughtText = ''
  private inThought = false
  private dropsNewlines: boolean
  private shown = 0
  /** No ink since the last turn. */
  private get fresh(): boolean {
    return !this.touched && isBlank(this.run)
  }
  private touched = false

  constructor(text: string, q: Question) {
    this.q = q
    this.rest = text.replace(/(<seed:eos>)+$/, '')
    this.dropsNewlines = q.start === 'content'
    this.inThought = q.start === 'reasoning'
  }

  read(): Reading {
    while (this.rest !== '') {
      if (this.inThought) this.thought()
      else this.content()
    }
    this.endThought()
    if (this.reading.calls.length === 0 || !isBlank(this.run)) this.endRun()
    return this.reading
  }

  private take(length: number): string {
    const text = this.rest.slice(0, length)
    this.rest = this.rest.slice(length)
    return text
  }

  private say(text: string): void {
    if (this.inThought) this.thoughtText += text
    else this.run += text
  }

  private endRun(): void {
    const text =
      this.dropsNewlines && this.reading.content === ''
        ? this.run.replace(/^[\r\n]+/, '')
        : this.run
    this.reading.content += text
    this.run = ''
  }

  private turn(): void {
    if (isBlank(this.run)) this.run = ''
    else this.endRun()
    this.dropsNewlines = this.reading.content === ''
  }

  private endThought(): void {
    const text = trimEnd(this.thoughtText)
    this.reading.reasoning += this.reading.reasoning === '' ? trimStart(text) : text
    this.thoughtText = ''
  }

  private thought(): void {
    const calls = this.q.tools.length > 0
    const at = this.rest.search(calls ? /<\/?seed:think>|<seed:tool_call>/ : /<\/?seed:think>/)
    if (at < 0) {
      this.thoughtText += this.take(this.rest.length)
      return
    }
    this.thoughtText += this.take(at)
    if (this.rest.startsWith('</seed:think>')) {
      this.take('</seed:think>'.length)
      this.endThought()
      this.inThought = false
      this.turn()
    } else if (this.rest.startsWith('<seed:think>')) {
      const tag = this.take('<seed:think>'.length)
      if (!isBlank(this.reading.reasoning + this.thoughtText)) this.thoughtText += tag
    } else if (this.isCalls()) this.blocks()
    else this.thoughtText += this.take(CALL.length)
  }

  private isCalls(): boolean {
    const { rest } = this
    if (this.q.finish === 'length' || !rest.includes('<function=')) return false
    if (!MENTIONED.test(rest)) return false
    // An end of the thought inside a block decides against it.
    return !rest.includes('</seed:think>')
  }

  /** Blocks that end the output inside a thought: what is no call in them stays thought. */
  private blocks(): void {
    while (this.rest !== '') this.content()
  }

  private content(): void {
    const calls = this.q.tools.length > 0
    const at = this.rest.search(
      calls ? /<\/?seed:think>|<\/?seed:tool_call>|<function=/ : /<\/?seed:think>/
    )
    if (at !== 0) return this.say(this.take(at < 0 ? this.rest.length : at))
    if (this.rest.startsWith('</seed:think>')) this.take('</seed:think>'.length)
    else if (this.rest.startsWith('<seed:think>')) {
      const tag = this.take('<seed:think>'.length)
      if (this.inThought) return this.say(tag)
      if (!this.fresh) return undefined
      this.turn()
      this.inThought = true
    } else if (this.rest.startsWith('</seed:tool_call>')) {
      const tag = this.take('</seed:tool_call>'.length)
      if (this.shown-- > 0) this.say(tag)
      else this.shown = 0
    } else if (this.rest.startsWith(CALL)) this.block()
    else if (!this.functionHere(false)) this.say(this.take('<function='.length))
    return undefined
  }

  private block(): void {
    const opened = this.take(re('^<seed:tool_call>\\W*').exec(this.rest)![0].length)
    if (this.rest.startsWith('<function=') && this.functionHere(true)) return
    this.say(opened)
    this.shown += 1
    if (this.rest.startsWith('<function=')) this.say(this.take('<function='.length))
  }

  private functionHere(inBlock: boolean): boolean {
    const header = /^<function=([^<>\n]{0,127})([<>\n])/.exec(this.rest)
    const name = header?.[1]?.trim() ?? ''
    if (!header || name === '') return false
    if (!inBlock && (header[2] !== '>' || !this.q.tools.some((tool) => tool.name === name)))
      return false
    this.take(header[0].length - (header[2] === '>' ? 0 : 1))
    this.turn()
    this.call(name, inBlock)
    return true
  }

  private call(name: string, inBlock: boolean): void {
    const call = { name, args: '', ended: true }
    this.reading.calls.push(call)
    const members: string[] = []
    const types = argumentTypes(this.q.tools.find((tool) => tool.name === name))
    let stray = ''
    let open = ''
    let mark = ''
    while (mark === '') {
      const found = BODY_MARK.exec(this.rest)
      stray += this.take(found ? found.index : this.rest.length)
      if (!found) break
      this.take(found[0].length)
      if (found[0] !== '<parameter=') mark = found[0]
      else {
        const key = /^([^<>\n]{0,127})>/.exec(this.rest)
        if (!key || key[1]!.trim() === '') stray += '<parameter='
        else {
          this.take(key[0].length)
          const end = VALUE_END.exec(this.rest)
          let value = this.take(end ? end.index : this.rest.length)
          const type = types(key[1]!.trim())
          const cut = !end && this.q.finish === 'length'
          if (value.startsWith('\n')) value = value.slice(1).replace(cut ? /$^/ : /\n$/, '')
          const label = `${JSON.stringify(key[1]!.trim())}:`
          if (!cut) members.push(label + type.convert(value))
          else open = label + (type.streams ? JSON.stringify(value).slice(0, -1) : value)
          if (end) this.take(end[0].length)
          if (end && end[0] !== '</parameter>') mark = end[0]
        }
      }
    }
    call.ended = mark !== '' || this.q.finish === 'stop'
    const shown = open === '' ? members : [...members, open]
    call.args = shown.length > 0 || call.ended ? `{${shown.join(',')}` : ''
    if (call.ended) call.args += '}'
    if (!isBlank(stray)) this.say(stray)
    this.afterCall(mark, inBlock)
  }

  private afterCall(mark: string, inBlock: boolean): void {
    if (mark === CALL) this.rest = CALL + this.rest
    else if (mark === '<function=') {
      this.rest = mark + this.rest
      if (!this.functionHere(inBlock)) this.say(this.take('<function='.length))
    } else if (mark === '</function>' && inBlock) {
      const gap = this.take(re('^\\W*').exec(this.rest)![0].length)
      if (!/^(?:$|<(?:\/?seed:tool_call>|function=))/.test(this.rest)) this.say(gap)
      if (this.rest.startsWith('</seed:tool_call>')) this.take('</seed:tool_call>'.length)
      else if (this.rest.startsWith('<function=') && !this.functionHere(true))
        this.say(this.take('<function='.length))
    }
  }
}

export const oracle = (text: string, question: Question): Reading =>
  new Oracle(text, question).read()
