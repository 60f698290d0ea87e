// A list of things that each have options of their own, such as the models of one server; options.ts has it.
import { type Kind, parsedJson } from './kinds.ts'
import { fromObject } from './read.ts'
import type { Schema, Values } from './schema.ts'

const shape = (opens: string): Error =>
  new Error(`expected a list, of which each is text or an object that has "${opens}"`)

/** Each is an object of `own`, or the text of `opens` alone. */
export const several = <S extends Schema>(own: S, opens: string): Kind<Partial<Values<S>>[]> => ({
  placeholder: 'JSON',
  shape: 'one',
  read(given) {
    return this.fromJson(parsedJson(given))
  },
  fromJson(value) {
    if (!Array.isArray(value) || value.length === 0) throw shape(opens)
    return value.map((one: unknown) => {
      const json = typeof one === 'string' ? { [opens]: one } : one
      if (typeof json !== 'object' || json === null || Array.isArray(json)) throw shape(opens)
      const options = fromObject(own, json)
      if (options[opens] === undefined) throw shape(opens)
      return options as Partial<Values<S>>
    })
  },
})
