// Reads the header of a harmony message, however malformed: whom it is for and on which channel. parser.ts asks.
import { CHANNEL, CONSTRAIN } from './tokens.ts'

export type Channel = 'analysis' | 'commentary' | 'final'

export interface Header {
  channel: Channel
  /** Whom the message calls: `functions.name`, `browser.search`, `python`. */
  recipient: string | undefined
  /** What is written in it that no header says, from its first word on. */
  rest: string
  /** How many words that is; a single one is the content's type. */
  words: number
}

/** A header's parts in order; control tokens are told by `control`, never by their spelling. */
export interface HeaderPart {
  text: string
  control: boolean
}

const KNOWN: readonly Channel[] = ['analysis', 'commentary', 'final']
const ROLES = /^(?:\s*assistant)+(?![a-z])/
const NO_RECIPIENTS = new Set(['', 'user', 'all', 'assistant', 'functions', 'functions.'])
/** Where a bare word may name a tool. */
const NAMESPACED = /^(?:functions|browser)\.[\w-]|^python$/

interface Words {
  recipient: string | undefined
  rest: string
  words: number
}

/**
 * Reads the words after role, channel or type. With `bare` a tool's name needs no `to=`; where the header was not
 * closed, what follows its first other word is content.
 */
function readWords(text: string, closed: boolean, bare: boolean): Words {
  const found: Words = { recipient: undefined, rest: '', words: 0 }
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    const recipient = !closed && found.words > 0 ? undefined : recipientIn(word, bare)
    if (recipient !== undefined) found.recipient = recipient
    else {
      if (found.words === 0) found.rest = text.slice(index)
      found.words += 1
    }
  }
  return found
}

/** A recipient without what cannot be of its name; undefined where the word names none. */
function recipientIn(word: string, bare: boolean): string | undefined {
  if (word.startsWith('to=')) return /^[\w.:/-]*/.exec(word.slice(3))![0]
  return bare && NAMESPACED.test(word) ? /^[\w.-]*/.exec(word)![0] : undefined
}

/** The channel a word names, and what is glued to it; unknown ones are the nearest, else final. */
function channelIn(text: string): { channel: Channel; after: string; known: boolean } {
  const [, word = '', behind = ''] = /^\s*(\S*)([^]*)$/.exec(text)!
  const lower = word.toLowerCase()
  const whole = KNOWN.find((name) => lower.startsWith(name))
  if (whole) return { channel: whole, after: word.slice(whole.length) + behind, known: true }
  const begun = lower === '' ? undefined : KNOWN.find((name) => name.startsWith(lower))
  return { channel: begun ?? 'final', after: behind, known: begun !== undefined || lower === '' }
}

/** Cuts the parts into the role's text and that of each channel and type. */
function sections(parts: readonly HeaderPart[]): { after: string; text: string }[] {
  const found = [{ after: '', text: '' }]
  for (const { text, control } of parts) {
    if (control && (text === CHANNEL || text === CONSTRAIN)) found.push({ after: text, text: '' })
    else if (!control) found.at(-1)!.text += text
  }
  return found
}

/** Whether text is an assistant's role and nothing else. */
export const isRole = (text: string): boolean => text.replace(ROLES, '').trim() === ''

/**
 * With `started` it follows a `<|start|>` and begins with a role: of any but the assistant nothing is a call.
 * With `closed` a `<|message|>` ended it: then an unknown channel's name is no text.
 */
export function readHeader(
  parts: readonly HeaderPart[],
  { started, closed }: { started: boolean; closed: boolean }
): Header {
  const header: Header = { channel: 'final', recipient: undefined, rest: '', words: 0 }
  let foreign = false
  for (const { after, text } of sections(parts)) {
    let said = text
    if (after === '') {
      foreign = started && !isRole(text) && !/^\s*(?:assistant|to=)/.test(text)
      said = foreign && closed ? '' : text.replace(ROLES, '')
    } else if (after === CHANNEL) {
      const { channel, after: behind, known } = channelIn(text)
      header.channel = channel
      said = known || closed ? behind : text
    }
    // Without `<|message|>` the content may be glued to its type.
    if (after === CONSTRAIN) said = said.replace(closed ? /^\s*\S*/ : /^\s*\w*/, '')
    const bare = closed && after !== '' && header.channel !== 'final'
    const { recipient, rest, words } = readWords(said, closed, bare)
    if (recipient !== undefined) header.recipient = recipient
    header.rest += rest
    header.words += words
  }
  const { recipient } = header
  const none = foreign || recipient === undefined || NO_RECIPIENTS.has(recipient)
  return none ? { ...header, recipient: undefined } : header
}
