// What a request lets an answer call, and which calls follow their schema by construction; families' grammars ask.
import type { Conversation, Json, Tool } from '../conversation.ts'
import { preparedSchema } from './schema.ts'

/** A function an answer may call. */
export interface Callee {
  tool: Tool
  /** The prepared schema its arguments are held to, and where the request has it; undefined leaves them free. */
  held?: { schema: Json; param: string }
}

/** Whether the answer has to be a call. */
export const mustCall = ({ toolChoice }: Conversation): boolean =>
  toolChoice === 'required' || typeof toolChoice === 'object'

/** Functions that may be called, by the names the family gives them; throws 400 for a schema that cannot be held. */
export const calleesOf = (
  conversation: Conversation,
  nameOf: (tool: Tool) => string = ({ name }) => name
): Callee[] => {
  const { tools, toolChoice } = conversation
  if (toolChoice === 'none') return []
  return tools
    .filter((tool) => typeof toolChoice !== 'object' || nameOf(tool) === toolChoice.name)
    .map((tool): Callee => {
      if (tool.strict !== true && !mustCall(conversation)) return { tool }
      const { parameters = { type: 'object' }, param = 'tools' } = tool
      return { tool, held: { schema: preparedSchema(parameters, param), param } }
    })
}
