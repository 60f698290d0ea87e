// Parses Seed-OSS output, piece by piece, into thought, text and tool calls; src/run.ts feeds it through the family.
import type { ParserStart, Tool, ToolChoice } from '../../conversation.ts'
import type { OutputParser, ParsedEvent } from '../../events.ts'
import { ArgumentsWriter } from './arguments.ts'
import { EndFilter } from './ending.ts'
import {
  IN_BODY,
  IN_VALUE,
  IN_BLOCK,
  IN_MENTIONED_BLOCK,
  AFTER_FUNCTION,
  ONLY_CALL,
  TAGS,
  TAGS_AND_CALLS,
  TAGS_AND_MENTIONS,
  blankEnd,
  callEndsAt,
  cut,
  FUNCTION,
  FUNCTION_END,
  markerAt,
  nameEnd,
  PARAMETER,
  PARAMETER_END,
} from './markers.ts'
import { CALL, CALL_END, THINK, THINK_END } from './tokens.ts'
import { Utterance } from './utterance.ts'
import { argumentTypes } from './values.ts'

export interface ParserOptions {
  start: ParserStart
  tools: Tool[]
  toolChoice: ToolChoice
  /** The prompt ends inside the reply's own content: then no newline of it goes. */
  continues?: boolean
}

/** Each is a method that reads on in that state; false when it needs more text. */
type State =
  | 'content'
  | 'thought'
  /** In a thought, from `<seed:tool_call>` on: before a function, in the block, after it. */
  | 'mention'
  | 'mentionedBlock'
  | 'mentioned'
  /** In a call: before a function, in its name, between parameters, in a key, in a value, after it. */
  | 'block'
  | 'name'
  | 'body'
  | 'key'
  | 'value'
  | 'after'

/**
 * Text streams as it comes; held back are only what may become a marker, white space that may go (utterance.ts),
 * values that are no strings, and blocks inside an open thought until it is known whether the model stops after
 * them. A thought keeps its reflections, tags included: dropping them would make the history a different text.
 * Call markers are read only where tools may be called; else they are text.
 */
class SeedOssParser implements OutputParser {
  private state: State
  private said: Utterance
  private filter = new EndFilter()
  private text = ''
  private at = 0
  private final = false
  private calls: boolean
  private declared: Map<string, Tool>
  /** A block that has begun, shown if it holds no function; after a function, the white space that may end it. */
  private opened = ''
  /** Blocks shown as text, whose end tags then are text too. */
  private shownBlocks = 0
  private inBlock = false
  private writer: ArgumentsWriter | undefined
  /** Text between parameters, which no call has a place for: said after it. */
  private stray = ''
  /** Held back inside the thought, until it is a call or is not. */
  private held = ''
  private mentionsBlock = false

  constructor({ start, tools, toolChoice, continues = false }: ParserOptions) {
    this.calls = tools.length > 0 && toolChoice !== 'none'
    this.declared = new Map(tools.map((tool) => [tool.name, tool]))
    this.said = new Utterance({ dropsNewlines: start === 'content', continues })
    this.state = start === 'reasoning' ? 'thought' : 'content'
    if (start === 'reasoning') this.said.openThought()
  }

  push(piece: string): ParsedEvent[] {
    this.feed(this.filter.push(piece, false))
    return this.said.take()
  }

  finish(reason: 'stop' | 'length'): ParsedEvent[] {
    this.final = true
    this.feed(this.filter.push('', true))
    if (this.held !== '') this.decideMention(reason)
    if (this.state === 'block') this.showBlock()
    if (this.state === 'name') this.name()
    if (this.state === 'key') this.key()
    if (this.writer) {
      if (reason === 'stop') this.endCall()
      else this.cutCall()
    }
    this.said.end()
    return this.said.take()
  }

  private feed(text: string): void {
    if (text === '' && !this.final) return
    this.text = this.at < this.text.length ? this.text.slice(this.at) + text : text
    this.at = 0
    while (this.at < this.text.length && this[this.state]());
  }

