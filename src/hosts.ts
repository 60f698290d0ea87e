// Guards a server on a loopback address against web pages that point their own name at it; server.ts puts it before the app.
import { isIPv4 } from 'node:net'
import { ApiError, envelope } from './errors.ts'

/** Addresses that only this machine reaches. */
export const isLoopback = (address: string): boolean => {
  const plain = address.toLowerCase().replace(/^\[|\]$/g, '')
  return plain === 'localhost' || plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))
}

/** `localhost:8000` as `localhost`, `[::1]:8000` as `::1`. */
const nameIn = (host: string): string =>
  (/^\[([^\]]+)\](?::\d+)?$/.exec(host)?.[1] ?? host.replace(/:\d+$/, '')).toLowerCase()

/** Whether a Host header names this machine, or one of `allowed`. */
export const isOwnHost = (host: string, allowed: readonly string[]): boolean => {
  const name = nameIn(host.trim())
  return isLoopback(name) || allowed.some((own) => own === '*' || nameIn(own) === name)
}

type Fetch = (request: Request, ...rest: any[]) => Response | Promise<Response>

/** Refuses requests whose Host header is somebody else's. */
export const guardHost =
  (fetch: Fetch, allowed: readonly string[]): Fetch =>
  (request, ...rest) => {
    const host = request.headers.get('host') ?? ''
    if (isOwnHost(host, allowed)) return fetch(request, ...rest)
    const error = new ApiError(
      403,
      'This server answers on this machine only; name further hosts with --allowed-hosts',
      { code: 'host_not_allowed' }
    )
    return Response.json(envelope(error), { status: 403 })
  }
