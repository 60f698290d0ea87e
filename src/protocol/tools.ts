// Tools as the Responses API has them, told as the functions a model can call; routes/responses.ts asks.
import { z } from 'zod'
import { invalid } from '../errors.ts'
import { sourceOf, sourcesOf } from '../json.ts'
import { type ChatPrompt, NAME } from './chat.ts'
import { flatName } from './items.ts'

const name = z.string().regex(NAME, 'must be 1 to 64 letters, digits, _ or -')
const description = z.string().nullish()

const functionTool = z.looseObject({
  type: z.literal('function'),
  name,
  description,
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
})

const customTool = z.looseObject({
  type: z.literal('custom'),
  name,
  description,
  format: z
    .looseObject({
      type: z.enum(['text', 'grammar']),
      syntax: z.string().nullish(),
      definition: z.string().nullish(),
    })
    .nullish(),
})

/** Tools that OpenAI's servers run; here they are left out, and the response's `tools` shows it. */
const HOSTED = [
  'web_search',
  'web_search_2025_08_26',
  'web_search_preview',
  'web_search_preview_2025_03_11',
  'browser_search',
  'file_search',
  'computer',
  'computer_use_preview',
  'code_interpreter',
  'image_generation',
  'local_shell',
  'shell',
  'apply_patch',
  'mcp',
  'tool_search',
  'programmatic_tool_calling',
] as const

export const toolSchema = z.discriminatedUnion(
  'type',
  [
    functionTool,
    customTool,
    z.looseObject({
      type: z.literal('namespace'),
      name,
      tools: z.array(z.discriminatedUnion('type', [functionTool, customTool])).min(1),
    }),
    z.looseObject({ type: z.literal(HOSTED) }),
  ],
  { error: 'is no type of tool known here' }
)

export type WireTool = z.output<typeof toolSchema>
type Callable = z.output<typeof functionTool> | z.output<typeof customTool>

/** How a call of a function the model knows is shown to the caller. */
export interface CallForm {
  name: string
  namespace?: string
  custom: boolean
}

interface Offer extends CallForm {
  tool: Callable
  source: string
  place: string
}

export interface Offered {
  /** The chat body's own fields, and its text as far as tools are read from their source. */
  fields: Pick<ChatPrompt, 'tools' | 'tool_choice'>
  text: string
  /** By the name the model knows. */
  calls: Map<string, CallForm>
  /** The tools that are served, as the response repeats them. */
  shown: object[]
  ignored: string[]
  /** Where the request has each one's schema. */
  places: string[]
}

/** A custom tool's function has one argument; it is held to a regular expression, of other grammars the model is told. */
const customParameters = ({ format }: z.output<typeof customTool>): object => {
  const { syntax, definition } = format ?? {}
  const pattern = syntax === 'regex' && definition ? { pattern: `^(?:${definition})$` } : {}
  return {
    type: 'object',
    properties: {
      input: { type: 'string', description: "The tool's input, as plain text", ...pattern },
    },
    required: ['input'],
  }
}

const describe = (tool: z.output<typeof customTool>): string => {
  const { syntax, definition } = tool.format ?? {}
  const grammar = definition
    ? `Its input must follow this ${syntax ?? ''} grammar:\n${definition}`
    : ''
  return [tool.description ?? '', grammar].filter((text) => text !== '').join('\n\n')
}

/** One function in chat's form; of a caller's function each part keeps its source text. */
const chatSource = ({ tool, source, ...form }: Offer): string => {
  const called = `"name":${JSON.stringify(flatName(form.namespace, form.name))}`
  if (tool.type === 'custom') {
    const strict = tool.format?.syntax === 'regex' ? ',"strict":true' : ''
    return `{"type":"function","function":{${called},"description":${JSON.stringify(describe(tool))},"parameters":${JSON.stringify(customParameters(tool))}${strict}}}`
  }
  const parts = (['description', 'parameters', 'strict'] as const)
    .filter((key) => tool[key] !== undefined && tool[key] !== null)
    .map((key) => `"${key}":${sourceOf(source, [key]) ?? JSON.stringify(tool[key])}`)
  return `{"type":"function","function":{${[called, ...parts].join(',')}}}`
}

