// Who may ask: API keys compared in constant time; app.ts puts it before everything.
import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiError } from '../errors.ts'

/** Paths that probes reach without a key. */
export const OPEN_PATHS = new Set(['/health', '/readyz', '/ping', '/livez'])

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** Finds which key a request bears, looking at all of them whichever fits; 0 where none is needed. */
export const keyring = (keys: string[]): ((request: Request) => number) => {
  const digests = keys.map(digest)
  return (request) => {
    if (digests.length === 0) return 0
    const header = request.headers.get('authorization') ?? ''
    // Anthropic's clients have a header of their own.
    const own = request.headers.get('x-api-key') ?? ''
    const given = digest(/^bearer +(\S.*)$/i.exec(header)?.[1]?.trim() ?? own.trim())
    let found = -1
    for (const [index, known] of digests.entries()) if (timingSafeEqual(known, given)) found = index
    if (found >= 0) return found
    throw new ApiError(
      401,
      header === '' && own === ''
        ? 'This server wants an API key: send it as "Authorization: Bearer KEY"'
        : 'Incorrect API key provided',
      { code: 'invalid_api_key', headers: { 'www-authenticate': 'Bearer' } }
    )
  }
}
