// The errors of the HTTP surface: OpenAI's envelope with its four keys; routes and protocol throw them, app.ts renders them.
import { TemplateError } from './conversation.ts'
import { EngineRefusal } from './engine.ts'

export type ErrorStatus = 400 | 401 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 500 | 503

/** A mistake with its HTTP status, told in a sentence the caller can act on. */
export class ApiError extends Error {
  override name = 'ApiError'
  readonly status: ErrorStatus
  readonly code: string | null
  readonly param: string | null
  readonly headers: { [name: string]: string }

  constructor(
    status: ErrorStatus,
    message: string,
    detail: {
      code?: string | null
      param?: string | null
      headers?: { [name: string]: string }
    } = {}
  ) {
    super(message)
    this.status = status
    this.code = detail.code ?? null
    this.param = detail.param ?? null
    this.headers = detail.headers ?? {}
  }
}

export interface ErrorEnvelope {
  error: { message: string; type: string; param: string | null; code: string | null }
}

/** Bytes of the longest error text sent; a caller's own data must not come back by the megabyte. */
const MAX_MESSAGE = 1000

/** Seconds after which a refused caller should come again. */
const RETRY_AFTER = { 429: '1', 503: '5' }

const typeOf = (status: ErrorStatus): string => {
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

const bounded = (message: string): string => {
  if (Buffer.byteLength(message) <= MAX_MESSAGE) return message
  // A character that is cut in two is left out.
  const cut = Buffer.from(message).subarray(0, MAX_MESSAGE).toString('utf8')
  return `${cut.replace(/\uFFFD$/, '')}…`
}

/** The body of an error answer, and the payload of an error frame. */
export const envelope = ({ status, message, param, code }: ApiError): ErrorEnvelope => ({
  error: { message: bounded(message), type: typeOf(status), param, code },
})

const ANTHROPIC_TYPES: { [status: number]: string } = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  503: 'overloaded_error',
}

export interface AnthropicEnvelope {
  type: 'error'
  error: { type: string; message: string }
  request_id: string
}

/** The same as Anthropic's API tells it. */
export const anthropicEnvelope = (
  { status, message }: ApiError,
  requestId: string
): AnthropicEnvelope => ({
  type: 'error',
  error: { type: ANTHROPIC_TYPES[status] ?? 'invalid_request_error', message: bounded(message) },
  request_id: requestId,
})

/** A field of the body that cannot be used as it is. */
export const invalid = (param: string, message: string, code: string | null = null): ApiError =>
  new ApiError(400, message, { param, code })

/** A feature asked for by a field we know and do not have. */
export const unsupported = (param: string, what: string): ApiError =>
  invalid(param, `${what} is not supported yet; leave out '${param}'`, 'unsupported_parameter')

/** The prompt does not leave room for one token. */
export const contextExceeded = (context: number, prompt: string, param: string): ApiError =>
  invalid(
    param,
    `This model's maximum context length is ${context} tokens. However, your prompt has ${prompt}` +
      ' and at least one token must be left for the answer. Please reduce the length of the prompt.',
    'context_length_exceeded'
  )

/** The server cannot take work now; clients come again after `retry-after`. */
export const unavailable = (message: string): ApiError =>
  new ApiError(503, message, {
    code: 'service_unavailable',
    headers: { 'retry-after': RETRY_AFTER[503] },
  })

/** Any thrown value as an ApiError; undefined where it is nobody's known mistake. */
export const asApiError = (error: unknown): ApiError | undefined => {
  if (error instanceof ApiError) return error
  if (error instanceof TemplateError)
    return new ApiError(400, error.message, { param: error.param ?? 'messages' })
  if (error instanceof EngineRefusal) {
    const retry = error.status === 400 ? undefined : RETRY_AFTER[error.status]
    return new ApiError(error.status, error.message, {
      code: error.code,
      headers: retry ? { 'retry-after': retry } : {},
    })
  }
  return undefined
}

/** What is said of an error nobody foresaw: its text stays in the log. */
export const internal = (): ApiError =>
  new ApiError(500, 'The server had an error while processing your request', {
    code: 'internal_error',
  })

/** A generation that broke after it was accepted. */
export const generationFailed = (message: string): ApiError =>
  new ApiError(500, `The generation failed: ${message}`, { code: 'generation_failed' })
