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

/** One scope of variables: the package's Environment as far as it and we look into it. */
export class Scope {
  readonly variables = new Map<string, Value>()
  readonly parent: Scope | undefined

  constructor(parent?: Scope) {
    this.parent = parent
  }

  setVariable(name: string, value: Value): Value {
    this.variables.set(name, value)
    return value
  }
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

/** TupleValue comes out of a tiny evaluation, NamespaceValue out of a call. */
const scratch = new Environment()
const tupleOf = parse(tokenize('{{ (1, 2) }}', { lstrip_blocks: true, trim_blocks: true }))
export const TupleValue = new Interpreter(scratch).evaluate(tupleOf['body'][0] as Node, scratch)
  .constructor as new (value?: Value[]) => ArrayLike

export const NamespaceValue = (scratch.variables.get('namespace') as FunctionLike).value(
  [],
  scratch
).constructor as new (value: Map<Key, Value>) => MapLike

/** Every node's common ancestor class: our own nodes carry its prototype so the package walks into them. */
export const statementPrototype: object = Object.getPrototypeOf(
  Object.getPrototypeOf(tupleOf) as object
) as object
