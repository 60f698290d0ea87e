// Parses gpt-oss output, text and control tokens in turn, into thought, text and calls; src/run.ts feeds it.
import type { ParserStart, Tool, ToolChoice } from '../../conversation.ts'
import type { OutputParser, ParsedEvent } from '../../events.ts'
import { readHeader, type Header, type HeaderPart } from './header.ts'
import { CALL, CHANNEL, CONSTRAIN, END, EOS, MESSAGE, RETURN, START } from './tokens.ts'
import { nameOf } from './tools.ts'

export interface ParserOptions {
  start: ParserStart
  tools: Tool[]
  toolChoice: ToolChoice
}

/** Text of a header longer than this is none: its message was never opened, and is content. */
const MAX_HEADER = 256
/** A type glued to the content that it should stand before. */
const GLUED_TYPE = /^(?:json|code)\s*(?=[[{])/

type Kind = 'reasoning' | 'text' | 'call'

type State =
  /** After a message; text here is stray, or the role of a message whose `<|start|>` is missing. */
  | 'between'
  | 'header'
  | 'content'
  /** After the model's own end: nothing counts but a new `<|start|>`. */
  | 'ended'

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff

class GptOssParser implements OutputParser {
  private events: ParsedEvent[] = []
  private state: State = 'header'
  private header: HeaderPart[] = []
  private headerLength = 0
  /** The header follows a `<|start|>` of the output's own. */
  private started = false
  private kind: Kind = 'text'
  private calls = 0
  /** Kinds that have been said before this message, whose next message stands on a line of its own. */
  private spoke = new Set<Kind>()
  private speaks = false
  private mayCall: boolean
  private declared: Set<string>

  constructor({ start, tools, toolChoice }: ParserOptions) {
    this.mayCall = tools.length > 0 && toolChoice !== 'none'
    this.declared = new Set(tools.map(nameOf))
    if (start === 'auto') return
    this.state = 'content'
    this.kind = start === 'reasoning' ? 'reasoning' : 'text'
  }

  get thinking(): boolean {
    return this.state === 'content' && this.kind === 'reasoning'
  }

  push(text: string): ParsedEvent[] {
    if (text !== '') this.text(text)
    return this.take()
  }

  pushControl(name: string): ParsedEvent[] {
    if (name === START) this.start()
    else if (name === CHANNEL || name === CONSTRAIN) this.marker(name)
    else if (name === MESSAGE) this.message()
    else if (name === END) this.end(false)
    else if (name === RETURN || name === CALL || name === EOS) this.end(true)
    return this.take()
  }

  finish(reason: 'stop' | 'length'): ParsedEvent[] {
    if (this.state === 'header' || this.state === 'between') this.trapped(reason)
    if (this.state === 'content') this.close(reason)
    this.state = 'ended'
    return this.take()
  }

  private take(): ParsedEvent[] {
    const { events } = this
    if (events.length > 0) this.events = []
    return events
  }

  private text(text: string): void {
    if (this.state === 'ended') return undefined
    if (this.state === 'content') return this.say(text)
    const room = MAX_HEADER - this.headerLength
    if (text.length <= room) return this.heads({ text, control: false })
    const end = isHigh(text.charCodeAt(room - 1)) ? room + 1 : room
    this.heads({ text: text.slice(0, end), control: false })
    this.trapped('long')
    return text.length > end ? this.say(text.slice(end)) : undefined
  }

  private heads(part: HeaderPart): void {
    this.header.push(part)
    if (!part.control) this.headerLength += part.text.length
  }

  private say(text: string): void {
    const { kind } = this
    if (kind === 'call') return this.emit({ type: 'tool-args', index: this.calls - 1, text })
    if (!this.speaks && this.spoke.has(kind)) this.emit({ type: kind, text: '\n' })
    this.speaks = true
    return this.emit({ type: kind, text })
  }

  private emit(event: ParsedEvent): void {
    const last = this.events.at(-1)
    const more = last?.type === event.type && 'text' in last && 'text' in event
    if (more) last.text += event.text
    else this.events.push(event)
  }

  private start(): void {
    this.complete('next')
    this.begin(true)
  }

  private begin(started: boolean): void {
    this.state = 'header'
    this.header = []
    this.headerLength = 0
    this.started = started
  }

  private marker(name: string): void {
    if (this.state === 'ended' || (this.state === 'content' && name === CONSTRAIN)) return
    // A channel inside of content begins the next message: the model left out the end of this one.
    if (this.state === 'content') {
      this.close('stop')
      this.begin(false)
    }
    this.state = 'header'
    this.heads({ text: name, control: true })
  }

  private message(): void {
    if (this.state === 'content' || this.state === 'ended') return
    const header = readHeader(this.header, { started: this.started, closed: true })
    this.open(header)
    // One word is the content's type; several are text that came before its place.
    if (this.kind !== 'call' && header.words > 1) this.say(header.rest)
  }

  private open({ channel, recipient }: Header): void {
    this.state = 'content'
    this.header = []
    this.headerLength = 0
    const name = recipient === undefined ? undefined : this.nameIn(recipient)
    if (name === undefined || !this.mayCall) {
      this.kind = channel === 'analysis' ? 'reasoning' : 'text'
      return
    }
    this.kind = 'call'
    this.emit({ type: 'tool-start', index: this.calls, name })
    this.calls += 1
  }

  /** A declared name counts as it is, so that a tool may be called `functions.x`. */
  private nameIn(recipient: string): string {
    return this.declared.has(recipient) ? recipient : recipient.replace(/^functions\./, '')
  }

  private end(last: boolean): void {
    if (this.state === 'ended') return
    this.complete(last ? 'stop' : 'next')
    this.begin(false)
    this.state = last ? 'ended' : 'between'
  }

  private close(reason: 'stop' | 'length'): void {
    if (this.kind === 'call' && reason === 'stop')
      this.emit({ type: 'tool-end', index: this.calls - 1 })
    if (this.speaks) this.spoke.add(this.kind)
    this.speaks = false
  }

  private complete(by: 'next' | 'stop'): void {
    if (this.state === 'header' || this.state === 'between') this.trapped(by)
    if (this.state === 'content') this.close('stop')
  }

  /**
   * A header that no `<|message|>` ended: its text is content, and where the output stops with it, the answer. It ends
   * because it is too long, by the next message, or with the output.
   */
  private trapped(by: 'long' | 'next' | 'stop' | 'length'): void {
    const header = readHeader(this.header, { started: this.started, closed: false })
    const { rest, recipient } = header
    const called = recipient !== undefined && this.mayCall && by !== 'length'
    if (rest === '' && by !== 'long' && !called) return
    this.open(header)
    if (by === 'stop' && this.kind === 'reasoning') this.kind = 'text'
    const text = recipient === undefined ? rest : rest.replace(GLUED_TYPE, '')
    if (text !== '') this.say(text)
  }
}

/** A parser of one choice's output. `push` takes text, which is never a control token, whatever it spells. */
export const createParser = (options: ParserOptions): OutputParser => new GptOssParser(options)
