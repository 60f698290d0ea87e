// GET /openapi.json: the API as OpenAPI 3.1, its bodies from the schemas that check them. routes/table.ts says what is there.
import { z } from 'zod'
import type { AppSettings } from '../served.ts'
import { OPEN_PATHS } from './access.ts'

type Schema = { [key: string]: unknown }

/** What an answer looks like. */
export interface Answered {
  description: string
  /** By content type. */
  content?: { [type: string]: Schema }
}

/** What the document says of a route. */
export interface Described {
  summary: string
  /** Checks the body; the document shows what it takes. */
  body?: z.ZodType
  query?: { [name: string]: Schema }
  ok: Answered
  /** Statuses of errors beside those that every route of its kind has. */
  errors?: number[]
  /** Has an answer of the same shape where it is no success. */
  also?: number[]
  /** What its errors look like. */
  error?: 'AnthropicError'
}

export interface DescribedRoute {
  method: string
  path: string
  described: Described
  always?: true
}

const ERROR: Schema = {
  type: 'object',
  required: ['error'],
  additionalProperties: false,
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'param', 'code'],
      additionalProperties: false,
      properties: {
        message: { type: 'string', maxLength: 1024 },
        type: {
          type: 'string',
          enum: ['invalid_request_error', 'rate_limit_error', 'server_error'],
        },
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  },
}

const ANTHROPIC_ERROR: Schema = {
  type: 'object',
  required: ['type', 'error', 'request_id'],
  additionalProperties: false,
  properties: {
    type: { const: 'error' },
    error: {
      type: 'object',
      required: ['type', 'message'],
      additionalProperties: false,
      properties: { type: { type: 'string' }, message: { type: 'string', maxLength: 1024 } },
    },
    request_id: { type: 'string' },
  },
}

const REASONS: { [status: number]: string } = {
  400: 'The request is wrong; the message says where and what to do.',
  401: 'No API key that this server knows.',
  403: 'The Host header is none that this server answers to.',
  404: 'What it names is not here.',
  413: 'The body is larger than this server takes.',
  415: 'The body is not plain JSON.',
  429: 'There is no room for it now; retry-after says when to come again.',
  500: 'The generation failed, or the server has a fault.',
  503: 'No model serves now; retry-after says when to come again.',
}

/** `/v1/models/:id{.+}` as `/v1/models/{id}`. */
export const templateOf = (path: string): string => path.replace(/:(\w+)(\{.*\})?/, '{$1}')

const parametersOf = ({ path, described }: DescribedRoute): object[] => [
  ...Array.from(path.matchAll(/:(\w+)/g), ([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', minLength: 1 },
  })),
  ...Object.entries(described.query ?? {}).map(([name, schema]) => ({ name, in: 'query', schema })),
]

const errorsOf = ({ path, described, always }: DescribedRoute): number[] => [
  ...(described.body ? [400, 413, 415] : []),
  ...(OPEN_PATHS.has(path) ? [] : [401]),
  403,
  ...(always ? [] : [503]),
  ...(described.errors ?? []),
]

const contentOf = (content: Answered['content'] = {}): object =>
  Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]))

const responsesOf = (route: DescribedRoute): object => {
  const { ok, also = [], error = 'Error' } = route.described
  const errors = [...new Set(errorsOf(route))].filter((status) => !also.includes(status))
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${error}` } } }
  return {
    ...Object.fromEntries(
      [200, ...also].map((status) => [
        status,
        { description: ok.description, content: contentOf(ok.content) },
      ])
    ),
    ...Object.fromEntries(
      errors.map((status) => [status, { description: REASONS[status] ?? '', content }])
    ),
  }
}

/** The JSON schema of what a check takes; what it cannot say is left open. */
const schemaOf = (body: z.ZodType): Schema => {
  const { $schema: _, ...schema } = z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' })
  return schema
}

const operationOf = (route: DescribedRoute): object => {
  const { summary, body } = route.described
  const parameters = parametersOf(route)
  return {
    summary,
    operationId: `${route.method.toLowerCase()}${route.path.replace(/\{.*\}/, '').replace(/[^a-z0-9]+/gi, '_')}`,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body
      ? {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(body) } },
          },
        }
      : {}),
    ...(OPEN_PATHS.has(route.path) ? { security: [] } : {}),
    responses: responsesOf(route),
  }
}

/** The document of an API with these routes. */
export const documentOf = (
  routes: DescribedRoute[],
  { apiKeys, rootPath, version }: Pick<AppSettings, 'apiKeys' | 'rootPath' | 'version'>
): object => {
  const paths: { [path: string]: { [method: string]: object } } = {}
  for (const route of routes) {
    const path = (paths[templateOf(route.path)] ??= {})
    path[route.method.toLowerCase()] = operationOf(route)
  }
  const locked = apiKeys.length > 0
  return {
    openapi: '3.1.0',
    info: {
      title: '@seed/server',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: `/${rootPath}`.replace(/\/+/g, '/') }],
    ...(locked ? { security: [{ key: [] }] } : {}),
    paths,
    components: {
      schemas: { Error: ERROR, AnthropicError: ANTHROPIC_ERROR },
      ...(locked ? { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } } : {}),
    },
  }
}
