// Requests on their way through the app and those that have ended, for /load and /metrics; app.ts tells of each.
import { Histogram, type MetricFamily } from '../metrics.ts'

/** Paths that only look; they are not part of what they count. */
const LOOKS = new Set([
  '/metrics',
  '/health',
  '/readyz',
  '/livez',
  '/ping',
  '/load',
  '/version',
  '/openapi.json',
])

// The buckets of prometheus-fastapi-instrumentator, which vLLM shows its HTTP side with.
const SECONDS = [0.1, 0.5, 1]

interface Ended {
  handler: string
  method: string
  /** Answers by their status' hundred. */
  statuses: Map<string, number>
  seconds: Histogram
}

/** One request from its headers to the last byte of its answer. */
export interface Visit {
  /** The route it is for; undefined where there is none. */
  handler: string | undefined
  end(status: number): void
}

export class Visits {
  /** Requests whose answers are not complete. */
  running = 0
  private ended = new Map<string, Ended>()

  begin(path: string, method: string): Visit {
    if (LOOKS.has(path)) return { handler: undefined, end: () => {} }
    const begun = performance.now()
    let open = true
    this.running += 1
    const visit: Visit = {
      handler: undefined,
      end: (status) => {
        if (!open) return
        open = false
        this.running -= 1
        this.count(visit.handler, method, status, (performance.now() - begun) / 1000)
      },
    }
    return visit
  }

  /** What is no route counts as one, or strangers could fill the memory with names. */
  private count(route: string | undefined, method: string, status: number, seconds: number): void {
    const handler = route ?? 'none'
    const verb = route === undefined ? 'any' : method
    const key = `${verb} ${handler}`
    let ended = this.ended.get(key)
    if (!ended) {
      ended = { handler, method: verb, statuses: new Map(), seconds: new Histogram(SECONDS) }
      this.ended.set(key, ended)
    }
    const hundred = `${Math.floor(status / 100)}xx`
    ended.statuses.set(hundred, (ended.statuses.get(hundred) ?? 0) + 1)
    ended.seconds.observe(seconds)
  }

  families(): MetricFamily[] {
    const all = [...this.ended.values()]
    return [
      {
        name: 'http_requests_total',
        type: 'counter',
        help: 'Total number of requests by method, status and handler.',
        samples: all.flatMap(({ handler, method, statuses }) =>
          Array.from(statuses, ([status, value]) => ({
            labels: { handler, method, status },
            value,
          }))
        ),
      },
      {
        name: 'http_request_duration_seconds',
        type: 'histogram',
        help: 'Duration of requests in seconds, to the last byte of their answers.',
        samples: all.map(({ handler, method, seconds }) => ({
          labels: { handler, method },
          value: seconds,
        })),
      },
    ]
  }
}