  /** Consumes the text before the next marker and the marker; null when the text ends first. */
  private until(markers: readonly string[], take: (text: string) => void): string | null {
    const { at, marker } = cut(this.text, this.at, markers, this.final)
    if (at > this.at) take(this.text.slice(this.at, at))
    this.at = at
    if (!marker) return null
    this.at += marker.length
    return marker
  }

  private blanks(): string {
    const from = this.at
    this.at = blankEnd(this.text, from)
    return this.text.slice(from, this.at)
  }

  /** The marker right here, '' while undecided, null where there is other text. */
  private here(markers: readonly string[]): string | null {
    if (this.at === this.text.length) return ''
    const marker = markerAt(this.text, this.at, markers)
    return marker === '' && this.final ? null : marker
  }

  private readonly say = (text: string): void => this.said.say(text)
  private readonly think = (text: string): void => this.said.think(text)
  private readonly straying = (text: string): void => {
    this.stray += text
  }
  private readonly writing = (text: string): void => this.writer?.write(text)
  private readonly holding = (text: string): void => {
    this.held += text
  }

  private content(): boolean {
    const marker = this.until(this.calls ? TAGS_AND_CALLS : TAGS, this.say)
    switch (marker) {
      case null:
        return false
      // A thought may begin where nothing has been said since the last turn; elsewhere the tag goes.
      case THINK:
        if (this.said.inThought) this.say(THINK)
        else if (this.said.atBoundary) {
          this.said.openThought()
          this.state = 'thought'
        }
        break
      case CALL:
        this.openBlock()
        break
      case CALL_END:
        if (this.shownBlocks > 0) {
          this.shownBlocks -= 1
          this.say(CALL_END)
        }
        break
      case FUNCTION:
        this.inBlock = false
        this.state = 'name'
    }
    return true
  }

  private thought(): boolean {
    const marker = this.until(this.calls ? TAGS_AND_MENTIONS : TAGS, this.think)
    if (marker === null) return false
    if (marker === THINK_END) {
      this.said.closeThought()
      this.state = 'content'
    } else if (marker === CALL) {
      this.held = CALL
      this.mentionsBlock = false
      this.state = 'mention'
    } else if (this.said.thought) this.think(THINK)
    return true
  }

  /** Anything but a function here makes it a mention at once. */
  private mention(): boolean {
    this.held += this.blanks()
    const marker = this.here(IN_BLOCK)
    if (marker === '') return false
    if (marker === null) return this.releaseMention()
    this.at += marker.length
    this.held += marker
    this.mentionsBlock = true
    this.state = 'mentionedBlock'
    return true
  }

  private mentionedBlock(): boolean {
    const marker = this.until(IN_MENTIONED_BLOCK, this.holding)
    if (marker === null) return false
    if (marker === THINK_END) {
      this.at -= marker.length
      return this.releaseMention()
    }
    this.held += marker
    this.state = 'mentioned'
    return true
  }

  private mentioned(): boolean {
    this.held += this.blanks()
    const marker = this.here(ONLY_CALL)
    if (marker === '') return false
    if (marker === null) return this.releaseMention()
    this.at += marker.length
    this.held += marker
    this.state = 'mention'
    return true
  }

  private releaseMention(): true {
    this.think(this.held)
    this.held = ''
    this.state = 'thought'
    return true
  }

  /** The output ended on blocks inside an open thought: calls, if it was the model that ended it. */
  private decideMention(reason: 'stop' | 'length'): void {
    const { held } = this
    if (reason === 'length' || !this.mentionsBlock) {
      this.releaseMention()
      return
    }
    this.held = ''
    this.state = 'content'
    this.feed(held)
  }

  private openBlock(): void {
    this.opened = CALL
    this.inBlock = true
    this.state = 'block'
  }

