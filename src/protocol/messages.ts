// The messages of a chat body: their schema by role, and the plain messages families read. protocol/chat.ts asks.
import { z } from 'zod'
import type { Message, ToolCall } from '../conversation.ts'

const unserved = (what: string) =>
  z.never({ error: `${what} is not supported: this model reads text only` })

const text = z.looseObject({ type: z.literal('text'), text: z.string() })
export const refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() })

/** Kinds of content that exist in the API and not here are refused by their name. */
export const refusedPart = (type: string, what: string) =>
  z.looseObject({ type: z.literal(type), [type]: z.unknown().optional() }).refine(() => false, {
    error: `${what} are not supported: this model reads text only`,
    path: ['type'],
  })

export const partError = { error: `must be 'text': this model reads text only` }

const part = z.discriminatedUnion(
  'type',
  [
    text,
    refusal,
    refusedPart('image_url', 'images'),
    refusedPart('input_audio', 'audio parts'),
    refusedPart('file', 'files'),
    refusedPart('video_url', 'videos'),
    refusedPart('audio_url', 'audio parts'),
  ],
  partError
)

const content = z.union([z.string(), z.array(part)])

const call = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function', { error: `must be 'function'` }).nullish(),
  function: z.looseObject({
    name: z.string().min(1, 'must not be empty'),
    arguments: z.string().nullish(),
  }),
})

const plain = <Role extends string>(role: Role) =>
  z.looseObject({ role: z.literal(role), content, name: z.string().nullish() })

const assistant = z.looseObject({
  role: z.literal('assistant'),
  content: content.nullish(),
  name: z.string().nullish(),
  refusal: z.string().nullish(),
  reasoning: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  tool_calls: z.array(call).nullish(),
  function_call: unserved(`'function_call'`).nullish(),
  audio: unserved('audio').nullish(),
})

const tool = z.looseObject({
  role: z.literal('tool'),
  content,
  name: z.string().nullish(),
  tool_call_id: z.string().nullish(),
})

export const messageSchema = z.discriminatedUnion(
  'role',
  [
    plain('system'),
    plain('developer'),
    plain('user'),
    assistant,
    tool,
    z.looseObject({ role: z.literal('function'), content, name: z.string() }),
  ],
  { error: 'must be one of system, developer, user, assistant, tool' }
)

type RequestMessage = z.output<typeof messageSchema>
type Content = z.output<typeof content>

const textOf = (value: Content | null | undefined): string | null => {
  if (value === null || value === undefined || typeof value === 'string') return value ?? null
  return value
    .map((one) => ('text' in one ? one.text : (one as { refusal?: unknown }).refusal))
    .filter((piece) => typeof piece === 'string')
    .join('\n')
}

const callsOf = (calls: z.output<typeof call>[]): ToolCall[] =>
  calls.map(({ id, function: { name, arguments: args } }) => ({
    ...(id ? { id } : {}),
    name,
    arguments: args?.trim() ? args : '{}',
  }))

const assistantOf = (message: z.output<typeof assistant>): Message => {
  const reasoning = message.reasoning ?? message.reasoning_content
  const calls = message.tool_calls ?? []
  return {
    role: 'assistant',
    content: textOf(message.content) ?? message.refusal ?? null,
    ...(message.name ? { name: message.name } : {}),
    ...(reasoning ? { reasoning } : {}),
    ...(calls.length > 0 ? { toolCalls: callsOf(calls) } : {}),
  }
}

const messageOf = (message: RequestMessage): Message => {
  if (message.role === 'assistant') return assistantOf(message)
  const plainMessage: Message = {
    role: message.role === 'function' ? 'tool' : message.role,
    content: textOf(message.content),
    ...(message.name ? { name: message.name } : {}),
  }
  if (message.role === 'tool' && message.tool_call_id)
    plainMessage.toolCallId = message.tool_call_id
  return plainMessage
}

export const messagesOf = (messages: RequestMessage[]): Message[] => messages.map(messageOf)
