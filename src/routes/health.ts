// Whether the process lives, takes work, and how much it has: what probes and load balancers ask.
import type { Lifecycle } from '../served.ts'
import { type Ask, type House, stateOf } from './request.ts'

/** What is said of all models together: the first of these that any of them is. */
const WORST_FIRST = ['draining', 'dead', 'loading', 'ready'] as const

/** Ready: 200 where a request for any of the models would be taken now; each one's state is shown. */
export const health = ({ lifecycles }: House, ask: Ask): Response => {
  const models = lifecycles.map(stateOf)
  const status = WORST_FIRST.find((one) => models.some((model) => model.status === one))
  const { detail = '' } = models.find((model) => model.status === status) ?? {}
  const progress = models.reduce((sum, model) => sum + model.progress, 0) / models.length
  return ask.json({ status, progress, detail, models }, status === 'ready' ? 200 : 503)
}

const vigourOf = (lifecycle: Lifecycle, watchdog: number): 'alive' | 'hung' | 'dead' => {
  if (stateOf(lifecycle).status === 'dead') return 'dead'
  const stats = lifecycle.model?.engine.stats()
  const busy = stats !== undefined && stats.running + stats.waiting > 0
  return busy && stats.beatAge > watchdog ? 'hung' : 'alive'
}

/** Alive: 503 only where nothing but a restart helps, which takes all models along. */
export const livez = ({ lifecycles, settings }: House, ask: Ask): Response => {
  const found = new Set(lifecycles.map((one) => vigourOf(one, settings.watchdog)))
  const status = found.has('alive') ? 'alive' : found.has('hung') ? 'hung' : 'dead'
  return ask.json({ status }, status === 'alive' ? 200 : 503)
}

export const version = ({ settings }: House, ask: Ask): Response =>
  ask.json({ version: settings.version })

/** Requests whose answers are not complete, as vLLM tells routers of them. */
export const load = ({ visits }: House, ask: Ask): Response =>
  ask.json({ server_load: visits.running })
