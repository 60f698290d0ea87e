// gpt-oss as a family: harmony's template, its parser and its control tokens.
import type { Family } from '../../conversation.ts'
import { constraint } from './constraint.ts'
import { createParser } from './parser.ts'
import { gptOssTemplate, type GptOssOptions } from './template.ts'
import {
  BEGIN,
  CALL,
  CHANNEL,
  CONTROL_TOKENS,
  END,
  MESSAGE,
  SILENT_TOKENS,
  START,
  STOP_TOKENS,
} from './tokens.ts'

/** The day it is where the server runs, as harmony writes it. */
const today = (): string => {
  const now = new Date()
  const two = (n: number): string => `${n}`.padStart(2, '0')
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`
}

/** `currentDate` pins the date that prompts give. */
export const gptOssFamily = (options: Partial<GptOssOptions> = {}): Family => ({
  name: 'gpt-oss',
  controlTokens: CONTROL_TOKENS,
  silentTokens: [BEGIN, ...SILENT_TOKENS],
  stopTokens: STOP_TOKENS,
  thought: {
    // A message on this channel to a tool is no thought: its header says more.
    start: `${START}assistant${CHANNEL}analysis${MESSAGE}`,
    startUntilChoice: `${START}assistant${CHANNEL}`,
    end: END,
    closing: END,
    closingInReflection: END,
    closingHard: END,
    afterClosing: `${START}assistant${CHANNEL}final${MESSAGE}`,
    afterClosingWithTools: `${START}assistant${CHANNEL}`,
    once: false,
    knowsEfforts: true,
    content: MESSAGE,
    contentEnds: `${START}${CHANNEL}${END}`,
  },
  thoughtTags: { start: `${CHANNEL}analysis${MESSAGE}`, end: END },
  // Harmony is the only prompt these models know; the checkpoint's own template is left aside.
  template: () => gptOssTemplate({ currentDate: today, ...options }),
  nextCall: { after: CALL, until: MESSAGE },
  constraint,
  parser: createParser,
})

export const gptOss: Family = gptOssFamily()
