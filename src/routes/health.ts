// Whether the process lives and whether it takes work: what probes and load balancers ask, without a key.
import type { Ask, House } from './request.ts'

/** Seconds without a turn of a busy engine after which it counts as hung. */
const HUNG = 120

/** Ready: 200 where a request would be taken now. */
export const health = ({ lifecycle }: House, ask: Ask): Response => {
  const { phase, progress, detail, model } = lifecycle
  const dead = model?.engine.stats().dead ?? null
  const status = dead === null ? phase : 'dead'
  const ready = status === 'ready' && model !== undefined
  return ask.json({ status, progress, detail: dead ?? detail }, ready ? 200 : 503)
}

/** Alive: 503 only where nothing but a restart helps. */
export const livez = ({ lifecycle }: House, ask: Ask): Response => {
  const stats = lifecycle.model?.engine.stats()
  const busy = stats !== undefined && stats.running + stats.waiting > 0
  const hung = busy && stats.beatAge > HUNG
  const dead = lifecycle.phase === 'dead' || (stats?.dead ?? null) !== null
  return ask.json({ status: dead ? 'dead' : hung ? 'hung' : 'alive' }, dead || hung ? 503 : 200)
}

export const version = ({ settings }: House, ask: Ask): Response =>
  ask.json({ version: settings.version })
