// The bound on what one rendering may do: steps, characters and nesting; every part of the interpreter spends here.
import { TemplateError } from '../conversation.ts'

export interface Limits {
  /** Nodes evaluated, items visited. */
  steps: number
  /** Characters of text made on the way, intermediate results included. */
  characters: number
}

// Rendering is synchronous, so one counter serves whichever rendering is under way.
let steps = Infinity
let characters = Infinity
let macros = 0

const MACRO_DEPTH = 200

/** Runs `render` with fresh counters and puts the old ones back. */
export function bounded<T>(limits: Limits, render: () => T): T {
  const before = [steps, characters, macros] as const
  steps = limits.steps
  characters = limits.characters
  macros = 0
  try {
    return render()
  } finally {
    ;[steps, characters, macros] = before
  }
}

export function spendSteps(count: number): void {
  steps -= count
  if (steps < 0) {
    throw new TemplateError(
      'The chat template does more work than its input allows: it probably loops without end'
    )
  }
}

/** Called before text or a list of `count` elements is made, so that it never is when too large. */
export function spendText(count: number): void {
  characters -= count
  if (characters < 0) {
    throw new TemplateError(
      'The chat template makes more text than its input allows: it probably repeats its own output'
    )
  }
}

/** Runs a macro's body one level deeper; endless recursion ends here, long before the stack does. */
export function nested<T>(body: () => T): T {
  if (macros >= MACRO_DEPTH) {
    throw new TemplateError(`The chat template's macros call each other ${MACRO_DEPTH} levels deep`)
  }
  macros += 1
  try {
    return body()
  } finally {
    macros -= 1
  }
}
