// Chat templates, rendered with @huggingface/jinja made to agree with Python's jinja2; families call it.
import { TemplateError } from './conversation.ts'
import { globals } from './jinja/globals.ts'
import { PythonInterpreter } from './jinja/interpreter.ts'
import { Scope } from './jinja/package.ts'
import type { StringLike, Value } from './jinja/package.ts'
import { parseTemplate } from './jinja/tokens.ts'
import { isArray, isDict, isString, rangesOf } from './jinja/values.ts'
import type { Ranges } from './jinja/values.ts'
import { bounded } from './jinja/work.ts'
import type { Limits } from './jinja/work.ts'

export { TemplateError } from './conversation.ts'
export { GLOBAL_NAMES } from './jinja/globals.ts'
export type { MapLike, Value } from './jinja/package.ts'
export { fromJson, fromJsonText } from './jinja/read.ts'
export { SPACE } from './jinja/python.ts'
export * as values from './jinja/values.ts'
export type { Limits } from './jinja/work.ts'

export interface Rendered {
  text: string
  /** `[start, end, …]` of what the template's own strings wrote; the rest is the caller's. */
  ranges: Ranges
}

export interface CompiledTemplate {
  render(variables: Record<string, Value>, options?: { limits?: Limits; now?: Date }): Rendered
}

/** Parses a template once; throws TemplateError where it is not valid. */
export function compileTemplate(source: string): CompiledTemplate {
  const program = guarded('cannot be parsed', () => parseTemplate(source))
  return {
    render(variables, options = {}) {
      const scope = new Scope()
      for (const [name, value] of globals(options.now ?? new Date())) scope.setVariable(name, value)
      for (const [name, value] of Object.entries(variables)) scope.setVariable(name, value)
      const limits = options.limits ?? limitsFor(Object.values(variables), source.length)
      return guarded('failed', () =>
        bounded(limits, () => {
          const text = new PythonInterpreter(scope).evaluate(program, scope) as StringLike
          return { text: text.value, ranges: rangesOf(text) }
        })
      )
    },
  }
}

/** Work a template may do for this input: enough for any sane one, and in proportion. */
export function limitsFor(variables: Value[], templateLength = 0): Limits {
  let values = 0
  let characters = 0
  const count = (value: Value): void => {
    values += 1
    if (isString(value)) characters += value.value.length
    else if (isArray(value)) value.value.forEach(count)
    else if (isDict(value)) {
      for (const [key, member] of value.value) {
        characters += String(key).length
        count(member)
      }
    }
  }
  variables.forEach(count)
  return {
    steps: 200_000 + 300 * values,
    characters: 4_000_000 + 64 * (characters + templateLength) + 2_000 * values,
  }
}

/** Turns whatever the package throws into a sentence about the template. */
function guarded<T>(what: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (error instanceof TemplateError) throw error
    if (error instanceof RangeError) {
      throw new TemplateError(`The chat template ${what}: it or its input nests too deeply`)
    }
    const reason = error instanceof Error ? error.message : String(error)
    throw new TemplateError(`The chat template ${what}: ${reason}`)
  }
}
