// The one place that touches @huggingface/jinja: its parser, its classes and the few members we rely on, typed.
import * as jinja from '@huggingface/jinja'

/** A value at run time; `type` names its class ("StringValue", "TupleValue", …). */
export interface Value {
  readonly type: string
  readonly value: unknown
  __bool__(): { value: boolean }
}
export interface StringLike extends Value {
  readonly value: string
}
/** IntegerValue holds a BigInt where a number cannot hold it exactly. */
export interface NumberLike extends Value {
  readonly value: number | bigint
}
export interface ArrayLike extends Value {
  readonly value: Value[]
}
export type Key = string | number | bigint | null
export interface MapLike extends Value {
  readonly value: Map<Key, Value>
}
export type Call = (args: Value[], scope: Scope) => Value
export interface FunctionLike extends Value {
  readonly value: Call
}

/** The package's Environment: one scope of variables. */
export interface Scope {
  readonly variables: Map<string, Value>
  readonly parent?: Scope
  setVariable(name: string, value: Value): Value
}

/** A node of the parsed template; the fields depend on `type`. */
export interface Node {
  readonly type: string
  // The tree's classes are not exported by the package.
  // eslint-disable-next-line typescript/no-explicit-any
  readonly [field: string]: any
}
export interface LexerToken {
  value: string
  type: string
}

interface InterpreterLike {
  evaluate(node: Node | undefined, scope: Scope): Value
}

const { Environment, Interpreter, tokenize, parse } = jinja as unknown as {
  Environment: new (parent?: Scope) => Scope & { set(name: string, value: unknown): Value }
  Interpreter: new (scope: Scope) => InterpreterLike
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): LexerToken[]
  parse(tokens: LexerToken[]): Node
}

export { Interpreter as PackageInterpreter, parse, tokenize }

export function newScope(parent?: Scope): Scope {
  return new Environment(parent)
}

// The value classes are not exported: an Environment makes one of each.
function classOf<T extends Value>(sample: unknown): new (value?: T['value']) => T {
  return new Environment().set('sample', sample).constructor as new (value?: T['value']) => T
}
export const StringValue = classOf<StringLike>('')
export const IntegerValue = classOf<NumberLike>(1)
export const FloatValue = classOf<Value & { value: number }>(1.5)
export const BooleanValue = classOf<Value & { value: boolean }>(true)
export const NullValue = classOf<Value>(null)
export const UndefinedValue = classOf<Value>(undefined)
export const ArrayValue = classOf<ArrayLike>([])
export const ObjectValue = classOf<MapLike>({})
export const FunctionValue = classOf<FunctionLike>(() => null)

/** TupleValue and the classes of special calls come out of a tiny evaluation. */
const scratch = new Interpreter(newScope())
const tupleOf = parse(tokenize('{{ (1, 2) }}', { lstrip_blocks: true, trim_blocks: true }))
export const TupleValue = scratch.evaluate(tupleOf['body'][0] as Node, newScope())
  .constructor as new (value?: Value[]) => ArrayLike

/** Every node's common ancestor class: our own nodes carry its prototype so the package walks into them. */
export const statementPrototype: object = Object.getPrototypeOf(
  Object.getPrototypeOf(tupleOf) as object
) as object
