// From template text to a tree: the package's lexer and parser, with the few forms they lack spelled another way.
import type { LexerToken, Node } from './package.ts'
import { parse, tokenize } from './package.ts'
import { prepare } from './interpreter.ts'

const WORDS = new Set(['and', 'or', 'not', 'if', 'else', 'in', 'is'])
const token = (type: string, value: string): LexerToken => ({ type, value })

/**
 * `x is divisibleby(3)` and `x is in [1, 2]`: the parser knows tests without an argument only.
 * They become filters with the name "is divisibleby", which bind just as tightly.
 */
function testsWithArguments(tokens: LexerToken[]): LexerToken[] {
  const out: LexerToken[] = []
  for (let i = 0; i < tokens.length; i += 1) {
    const here = tokens[i]!
    const negated = isWord(tokens[i + 1], 'not')
    const name = tokens[i + (negated ? 2 : 1)]
    const start = i + (negated ? 3 : 2)
    if (!isWord(here, 'is') || name?.type !== 'Identifier') {
      out.push(here)
      continue
    }
    const end = operandEnd(tokens, start)
    if (end === start) {
      out.push(here)
      continue
    }
    out.push(token('Pipe', '|'), token('Identifier', `is ${negated ? 'not ' : ''}${name.value}`))
    const operand = testsWithArguments(tokens.slice(start, end))
    const wrapped = tokens[start]!.type === 'OpenParen'
    out.push(
      ...(wrapped ? operand : [token('OpenParen', '('), ...operand, token('CloseParen', ')')])
    )
    i = end - 1
  }
  return out
}

function isWord(at: LexerToken | undefined, word: string): boolean {
  return at?.type === 'Identifier' && at.value === word
}

/** Where the operand of a test that starts at `start` ends; `start` itself when there is none. */
function operandEnd(tokens: LexerToken[], start: number): number {
  const first = tokens[start]
  switch (first?.type) {
    case 'StringLiteral':
    case 'NumericLiteral':
      return start + 1
    case 'OpenParen':
      return groupEnd(tokens, start)
    case 'OpenSquareBracket':
    case 'OpenCurlyBracket':
      return groupEnd(tokens, start)
    case 'Identifier':
      return WORDS.has(first.value) ? start : pathEnd(tokens, start + 1)
    default:
      return start
  }
}

function pathEnd(tokens: LexerToken[], from: number): number {
  let at = from
  for (;;) {
    if (tokens[at]?.type === 'Dot') at += 2
    else if (tokens[at]?.type === 'OpenSquareBracket') at = groupEnd(tokens, at)
    else return at
  }
}

function groupEnd(tokens: LexerToken[], start: number): number {
  let depth = 0
  for (let at = start; at < tokens.length; at += 1) {
    const { type } = tokens[at]!
    if (/^Open(Paren|SquareBracket|CurlyBracket)$/.test(type)) depth += 1
    if (/^Close(Paren|SquareBracket|CurlyBracket)$/.test(type)) depth -= 1
    if (depth === 0) return at + 1
  }
  return start
}

/** `(x,)` and `(x, y,)`: the parser wants an expression after each comma. */
function trailingCommas(tokens: LexerToken[]): LexerToken[] {
  const out: LexerToken[] = []
  const open: { at: number; call: boolean; commas: number }[] = []
  tokens.forEach((here, i) => {
    const group = open.at(-1)
    if (/^Open(Paren|SquareBracket|CurlyBracket)$/.test(here.type)) {
      const before = tokens[i - 1]
      const callee = before && /^(Identifier|CloseParen|CloseSquareBracket)$/.test(before.type)
      const call = here.type !== 'OpenParen' || (callee === true && !WORDS.has(before!.value))
      if (!call && tokens[i + 1]?.type === 'CloseParen') {
        out.push(here, token('OpenSquareBracket', '['), token('CloseSquareBracket', ']'))
        out.push(token('Pipe', '|'), token('Identifier', 'empty-tuple'))
        open.push({ at: out.length, call: true, commas: 0 })
        return
      }
      open.push({ at: out.length, call, commas: 0 })
    } else if (here.type === 'Comma' && group) {
      group.commas += 1
      if (tokens[i + 1]?.type === 'CloseParen' && !group.call) {
        if (group.commas === 1) {
          out.splice(group.at, 0, token('OpenParen', '('))
          out.push(token('CloseParen', ')'), token('Pipe', '|'), token('Identifier', 'one-tuple'))
        }
        return
      }
    } else if (/^Close(Paren|SquareBracket|CurlyBracket)$/.test(here.type)) open.pop()
    out.push(here)
  })
  return out
}

export function parseTemplate(source: string): Node {
  const text = source.replace(/\r\n?/g, '\n')
  const tokens = tokenize(text, { lstrip_blocks: true, trim_blocks: true })
  const program = parse(trailingCommas(testsWithArguments(tokens)))
  prepare(program)
  return program
}
