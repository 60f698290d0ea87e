// Reads a request's JSON body within its bounds; every POST route starts here.
import { ApiError, invalid } from '../errors.ts'

/** A parsed body and the text it was parsed from, which still knows how numbers and keys were written. */
export interface JsonBody {
  text: string
  value: { [key: string]: unknown }
}

/** Nesting that no honest request reaches; recursion over more would exhaust the stack. */
const MAX_DEPTH = 64

const tooLarge = (limit: number): ApiError =>
  new ApiError(
    413,
    `The request body is larger than ${limit} bytes; send less or raise --max-body`,
    {
      code: 'request_too_large',
      headers: { connection: 'close' },
    }
  )

const checkType = (request: Request): void => {
  const type = request.headers.get('content-type')
  if (type && !/^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(type))
    throw new ApiError(415, `Content-Type must be application/json, not '${type.slice(0, 100)}'`, {
      code: 'unsupported_media_type',
    })
  const encoding = request.headers.get('content-encoding')
  if (encoding && encoding.toLowerCase() !== 'identity')
    throw new ApiError(415, 'Compressed request bodies are not accepted; send the JSON as it is', {
      code: 'unsupported_media_type',
    })
}

const readBytes = async (request: Request, limit: number): Promise<Uint8Array> => {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge(limit)
  const reader = request.body?.getReader()
  const parts: Uint8Array[] = []
  let size = 0
  for (;;) {
    const part = await reader?.read()
    if (!part || part.done) return Buffer.concat(parts)
    size += part.value.byteLength
    if (size > limit) {
      reader?.cancel().catch(() => {})
      throw tooLarge(limit)
    }
    parts.push(part.value)
  }
}

const children = (value: unknown): unknown[] =>
  typeof value === 'object' && value !== null ? Object.values(value) : []

const tooDeep = (value: unknown): boolean => {
  let level = children(value)
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true
    level = level.flatMap(children)
  }
  return false
}

const notJson = (why: string): ApiError =>
  new ApiError(400, `The request body is not valid JSON: ${why}`, { code: 'invalid_json' })

const parse = (bytes: Uint8Array): JsonBody => {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw notJson('it is not UTF-8')
  }
  if (text.trim() === '') throw notJson('it is empty')
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw notJson(
      error instanceof RangeError ? 'it is nested too deeply' : (error as Error).message
    )
  }
  if (tooDeep(value)) throw notJson(`it is nested more than ${MAX_DEPTH} levels deep`)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw notJson('it must be an object')
  return { text, value: value as JsonBody['value'] }
}

/**
 * The body as an object. A literal `extra_body`, which callers of raw HTTP copy from SDK examples,
 * is laid over it as the SDKs do.
 */
export const readBody = async (request: Request, limit: number): Promise<JsonBody> => {
  checkType(request)
  let bytes: Uint8Array
  try {
    bytes = await readBytes(request, limit)
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError(400, 'The request body could not be read', { code: 'invalid_json' })
  }
  const body = parse(bytes)
  const { extra_body: extra, ...rest } = body.value
  if (extra === undefined || extra === null) return { text: body.text, value: rest }
  if (typeof extra !== 'object' || Array.isArray(extra))
    throw invalid('extra_body', `'extra_body' must be an object`)
  return { text: body.text, value: { ...rest, ...extra } }
}
