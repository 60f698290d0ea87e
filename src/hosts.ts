// Guards a server on a loopback address against web pages that point their own name at it; app.ts asks first.
import { isIPv4 } from 'node:net'

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
