// Prometheus' text format: histograms that count, and families of samples as text. run/meter.ts counts, routes/metrics.ts shows.

export type Labels = { readonly [name: string]: string }

/** Counts values by the first bound that holds them. */
export class Histogram {
  /** Rising; what is above the last is counted in a bucket of its own. */
  readonly bounds: readonly number[]
  /** Not cumulated, one more than there are bounds. */
  readonly counts: number[]
  sum: number

  constructor(bounds: readonly number[], counts?: readonly number[], sum = 0) {
    this.bounds = bounds
    this.counts = counts ? [...counts] : Array.from({ length: bounds.length + 1 }, () => 0)
    this.sum = sum
  }

  observe(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound)
    const index = at < 0 ? this.bounds.length : at
    this.counts[index] = (this.counts[index] ?? 0) + 1
    this.sum += value
  }
}

/** Samples of one name. */
export interface MetricFamily {
  /** As it is written, `_total` of a counter included. */
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  samples: { labels: Labels; value: number | Histogram }[]
}

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')

const line = (name: string, labels: Labels, value: number): string => {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`)
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${value}\n`
}

const bucketLines = (name: string, labels: Labels, { bounds, counts, sum }: Histogram): string => {
  let text = ''
  let count = 0
  for (const [index, inBucket] of counts.entries()) {
    count += inBucket
    // Python's clients write whole bounds as 1.0, and dashboards ask for them so.
    const bound = bounds[index]
    const le = bound === undefined ? '+Inf' : Number.isInteger(bound) ? `${bound}.0` : `${bound}`
    text += line(`${name}_bucket`, { ...labels, le }, count)
  }
  return `${text}${line(`${name}_count`, labels, count)}${line(`${name}_sum`, labels, sum)}`
}

/** All families in the text format, each with its help and type before its samples. */
export const exposition = (families: MetricFamily[]): string =>
  families
    .map(({ name, help, type, samples }) => {
      const lines = samples.map(({ labels, value }) =>
        typeof value === 'number' ? line(name, labels, value) : bucketLines(name, labels, value)
      )
      const told = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
      return `# HELP ${name} ${told}\n# TYPE ${name} ${type}\n${lines.join('')}`
    })
    .join('')
