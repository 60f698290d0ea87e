// The arguments of a call to a filter, test, method or global: positional ones, named ones and their types.
import { TemplateError } from '../conversation.ts'
import type { Key, StringLike, Value } from './package.ts'
import {
  elementsOf,
  isDict,
  isInteger,
  isBoolean,
  isNull,
  isString,
  isUndefined,
  truth,
  typeName,
} from './values.ts'
import { spendSteps } from './work.ts'

export class Arguments {
  readonly callee: string
  readonly positional: Value[]
  readonly named: Map<Key, Value>

  constructor(callee: string, positional: Value[], named: Map<Key, Value> = new Map()) {
    this.callee = callee
    this.positional = positional
    this.named = named
  }

  /** From the package's calling convention: named arguments come last, in a value of their own. */
  static ofCall(callee: string, args: Value[]): Arguments {
    const last = args.at(-1)
    if (last?.type !== 'KeywordArgumentsValue' || !isDict(last)) return new Arguments(callee, args)
    return new Arguments(callee, args.slice(0, -1), last.value)
  }

  get(index: number, name: string): Value | undefined {
    return this.positional[index] ?? this.named.get(name)
  }

  require(index: number, name: string): Value {
    const value = this.get(index, name)
    if (!value) throw new TemplateError(`${this.callee}() needs an argument '${name}'`)
    return value
  }

  /** Absent and None give undefined. */
  text(index: number, name: string): StringLike | undefined {
    const value = this.get(index, name)
    if (!value || isNull(value) || isUndefined(value)) return undefined
    if (isString(value)) return value
    throw this.wrong(name, 'text', value)
  }

  requireText(index: number, name: string): StringLike {
    const value = this.require(index, name)
    if (isString(value)) return value
    throw this.wrong(name, 'text', value)
  }

  integer(index: number, name: string): number | undefined {
    const value = this.get(index, name)
    if (!value || isNull(value)) return undefined
    if (isInteger(value) || isBoolean(value)) return Number(value.value)
    throw this.wrong(name, 'an integer', value)
  }

  flag(index: number, name: string, otherwise = false): boolean {
    const value = this.get(index, name)
    return value ? truth(value) : otherwise
  }

  wrong(name: string, wanted: string, value: Value): TemplateError {
    return new TemplateError(
      `${this.callee}() wants ${wanted} for '${name}', not ${typeName(value)}`
    )
  }
}

/** The elements of an operand that Python would iterate over, counted as work. */
export function iterate(callee: string, value: Value): Value[] {
  const elements = elementsOf(value)
  if (!elements)
    throw new TemplateError(`${callee} cannot go through a value of type ${typeName(value)}`)
  spendSteps(elements.length)
  return elements
}
