// Reads a request's JSON body within its bounds; every POST route starts here.
import { ApiError, invalid } from '../errors.ts'

/** A parsed body and the text it was parsed from, which still knows how numbers and keys were written. */
export interface JsonBody {
  text: string
  value: { [key: string]: unknown }
}

/** Nesting that no honest request reaches; recursion over more would exhaust the stack. */
const MAX_DEPTH = 64
/** Values that no honest request holds, but for token ids; each one that is wrong costs a check an object. */
const MAX_VALUES = 250_000
/** Fields that may be long lists of token ids, which their routes check one by one. */
const TOKEN_FIELDS = new Set(['prompt', 'tokens'])

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

/** What is wrong with how much a body holds, found without recursion and before anything looks closer. */
const excess = (body: object): string | undefined => {
  let count = 0
  for (const [key, root] of Object.entries(body)) {
    let level: unknown[] = [root]
    for (let depth = 2; level.length > 0; depth += 1) {
      const next: unknown[] = []
      for (const value of level) {
        if (typeof value !== 'object' || value === null) continue
        const inner: unknown[] = Array.isArray(value) ? value : Object.values(value)
        if (!TOKEN_FIELDS.has(key)) count += inner.length
        for (const one of inner) if (typeof one === 'object' && one !== null) next.push(one)
      }
      if (depth > MAX_DEPTH && level.length > 0)
        return `it is nested more than ${MAX_DEPTH} levels deep`
      if (count > MAX_VALUES) return `it holds more than ${MAX_VALUES} values`
      level = next
    }
  }
  return undefined
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
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw notJson('it must be an object')
  const wrong = excess(value)
  if (wrong !== undefined)
    throw new ApiError(400, `The request body is not acceptable: ${wrong}`, {
      code: 'invalid_json',
    })
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
