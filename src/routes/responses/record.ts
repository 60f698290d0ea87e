// One kept response: what it was asked, what it says so far, and the frames a reader can come back for.
import type { Item } from '../../protocol/items.ts'
import type { WireResponse } from '../../stream/responses.ts'
import type { Kept } from '../../store.ts'

/** What a response was told, earlier turns included. */
export interface ToldInput {
  items: Item[]
  /** Size as it was sent. */
  bytes: number
  /** The day its prompt named as today. */
  date?: string
}

export class StoredResponse implements Kept {
  readonly tenant: number
  readonly response: WireResponse
  /** All the model was told but the instructions, earlier turns included. */
  readonly input: Item[]
  /** Size of the input as it was sent. */
  readonly inputBytes: number
  /** One frame an event, where the response runs in the background; its place is its sequence number. */
  readonly frames: string[] | undefined
  /** The day its prompt named as today, which the turns that follow keep. */
  readonly date: string | undefined
  live = true
  private frameBytes = 0
  private stop: () => void
  private waiting: (() => void)[] = []

  constructor(
    tenant: number,
    response: WireResponse,
    input: ToldInput,
    background: boolean,
    stop: () => void
  ) {
    this.tenant = tenant
    this.response = response
    this.input = input.items
    this.inputBytes = input.bytes
    this.date = input.date
    this.frames = background ? [] : undefined
    this.stop = stop
  }

  get id(): string {
    return this.response.id
  }

  /** What it holds in memory, about; what turns share is counted for each, so the bound holds whichever goes first. */
  get bytes(): number {
    return this.inputBytes + this.frameBytes + JSON.stringify(this.response).length
  }

  /** The whole conversation, for the turn that follows. */
  get conversation(): Item[] {
    return [...this.input, ...this.response.output]
  }

  add(frames: string[]): void {
    this.frames?.push(...frames)
    for (const frame of frames) this.frameBytes += frame.length
    this.wake()
  }

  /** Nothing comes after this. */
  end(): void {
    this.live = false
    this.wake()
  }

  /** Stops a response that still runs, and waits until it says so. */
  async cancel(): Promise<void> {
    if (this.live) this.stop()
    while (this.live) await this.changed() // oxlint-disable-line no-await-in-loop
  }

  private wake(): void {
    const waiting = this.waiting
    this.waiting = []
    for (const resolve of waiting) resolve()
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve)
    })
  }

  /** The frames from a sequence number on, those to come included. */
  async *follow(from: number): AsyncGenerator<string, undefined> {
    const frames = this.frames ?? []
    for (let at = from; ;) {
      if (at < frames.length) {
        const text = frames.slice(at).join('')
        at = frames.length
        yield text
      } else if (this.live) await this.changed()
      else return undefined
    }
  }
}
