// The control tokens of harmony by name, for gpt-oss's template, parser and family.
import type { PromptPiece } from '../../conversation.ts'

export const BEGIN = '<|startoftext|>'
export const EOS = '<|endoftext|>'
export const RETURN = '<|return|>'
export const CONSTRAIN = '<|constrain|>'
export const CHANNEL = '<|channel|>'
export const START = '<|start|>'
export const END = '<|end|>'
export const MESSAGE = '<|message|>'
export const CALL = '<|call|>'

export const CONTROL_TOKENS = [BEGIN, EOS, RETURN, CONSTRAIN, CHANNEL, START, END, MESSAGE, CALL]

/** A generation always ends with these, whatever generation_config says: old copies of it lack `<|call|>`. */
export const STOP_TOKENS = [RETURN, CALL, EOS]

export const control = (text: string): PromptPiece => ({ text, control: true })
export const plain = (text: string): PromptPiece => ({ text, control: false })

/** Reserved places of the vocabulary, which no text may show. */
export const SILENT_TOKENS = [
  ...[200000, 200001, 200004, 200009, 200010, 200011, 200013, 200014, 200015, 200016, 200017].map(
    (id) => `<|reserved_${id}|>`
  ),
  '<|endofprompt|>',
]