  private block(): boolean {
    this.opened += this.blanks()
    const marker = this.here(IN_BLOCK)
    if (marker === '') return false
    if (marker === null) this.showBlock()
    else {
      this.at += marker.length
      this.state = 'name'
    }
    return true
  }

  /** A block that holds no function is text. */
  private showBlock(): void {
    this.say(this.opened)
    if (this.opened !== '') this.shownBlocks += 1
    this.opened = ''
    this.state = 'content'
  }

  /** After `<function=`; in a block `<function=name` also ends at a line's end or the next tag. */
  private name(): boolean {
    const end = nameEnd(this.text, this.at, this.final)
    if (end < 0) return false
    const name = this.text.slice(this.at, end).trim()
    const mark = this.text[end]
    const whole = mark === '>' || (this.inBlock && (mark === '<' || mark === '\n'))
    if (!whole || name === '' || (!this.inBlock && !this.declared.has(name))) {
      this.showBlock()
      this.say(FUNCTION)
      return true
    }
    this.at = mark === '>' ? end + 1 : end
    this.opened = ''
    this.said.startCall(name)
    this.writer = new ArgumentsWriter(argumentTypes(this.declared.get(name)), (json) =>
      this.said.args(json)
    )
    this.state = 'body'
    return true
  }

  private body(): boolean {
    const marker = this.until(IN_BODY, this.straying)
    if (marker === null) return false
    if (marker === PARAMETER) this.state = 'key'
    else this.leaveFunction(marker)
    return true
  }

  private leaveFunction(marker: string): void {
    this.endCall()
    if (marker === CALL) this.openBlock()
    else if (marker === FUNCTION) this.state = 'name'
    else this.state = marker === FUNCTION_END && this.inBlock ? 'after' : 'content'
  }

  private key(): boolean {
    const end = nameEnd(this.text, this.at, this.final)
    if (end < 0) return false
    const key = this.text.slice(this.at, end).trim()
    if (this.text[end] !== '>' || key === '') {
      this.stray += PARAMETER
      this.state = 'body'
      return true
    }
    this.at = end + 1
    this.writer?.open(key)
    this.state = 'value'
    return true
  }

  private value(): boolean {
    const { at, marker } = cut(this.text, this.at, IN_VALUE, this.final)
    this.writing(this.text.slice(this.at, at))
    this.at = at
    if (!marker) return false
    if (marker === FUNCTION_END) return this.functionEndInValue()
    this.at += marker.length
    if (marker === PARAMETER_END) {
      this.writer?.close()
      this.state = 'body'
    } else this.leaveFunction(marker)
    return true
  }

  /** `</function>` in a value is text, unless the end of the block or of the output is all that follows. */
  private functionEndInValue(): boolean {
    const from = this.at + FUNCTION_END.length
    const ends = callEndsAt(this.text, from, this.final)
    if (ends === null) return false
    if (ends) this.leaveFunction(FUNCTION_END)
    else this.writing(FUNCTION_END)
    this.at = from
    return true
  }

  /** White space before the end of the block is part of it; before text it is text. */
  private after(): boolean {
    this.opened += this.blanks()
    const marker = this.here(AFTER_FUNCTION)
    if (marker === '') return false
    if (marker === null) this.say(this.opened)
    this.opened = ''
    this.at += marker?.length ?? 0
    if (marker === CALL) this.openBlock()
    else this.state = marker === FUNCTION ? 'name' : 'content'
    return true
  }

  private endCall(): void {
    this.writer?.end()
    this.writer = undefined
    this.said.endCall()
    this.sayStray()
  }

  /** A call that the limit cut has no end: its arguments are as far as they came. */
  private cutCall(): void {
    this.writer?.cut()
    this.writer = undefined
    this.sayStray()
  }

  private sayStray(): void {
    const { stray } = this
    this.stray = ''
    if (blankEnd(stray, 0) < stray.length) this.say(stray)
  }
}

/** A parser of one choice's output. */
export const createParser = (options: ParserOptions): OutputParser => new SeedOssParser(options)
