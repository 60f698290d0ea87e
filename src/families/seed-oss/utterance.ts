// What a Seed-OSS reply says, as events: trims its thought, holds back white space that may go. The parser writes it.
import type { ParsedEvent } from '../../events.ts'
import { blankEnd, inkEnd } from './markers.ts'

const LF = 10
const CR = 13

/**
 * Thought: trimmed as the template trims it in the history, so that it renders back to what it was.
 * Content: a run of newlines after the thought goes; so does white space around calls that no text follows.
 */
export class Utterance {
  private events: ParsedEvent[] = []
  /** True while what is said is said inside the thought, malformed calls included. */
  inThought = false
  /** Any ink in a thought so far. */
  thought = false
  private gap = ''
  /** Any ink in the content so far. */
  private spoke: boolean
  private dropsNewlines: boolean
  private blank = ''
  /** No ink since the start, a thought or a call: here a thought may begin. */
  atBoundary: boolean
  private calls = 0

  constructor(start: { dropsNewlines: boolean; continues: boolean }) {
    this.spoke = start.continues
    this.atBoundary = !start.continues
    this.dropsNewlines = start.dropsNewlines
  }

  take(): ParsedEvent[] {
    const { events } = this
    if (events.length > 0) this.events = []
    return events
  }

  private emit(type: 'text' | 'reasoning', text: string): void {
    const last = this.events.at(-1)
    if (last?.type === type) last.text += text
    else this.events.push({ type, text })
  }

  say(text: string): void {
    if (this.inThought) return this.think(text)
    if (!this.atBoundary) {
      if (text !== '') this.emit('text', text)
      return undefined
    }
    const from = this.dropsNewlines ? this.newlinesEnd(text) : 0
    const ink = blankEnd(text, from)
    this.blank += text.slice(from, ink)
    if (ink === text.length) return undefined
    this.emit('text', this.blank + text.slice(ink))
    this.blank = ''
    this.atBoundary = false
    this.spoke = true
    return undefined
  }

  private newlinesEnd(text: string): number {
    let end = 0
    while (text.charCodeAt(end) === LF || text.charCodeAt(end) === CR) end += 1
    if (end < text.length) this.dropsNewlines = false
    return end
  }

  private turn(): void {
    this.blank = ''
    this.atBoundary = true
    this.dropsNewlines = !this.spoke
  }

  think(text: string): void {
    const from = this.thought ? 0 : blankEnd(text, 0)
    if (from === text.length) return
    this.thought = true
    const end = inkEnd(text, from)
    if (end === from) this.gap += text.slice(from)
    else {
      this.emit('reasoning', this.gap + text.slice(from, end))
      this.gap = text.slice(end)
    }
  }

  openThought(): void {
    this.inThought = true
    this.blank = ''
    this.gap = ''
  }

  closeThought(): void {
    this.inThought = false
    this.gap = ''
    this.turn()
  }

  startCall(name: string): void {
    this.turn()
    this.events.push({ type: 'tool-start', index: this.calls, name })
    this.calls += 1
  }

  args(text: string): void {
    const index = this.calls - 1
    const last = this.events.at(-1)
    if (last?.type === 'tool-args' && last.index === index) last.text += text
    else this.events.push({ type: 'tool-args', index, text })
  }

  endCall(): void {
    this.events.push({ type: 'tool-end', index: this.calls - 1 })
  }

  /** White space that nothing followed: an answer of it alone is still an answer. */
  end(): void {
    if (!this.inThought && this.calls === 0 && this.blank !== '') this.emit('text', this.blank)
    this.blank = ''
  }
}
