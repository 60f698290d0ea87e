// Which parser reads a choice's output under the server's settings; routes/chat.ts asks.
import type { Conversation, Family, ParserStart } from '../conversation.ts'
import type { OutputParser, ParsedEvent } from '../events.ts'
import { plainParser } from '../run.ts'
import type { ModelSettings } from '../served.ts'

/** Puts the thought back into the text, in the tags the model wrote it in. */
const retagged = (
  parser: OutputParser,
  tags: Family['thoughtTags'],
  openInPrompt: boolean
): OutputParser => {
  let inside = openInPrompt
  const retag = (events: ParsedEvent[]): ParsedEvent[] =>
    events.flatMap((event): ParsedEvent[] => {
      const thought = event.type === 'reasoning'
      if (!thought && event.type === 'text' && event.text === '') return [event]
      const tag = thought === inside ? '' : thought ? tags.start : tags.end
      inside = thought
      if (thought) return [{ ...event, type: 'text', text: tag + event.text }]
      if (event.type === 'text') return [{ ...event, text: tag + event.text }]
      return tag === '' ? [event] : [{ type: 'text', text: tag }, event]
    })
  const pushControl = parser.pushControl?.bind(parser)
  return {
    push: (text) => retag(parser.push(text)),
    ...(pushControl ? { pushControl: (name) => retag(pushControl(name)) } : {}),
    // It is a thought still, for those who count its tokens.
    get thinking() {
      return parser.thinking
    },
    finish: (reason) => retag(parser.finish(reason)),
  }
}

export const parserOf = (
  family: Family,
  conversation: Conversation,
  start: ParserStart,
  settings: ModelSettings
): OutputParser => {
  const calls = settings.toolCallParser !== 'none'
  const thoughts = settings.reasoningParser !== 'none'
  if (!calls && !thoughts) return plainParser()
  const { tools, toolChoice, continueFinalMessage: continues } = conversation
  const parser = family.parser(
    calls
      ? { start, tools, toolChoice, continues }
      : { start, tools: [], toolChoice: 'none', continues }
  )
  return thoughts ? parser : retagged(parser, family.thoughtTags, start === 'reasoning')
}
