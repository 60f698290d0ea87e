// The grammar of a whole gpt-oss reply: harmony's envelope with the request's own functions in it, and what is asked of
// arguments and answer. routes/chat.ts has it compiled.
import type { ConstraintRequest, Conversation } from '../../conversation.ts'
import { calleesOf, mustCall } from '../../grammar/calls.ts'
import { json, shapeRules, TEXT } from '../../grammar/lark.ts'
import { CALL, CHANNEL, CONSTRAIN, END, MESSAGE, RETURN, START } from './tokens.ts'
import { BUILTIN, nameOf } from './tools.ts'

/** Builtin tools the template offers, which are called in the analysis channel. */
const builtinsOf = ({ templateVariables, toolChoice }: Conversation): string[] => {
  const names = templateVariables.builtin_tools
  if (!Array.isArray(names) || toolChoice === 'none') return []
  return names.map(String).flatMap((name) => {
    const tools = Object.hasOwn(BUILTIN, name) ? BUILTIN[name]!.tools : []
    return tools.length > 0 ? tools.map((tool) => `${name}.${tool.name}`) : [name]
  })
}

/**
 * Follows "Rules for ours" of the harmony format: `analysis` and preambles, then `final` or calls; both places of a
 * recipient; headers as the tokens of their words, so that a word has one spelling.
 */
export const constraint = async (request: ConstraintRequest): Promise<string | undefined> => {
  const { conversation, start, guard, ids } = request
  const { toolChoice, answer, parallelToolCalls } = conversation
  const calls = calleesOf(conversation, nameOf)
  const builtins = typeof toolChoice === 'object' ? [] : builtinsOf(conversation)
  const must = mustCall(conversation)
  const asked = answer !== undefined || must || calls.some(({ held }) => held)
  if (!asked && !guard) return undefined

  const [analysis, commentary, final] = await Promise.all(
    ['analysis', 'commentary', 'final'].map((name) => ids(name))
  )
  const [assistant, space, code, format, spaced] = await Promise.all(
    ['assistant', ' ', ' code', 'json', ' json'].map((word) => ids(word))
  )
  const recipients = await Promise.all(
    calls.map(({ tool }) => ids(` to=functions.${nameOf(tool)}`))
  )
  const builtinRecipients = await Promise.all(builtins.map((name) => ids(` to=${name}`)))
  const rules = [
    `cont: ${START} ${assistant}`,
    `analysis: ${CHANNEL} ${analysis} ${MESSAGE} TEXT ${END}`,
    `preamble: ${CHANNEL} ${commentary} ${MESSAGE} TEXT ${END}`,
    `type: ((${space})? ${CONSTRAIN} ${format} | ${spaced})?`,
    `final: ${CHANNEL} ${final} type ${MESSAGE} answer ${RETURN}`,
    answer ? shapeRules(answer, 'answer') : 'answer: TEXT',
    TEXT,
    ...calls.map(({ held }, at) => {
      const to = recipients[at]
      const args = held ? json(held.schema) : 'TEXT'
      return (
        `call_${at}: (${to} ${CHANNEL} ${commentary} | ${CHANNEL} ${commentary} ${to}) type ` +
        `${MESSAGE} args_${at} ${CALL}\nargs_${at}: ${args}`
      )
    }),
    ...builtins.map(
      (_, at) =>
        `builtin_${at}: (${builtinRecipients[at]} ${CHANNEL} (${analysis} | ${commentary}) | ` +
        `${CHANNEL} (${analysis} | ${commentary}) ${builtinRecipients[at]}) ((${code}) | type) ` +
        `${MESSAGE} TEXT ${CALL}`
    ),
  ]
  const functions = calls.map((_, at) => `call_${at}`)
  const called = [...functions, ...builtins.map((_, at) => `builtin_${at}`)]
  if (called.length > 0) rules.push(`call: ${called.join(' | ')}`)
  // Only another function call may follow one.
  const more =
    parallelToolCalls && functions.length > 0 ? ` (cont (${functions.join(' | ')}))*` : ''
  const ends = [...(must ? [] : ['final']), ...(called.length > 0 ? [`call${more}`] : [])]
  rules.push(`last: ${ends.join(' | ')}`)
  const before = must || answer ? '(analysis cont)*' : '((analysis | preamble) cont)*'
  const whole = `${before} last`
  const begun = {
    auto: whole,
    reasoning: `TEXT ${END} cont ${whole}`,
    content: `answer ${RETURN}`,
  }
  return [`start: ${begun[start]}`, ...rules].join('\n')
}
