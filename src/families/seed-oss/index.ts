// Seed-OSS as a family: its template, parser, control tokens and the markers of its thought.
import type { Family } from '../../conversation.ts'
import { constraint } from './constraint.ts'
import { createParser } from './parser.ts'
import { seedOssTemplate } from './template.ts'
import {
  BOS,
  CALL,
  CALL_END,
  CONTROL_TOKENS,
  EOS,
  PAD,
  REFLECT,
  REFLECT_END,
  THINK,
  THINK_END,
} from './tokens.ts'

const EXHAUSTED = 'I have exhausted my token budget, and now I will start answering the question.'

export const seedOss: Family = {
  name: 'seed-oss',
  controlTokens: CONTROL_TOKENS,
  silentTokens: [BOS, PAD, EOS],
  stopTokens: [EOS],
  thought: {
    start: THINK,
    end: THINK_END,
    reflectStart: REFLECT,
    reflectEnd: REFLECT_END,
    callStart: CALL,
    callEnd: CALL_END,
    closing: `\n${REFLECT}${EXHAUSTED}${REFLECT_END}\n${THINK_END}`,
    closingInReflection: `${REFLECT_END}\n${THINK_END}`,
    closingHard: THINK_END,
    once: true,
    knowsEfforts: false,
  },
  thoughtTags: { start: THINK, end: THINK_END },
  template: seedOssTemplate,
  constraint,
  parser: createParser,
}
