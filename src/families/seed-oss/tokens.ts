// The control tokens of Seed-OSS by name, for its template, parser and constraint.
import type { PromptPiece } from '../../conversation.ts'

export const BOS = '<seed:bos>'
export const PAD = '<seed:pad>'
export const EOS = '<seed:eos>'
export const THINK = '<seed:think>'
export const THINK_END = '</seed:think>'
export const REFLECT = '<seed:cot_budget_reflect>'
export const REFLECT_END = '</seed:cot_budget_reflect>'
export const CALL = '<seed:tool_call>'
export const CALL_END = '</seed:tool_call>'

export const CONTROL_TOKENS = [
  BOS,
  PAD,
  EOS,
  THINK,
  THINK_END,
  REFLECT,
  REFLECT_END,
  CALL,
  CALL_END,
]

const CONTROL = new RegExp(CONTROL_TOKENS.join('|'), 'g')

/** Cuts a text at the control tokens in `[start, end, …]` of it; elsewhere their spelling is only text. */
export function cutAtControls(text: string, ranges: readonly number[]): PromptPiece[] {
  const pieces: PromptPiece[] = []
  let at = 0
  for (let i = 0; i < ranges.length; i += 2) {
    const start = ranges[i]!
    for (const match of text.slice(start, ranges[i + 1]).matchAll(CONTROL)) {
      const from = start + match.index
      if (from > at) pieces.push({ text: text.slice(at, from), control: false })
      pieces.push({ text: match[0], control: true })
      at = from + match[0].length
    }
  }
  if (at < text.length) pieces.push({ text: text.slice(at), control: false })
  return pieces
}
