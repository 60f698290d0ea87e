// The body of a server-sent event stream: back-pressure, keep-alive and the end; every streaming route answers with it.

/** Characters a client may leave unread before the source is held back. */
const MAX_UNREAD = 1 << 20
/** Milliseconds a client may leave that much unread before it is given up. */
const MAX_STALL = 60_000

const encoder = new TextEncoder()

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const

export const frame = (json: string): string => `data: ${json}\n\n`
export const DONE = 'data: [DONE]\n\n'
const KEEP_ALIVE = ': keep-alive\n\n'

export interface SseOptions {
  /** Seconds of silence after which a comment is sent; 0 = never. */
  keepAliveSeconds: number
  /** The frames that tell of an error after the headers, the stream's last word included. */
  onError: (error: unknown) => string
  /** Called once when the reader left or stalled; must make `frames` end. */
  cancel: () => void
  /** Called once when `frames` have ended, however they did. */
  ended?: () => void
}

/** Text between a source that does not wait and a reader that may. */
class Sluice {
  private waiting: string[] = []
  private size = 0
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined
  private drained: (() => void) | undefined
  private wanted = false
  closed = false

  open(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.controller = controller
  }

  /** The reader wants more: all that waits goes out as one piece. */
  pull(): void {
    this.wanted = true
    this.flush()
  }

  private flush(): void {
    if (!this.wanted || this.size === 0 || this.closed) return
    this.wanted = false
    const text = this.waiting.join('')
    this.waiting = []
    this.size = 0
    this.controller?.enqueue(encoder.encode(text))
    this.drained?.()
  }

  write(text: string): void {
    if (this.closed || text === '') return
    this.waiting.push(text)
    this.size += text.length
    this.flush()
  }

  /** A sign of life, unless the reader has unread text to live on. */
  beat(): void {
    if (this.size === 0) this.write(KEEP_ALIVE)
  }

  /** Resolves once little enough is unread; false where the reader stalls or has left. */
  async room(): Promise<boolean> {
    if (this.size <= MAX_UNREAD) return !this.closed
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.drained = resolve
      timer = setTimeout(resolve, MAX_STALL)
    })
    clearTimeout(timer)
    return !this.closed && this.size <= MAX_UNREAD
  }

  close(): void {
    if (this.closed) return
    if (this.size > 0) {
      // The last text waits inside the stream itself, which is closed behind it.
      this.controller?.enqueue(encoder.encode(this.waiting.join('')))
    }
    this.closed = true
    this.controller?.close()
  }

  /** The reader is gone, or gets no more. */
  drop(error?: Error): void {
    if (this.closed) return
    this.closed = true
    this.waiting = []
    this.size = 0
    this.drained?.()
    if (error) this.controller?.error(error)
  }
}

const keepAlive = (sluice: Sluice, seconds: number): { touch(): void; end(): void } => {
  if (seconds <= 0) return { touch: () => {}, end: () => {} }
  const timer = setInterval(() => sluice.beat(), seconds * 1000)
  timer.unref()
  return { touch: () => timer.refresh(), end: () => clearInterval(timer) }
}

/**
 * The stream of `frames`, each already in SSE's form. The source is read as it comes, so that what waits for a slow
 * reader is joined; past a bound it is held back, and a reader that stalls is given up.
 */
export const sseBody = (
  frames: AsyncGenerator<string, undefined>,
  options: SseOptions
): ReadableStream<Uint8Array> => {
  const sluice = new Sluice()
  const alive = keepAlive(sluice, options.keepAliveSeconds)
  const leave = (error?: Error): void => {
    sluice.drop(error)
    options.cancel()
    frames.return(undefined).catch(() => {})
  }
  const pump = async (): Promise<void> => {
    try {
      for await (const text of frames) {
        alive.touch()
        sluice.write(text)
        if (!(await sluice.room())) return leave(new Error('the client does not read'))
      }
    } catch (error) {
      sluice.write(options.onError(error))
    } finally {
      alive.end()
      options.ended?.()
    }
    sluice.close()
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        sluice.open(controller)
        pump().catch((error: Error) => leave(error))
      },
      pull: () => sluice.pull(),
      cancel: () => leave(),
    },
    { highWaterMark: 1 }
  )
}
