// The wrong turns of tools/mutations still fit the sources; npm run test:mutations builds and runs them.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { WRONG_TURNS } from '../tools/mutations/wrong-turns.mjs'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

describe('wrong turns', () => {
  test.each(WRONG_TURNS)('$name: its expression stands in $file once', (turn) => {
    expect(read(turn.file).split(turn.find)).toHaveLength(2)
    expect(turn.replace).not.toBe(turn.find)
  })

  test('are built in together, so no expression is a part of another', () => {
    const parts = WRONG_TURNS.flatMap(({ file, find, name }) =>
      WRONG_TURNS.some(
        (other) => other.file === file && other.find !== find && other.find.includes(find)
      )
        ? [name]
        : []
    )
    expect(parts).toEqual([])
  })

  test('have names of their own and tests that are there', () => {
    const names = WRONG_TURNS.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    for (const path of new Set(WRONG_TURNS.flatMap(({ fails }) => fails))) {
      const [binary, name] = path.split('::')
      expect(read(`crates/engine/tests/${binary}.rs`)).toContain(`\nfn ${name}() {`)
    }
  })
})
