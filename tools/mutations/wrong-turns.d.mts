// What test/mutations.test.ts sees of wrong-turns.mjs.
export interface WrongTurn {
  name: string
  file: string
  find: string
  replace: string
  fails: string[]
}

export const WRONG_TURNS: WrongTurn[]
