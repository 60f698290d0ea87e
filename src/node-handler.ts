// Mounts the app in a Node framework (Express, Fastify, Nest): a body parser may have run, a mount path may stand before ours.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'

/** What frameworks add to Node's request. */
interface FrameworkRequest extends IncomingMessage {
  body?: unknown
  rawBody?: unknown
  /** Express's mount path, which it has taken off `url` already. */
  baseUrl?: string
}

type Next = (error?: unknown) => void

interface FetchApp {
  fetch(request: Request, ...rest: any[]): Response | Promise<Response>
}

const bytesOf = (body: unknown): Buffer =>
  body instanceof Uint8Array
    ? Buffer.from(body)
    : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))

/** A `(req, res)` handler over the app; `mount` is taken off the path where the framework leaves it on. */
export const nodeHandler = (
  { fetch }: FetchApp,
  { mount = '' }: { mount?: string } = {}
): ((request: FrameworkRequest, response: ServerResponse, next?: Next) => void) => {
  const listen = getRequestListener(fetch, { overrideGlobalObjects: false })
  const root = mount.replace(/\/+$/, '')
  return (request, response, next) => {
    const { body, url = '/' } = request
    // A parser before us has emptied the stream; the listener takes the bytes from rawBody then.
    if (body !== undefined && request.readableEnded && !(request.rawBody instanceof Buffer))
      request.rawBody = bytesOf(body)
    // `/llm` is above `/llm/v1` and not above `/llmv1`.
    const under = url.startsWith(root) && /^([/?]|$)/.test(url.slice(root.length))
    const below = under ? url.slice(root.length) : url
    request.url = below.startsWith('/') ? below : `/${below}`
    listen(request, response).catch((error: unknown) => next?.(error))
  }
}
