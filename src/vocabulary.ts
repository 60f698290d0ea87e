// The o200k_harmony vocabulary, by token id, where no model is loaded; `parse` reads ids with it.
import { loadAddon } from './addon.ts'

export interface VocabularyToken {
  bytes: Uint8Array
  control: boolean
}

let tokens: ((id: number) => VocabularyToken | undefined) | undefined

const read = (): NonNullable<typeof tokens> => {
  const { bytes, offsets, control } = loadAddon().harmonyVocabulary()
  const special = new Set(control)
  return (id) => {
    const [start, end] = [offsets[id], offsets[id + 1]]
    if (start === undefined || end === undefined) return undefined
    return { bytes: bytes.subarray(start, end), control: special.has(id) }
  }
}

/** A token's bytes, a control token's its name; undefined where there is no such token. */
export const harmonyToken = (id: number): VocabularyToken | undefined => (tokens ??= read())(id)