const placeOf = ({ type }: { type?: unknown }, tool: string): string =>
  type === 'custom' ? `${tool}.format.definition` : `${tool}.parameters`

const offersOf = (tools: WireTool[], text: string): Offer[] => {
  const inner = sourcesOf(text, ['extra_body', 'tools'])
  const sources = inner.length > 0 ? inner : sourcesOf(text, ['tools'])
  return tools.flatMap((tool, n): Offer[] => {
    const source = sources[n] ?? JSON.stringify(tool)
    if (tool.type === 'function' || tool.type === 'custom')
      return [
        {
          tool: tool as Callable,
          source,
          name: tool.name as string,
          custom: tool.type === 'custom',
          place: placeOf(tool, `tools[${n}]`),
        },
      ]
    if (tool.type !== 'namespace') return []
    const own = sourcesOf(source, ['tools'])
    return (tool.tools as Callable[]).map((one, at) => ({
      tool: one,
      source: own[at] ?? JSON.stringify(one),
      name: one.name,
      namespace: tool.name as string,
      custom: one.type === 'custom',
      place: placeOf(one, `tools[${n}].tools[${at}]`),
    }))
  })
}

interface WireChoice {
  type?: unknown
  name?: unknown
  mode?: unknown
  tools?: unknown
}

const isCallable = ({ type, name: called }: WireChoice): boolean =>
  (type === 'function' || type === 'custom') && typeof called === 'string'

/** `allowed_tools` narrows what is offered; every other choice leaves it. */
const narrowed = (choice: unknown, offers: Offer[]): { choice: unknown; offers: Offer[] } => {
  const { type, mode, tools } = (typeof choice === 'object' && choice ? choice : {}) as WireChoice
  if (type !== 'allowed_tools') return { choice, offers }
  if (!Array.isArray(tools) || (mode !== 'auto' && mode !== 'required'))
    throw invalid('tool_choice', `'tool_choice' of type allowed_tools needs 'mode' and 'tools'`)
  const names = new Set((tools as WireChoice[]).map((tool) => tool?.name))
  return { choice: mode, offers: offers.filter((offer) => names.has(offer.name)) }
}

const chatChoice = (choice: unknown, offers: Offer[]): unknown => {
  // Clients say auto whatever they offer.
  if (choice === 'auto' && offers.length === 0) return undefined
  const named = (typeof choice === 'object' && choice ? choice : {}) as WireChoice
  if (!isCallable(named)) return choice
  const offer = offers.find((one) => one.name === named.name)
  return {
    type: 'function',
    function: { name: offer ? flatName(offer.namespace, offer.name) : named.name },
  }
}

const echo = (tool: WireTool): object =>
  tool.type === 'function'
    ? { ...tool, strict: tool.strict ?? null, parameters: tool.parameters ?? null }
    : tool

/** What is offered of a request's tools, and how; with tool_choice none the model sees none. */
export const offeredOf = (tools: WireTool[], given: unknown, text: string): Offered => {
  const { choice, offers } = narrowed(given, offersOf(tools, text))
  const seen = choice === 'none' ? [] : offers
  const sources = seen.map(chatSource)
  const served = (tool: WireTool): boolean =>
    ['function', 'custom', 'namespace'].includes(tool.type as string)
  const chosen = chatChoice(choice, offers)
  return {
    fields: {
      ...(seen.length > 0
        ? {
            tools: sources.map(
              (source) => JSON.parse(source) as NonNullable<ChatPrompt['tools']>[0]
            ),
          }
        : {}),
      ...(chosen === undefined ? {} : { tool_choice: chosen }),
    },
    text: `{"tools":[${sources.join(',')}]}`,
    calls: new Map(
      seen.map(({ name: called, namespace, custom }) => [
        flatName(namespace, called),
        { name: called, custom, ...(namespace ? { namespace } : {}) },
      ])
    ),
    shown: tools.filter(served).map(echo),
    places: seen.map(({ place }) => place),
    ignored: tools.filter((tool) => !served(tool)).map((tool) => tool.type as string),
  }
}
