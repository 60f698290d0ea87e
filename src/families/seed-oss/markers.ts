// Finds the markers of Seed-OSS output in text that is still arriving; the parser's states ask.
import { CALL, CALL_END, THINK, THINK_END } from './tokens.ts'

export const FUNCTION = '<function='
export const FUNCTION_END = '</function>'
export const PARAMETER = '<parameter='
export const PARAMETER_END = '</parameter>'

/** The markers that count, by where the parser is. */
export const IN_BODY = [PARAMETER, FUNCTION_END, CALL_END, FUNCTION, CALL]
export const IN_VALUE = [PARAMETER_END, FUNCTION_END, CALL_END]
export const IN_BLOCK = [FUNCTION]
export const IN_MENTIONED_BLOCK = [CALL_END, THINK_END]
export const AFTER_FUNCTION = [FUNCTION, CALL_END, CALL]
export const ONLY_CALL = [CALL]
const ONLY_CALL_END = [CALL_END]
export const TAGS = [THINK, THINK_END]
export const TAGS_AND_CALLS = [THINK, THINK_END, CALL, CALL_END, FUNCTION]
export const TAGS_AND_MENTIONS = [THINK, THINK_END, CALL]

const LONGEST = CALL_END.length

/** Text up to `at`, then a marker; '' is what may still become one, null is the end of the text. */
export interface Cut {
  at: number
  marker: string | null
}

/** What can follow the `<` of a marker: most that is no marker is known by it. */
const SECOND = new Set('/fps')

/** The marker at the `<` at `at`, '' where the text ends inside of one, null where there is none. */
export function markerAt(text: string, at: number, markers: readonly string[]): string | null {
  const left = text.length - at
  if (text[at] !== '<') return null
  if (left === 1) return ''
  if (!SECOND.has(text[at + 1]!)) return null
  for (const marker of markers) if (text.startsWith(marker, at)) return marker
  if (left >= LONGEST) return null
  const rest = text.slice(at)
  for (const marker of markers) if (marker.startsWith(rest)) return ''
  return null
}

/** Cuts text at its first marker; with `final` nothing can become a marker any more. */
export function cut(text: string, from: number, markers: readonly string[], final: boolean): Cut {
  for (let at = text.indexOf('<', from); at >= 0; at = text.indexOf('<', at + 1)) {
    const marker = markerAt(text, at, markers)
    if (marker !== null && (marker !== '' || !final)) return { at, marker }
  }
  return { at: text.length, marker: null }
}

/** White space as Python's `strip` and so the template's `trim` sees it. */
export function isBlank(code: number): boolean {
  if (code <= 0x20)
    return code === 0x20 || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f)
  if (code < 0x1680) return code === 0x85 || code === 0xa0
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

/** Where the white space that starts at `at` ends. */
export function blankEnd(text: string, at: number, limit = text.length): number {
  let end = at
  while (end < limit && isBlank(text.charCodeAt(end))) end += 1
  return end
}

/** Where text without its trailing white space ends. */
export function inkEnd(text: string, from: number): number {
  let end = text.length
  while (end > from && isBlank(text.charCodeAt(end - 1))) end -= 1
  return end
}

/** Names longer than this are no names, so that a header that never ends is not held back for ever. */
const MAX_NAME = 128
/** White space allowed between `</function>` and `</seed:tool_call>` where `</parameter>` is missing. */
const MAX_GAP = 16

/** Where the name at `at` ends: -1 while it may go on, Infinity if it never does. */
export function nameEnd(text: string, at: number, final: boolean): number {
  const limit = at + MAX_NAME
  for (let end = at; end < limit && end < text.length; end += 1) {
    const mark = text[end]
    if (mark === '>' || mark === '<' || mark === '\n') return end
  }
  return text.length >= limit || final ? Infinity : -1
}

/** Whether nothing but the end of the block, or of the output, follows `</function>`; null while undecided. */
export function callEndsAt(text: string, from: number, final: boolean): boolean | null {
  const end = blankEnd(text, from, Math.min(text.length, from + MAX_GAP))
  if (end === text.length) return final || null
  const marker = markerAt(text, end, ONLY_CALL_END)
  if (marker === '' && !final) return null
  return marker === CALL_END
}
