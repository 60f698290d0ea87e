// Computes a prompt once for all its choices: the first goes ahead, the others begin behind it. run.ts asks.
import type { PromptToken } from '../engine.ts'
import type { Siblings } from './meter.ts'

/**
 * Lets the first choice of a prompt go ahead: when it has its first token the prompt's pages are there, and the other
 * choices begin behind them instead of computing the prompt again. They take its scores of the prompt as well.
 */
export class Prefill implements Siblings {
  /** The index of the choice that goes ahead. */
  readonly leader: number
  readonly done: Promise<void>
  scores: PromptToken[] | undefined
  choices = 0
  ended = 0
  longest = 0
  finish!: () => void

  constructor(leader: number) {
    this.leader = leader
    this.done = new Promise((resolve) => {
      this.finish = resolve
    })
  }
}

/** One prefill for each prompt; choices of one prompt share its array. */
export const prefillsOf = (sequences: { prompt: Uint32Array }[]): Prefill[] => {
  const known = new Map<Uint32Array, Prefill>()
  return sequences.map(({ prompt }, index) => {
    const prefill = known.get(prompt) ?? new Prefill(index)
    prefill.choices += 1
    known.set(prompt, prefill)
    return prefill
  })
}
