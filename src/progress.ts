// Shows how far a load is: a bar on a terminal, a line now and then elsewhere; the command line draws it.
import { printable, type Sink } from './log.ts'
import type { LoadProgress } from './engine.ts'

const BAR = 28
/** Milliseconds between two lines where there is no terminal, and between two drawings where there is one. */
const LINE_EVERY = 5000
const DRAW_EVERY = 80

export interface ProgressView {
  /** `name` says what is loaded. */
  update(progress: LoadProgress, name: string): void
  /** Takes the bar away. */
  end(): void
}

const percent = (done: number): string => `${Math.round(done * 100)} %`

const drawn = ({ phase, done }: LoadProgress, name: string): string => {
  const full = Math.round(Math.min(1, Math.max(0, done)) * BAR)
  const bar = '█'.repeat(full) + '░'.repeat(BAR - full)
  return `\r\u001b[2K${bar} ${percent(done).padStart(5)}  ${printable(name)}: ${printable(phase)}`
}

/** Draws on `sink`; `now` is injected by tests. */
export const createProgress = (
  sink: Sink = process.stderr,
  now: () => number = Date.now
): ProgressView => {
  let last = sink.isTTY ? -Infinity : now()
  let phase = ''
  return {
    update(progress, name) {
      const due = now() - last >= (sink.isTTY ? DRAW_EVERY : LINE_EVERY)
      const what = `${name}: ${progress.phase}`
      if (!due && (!sink.isTTY || what === phase)) return
      last = now()
      phase = what
      if (sink.isTTY) sink.write(drawn(progress, name))
      else
        sink.write(
          `loading ${printable(name)}: ${printable(progress.phase)} ${percent(progress.done)}\n`
        )
    },
    end() {
      if (sink.isTTY && phase !== '') sink.write('\r\u001b[2K')
    },
  }
}
