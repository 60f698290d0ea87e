// An app on a socket of its own, as clients reach it; tests of client libraries ask it.
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { createApp } from '../../src/app.ts'
import type { AppSettings, Lifecycle } from '../../src/served.ts'
import { silentLog, someSettings } from '../scripted.ts'

export interface Listening {
  /** `/v1` included. */
  baseURL: string
  close(): void
}

export const listening = async (
  life: Lifecycle,
  settings: Partial<AppSettings> = {}
): Promise<Listening> => {
  const app = createApp(life, { ...someSettings, ...settings }, silentLog)
  const server = createAdaptorServer({ fetch: app.fetch }) as Server
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
