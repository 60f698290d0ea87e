// The tools' sections of harmony's system and developer messages, its two builtin tools among them; template.ts asks.
import type { Tool } from '../../conversation.ts'
import { isMap, readJson, type Node } from './json.ts'
import { plainSchema } from './plain-schema.ts'
import { typeOf } from './schema.ts'

interface ShownTool {
  name: string
  description: string
  /** Null is a tool without arguments. */
  parameters: Node
}

export interface Namespace {
  name: string
  description?: string
  tools: ShownTool[]
}

/** As Rust's `lines`: no line after the last newline, none of a CR before one. */
const linesOf = (text: string): string[] => {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map((line, i) =>
    i < lines.length - 1 || text.endsWith('\n') ? line.replace(/\r$/, '') : line
  )
}

/** `# Tools` and what stands in each namespace, in the order of their names. */
export function toolsSection(namespaces: Namespace[]): string {
  const sorted = namespaces.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  return ['# Tools', ...sorted.map(namespaceSection)].join('\n\n')
}

function namespaceSection({ name, description = '', tools }: Namespace): string {
  const lines = [`## ${name}\n`]
  const mark = tools.length > 0 ? '// ' : ''
  lines.push(...linesOf(description).map((line) => mark + line))
  if (tools.length === 0) return lines.join('\n')
  lines.push(`namespace ${name} {\n`)
  for (const tool of tools) {
    lines.push(...linesOf(tool.description).map((line) => `// ${line}`))
    const argument = tool.parameters === null ? '' : `_: ${typeOf(tool.parameters, '')}`
    lines.push(`type ${tool.name} = (${argument}) => any;\n`)
  }
  lines.push(`} // namespace ${name}`)
  return lines.join('\n')
}

/** The caller's functions, read from their source, which keeps the order of properties. */
export const functionsOf = (tools: Tool[]): Namespace => ({
  name: 'functions',
  tools: tools.map(shownTool),
})

/** The name a model knows a tool by. */
export const nameOf = (tool: Tool): string => (tool.name === '' ? shownTool(tool).name : tool.name)

function shownTool(tool: Tool): ShownTool {
  const { name, description, parameters } = tool
  const source = tool.source || JSON.stringify({ name, description, parameters })
  const outer = readJson(source)
  const inner = isMap(outer) ? (outer.get('function') ?? outer) : null
  const text = (key: string): string => {
    const value = isMap(inner) ? inner.get(key) : undefined
    return typeof value === 'string' ? value : ''
  }
  const schema = isMap(inner) ? (inner.get('parameters') ?? null) : null
  return {
    name: name || text('name'),
    description: text('description'),
    parameters: schema === null ? null : plainSchema(schema),
  }
}

const schemaOf = (properties: object, required: string[] = []): Node =>
  readJson(JSON.stringify({ type: 'object', properties, required }))

const NUMBER = { type: 'number', default: -1 }
const STRING = { type: 'string' }

const BROWSER: Namespace = {
  name: 'browser',
  description: `Tool for browsing.
The \`cursor\` appears in brackets before each browsing display: \`[{cursor}]\`.
Cite information from the tool using the following format:
\`【{cursor}†L{line_start}(-L{line_end})?】\`, for example: \`【6†L9-L11】\` or \`【8†L3】\`.
Do not quote more than 10 words directly from the tool output.
sources=web (default: web)`,
  tools: [
    {
      name: 'search',
      description: 'Searches for information related to `query` and displays `topn` results.',
      parameters: schemaOf(
        { query: STRING, topn: { type: 'number', default: 10 }, source: STRING },
        ['query']
      ),
    },
    {
      name: 'open',
      description: `Opens the link \`id\` from the page indicated by \`cursor\` starting at line number \`loc\`, showing \`num_lines\` lines.
Valid link ids are displayed with the formatting: \`【{id}†.*】\`.
If \`cursor\` is not provided, the most recent page is implied.
If \`id\` is a string, it is treated as a fully qualified URL associated with \`source\`.
If \`loc\` is not provided, the viewport will be positioned at the beginning of the document or centered on the most relevant passage, if available.
Use this function without \`id\` to scroll to a new location of an opened page.`,
      parameters: schemaOf({
        id: { type: ['number', 'string'], default: -1 },
        cursor: NUMBER,
        loc: NUMBER,
        num_lines: NUMBER,
        view_source: { type: 'boolean', default: false },
        source: STRING,
      }),
    },
    {
      name: 'find',
      description:
        'Finds exact matches of `pattern` in the current page, or the page given by `cursor`.',
      parameters: schemaOf({ pattern: STRING, cursor: NUMBER }, ['pattern']),
    },
  ],
}

const PYTHON: Namespace = {
  name: 'python',
  description: `Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when creating plots, tables, or files).

When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on the cluster.`,
  tools: [],
}

export const BUILTIN: { readonly [name: string]: Namespace } = { browser: BROWSER, python: PYTHON }

/** Whether a recipient is one of these builtin tools, such as `browser.search`. */
export const isBuiltin = (recipient: string, builtins: readonly string[]): boolean =>
  builtins.includes(recipient.split('.')[0]!)
