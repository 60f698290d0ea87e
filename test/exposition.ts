// Reads Prometheus' text format strictly, as promtool does, and says what is wrong with it; tests of /metrics use it.

export interface Sample {
  name: string
  labels: { [name: string]: string }
  value: number
}

export interface Exposition {
  types: Map<string, string>
  samples: Sample[]
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/

const unescaped = (text: string): string =>
  text.replace(/\\(["\\n])/g, (_, letter: string) => (letter === 'n' ? '\n' : letter))

const labelsOf = (text: string): Sample['labels'] => {
  const labels: Sample['labels'] = {}
  for (let rest = text; rest !== '';) {
    const found = LABEL.exec(rest)
    if (!found) throw new Error(`labels cannot be read: ${rest}`)
    const [all, name = '', value = ''] = found
    if (name in labels) throw new Error(`label ${name} twice`)
    labels[name] = unescaped(value)
    rest = rest.slice(all.length)
  }
  return labels
}

const numberOf = (text: string): number => {
  const value = text === '+Inf' ? Infinity : Number(text)
  if (Number.isNaN(value)) throw new Error(`not a number: ${text}`)
  return value
}

/** The family a sample belongs to: its own name, or that of the histogram it is a part of. */
const familyOf = (name: string, types: Map<string, string>): string | undefined => {
  const stem = name.replace(/_(bucket|count|sum)$/, '')
  if (types.get(stem) === 'histogram') return stem
  return types.get(name) && types.get(name) !== 'histogram' ? name : undefined
}

const keyOf = ({ name, labels }: Sample): string =>
  `${name} ${JSON.stringify(Object.entries(labels).toSorted())}`

/** Throws where a histogram's buckets fall, do not end at its count, or are not in order. */
const checkHistogram = (family: string, samples: Sample[]): void => {
  const series = new Map<string, Sample[]>()
  for (const sample of samples.filter(({ name }) => name === `${family}_bucket`)) {
    const { le: _, ...labels } = sample.labels
    const key = keyOf({ ...sample, labels })
    series.set(key, [...(series.get(key) ?? []), sample])
  }
  for (const [key, buckets] of series) {
    const bounds = buckets.map(({ labels }) => numberOf(labels.le ?? ''))
    const rising = (values: number[], strictly: boolean): boolean =>
      values.every(
        (value, n) => n === 0 || value > values[n - 1]! || (!strictly && value === values[n - 1])
      )
    if (!rising(bounds, true) || bounds.at(-1) !== Infinity)
      throw new Error(`${key}: bounds must rise to +Inf`)
    const counts = buckets.map(({ value }) => value)
    if (!rising(counts, false)) throw new Error(`${key}: buckets must not fall`)
    const { le: _, ...labels } = buckets[0]!.labels
    const part = (ending: string): number | undefined =>
      samples.find((one) => keyOf(one) === keyOf({ name: family + ending, labels, value: 0 }))
        ?.value
    if (part('_count') !== counts.at(-1)) throw new Error(`${key}: +Inf is not the count`)
    if (part('_sum') === undefined) throw new Error(`${key}: no sum`)
  }
}

/** The samples of an exposition; throws with what a strict reader would refuse. */
export const readExposition = (text: string): Exposition => {
  if (!text.endsWith('\n')) throw new Error('the last line must end')
  const types = new Map<string, string>()
  const helped = new Set<string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  let current: string | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (helped.has(name)) throw new Error(`two helps for ${name}`)
      helped.add(name)
      if (rest === '') throw new Error(`no help for ${name}`)
    } else if (kind === 'TYPE') {
      if (types.has(name)) throw new Error(`two types for ${name}`)
      if (!helped.has(name)) throw new Error(`${name} has no help`)
      types.set(name, rest)
      current = name
    } else {
      const [, sampled = '', labels = '', value = ''] = LINE.exec(line) ?? []
      if (sampled === '') throw new Error(`no sample: ${line}`)
      const family = familyOf(sampled, types)
      if (!family) throw new Error(`${sampled} has no type`)
      if (family !== current) throw new Error(`${sampled} stands away from its family`)
      if (types.get(family) === 'counter' && !sampled.endsWith('_total'))
        throw new Error(`the counter ${sampled} does not end in _total`)
      const sample = { name: sampled, labels: labelsOf(labels), value: numberOf(value) }
      if (seen.has(keyOf(sample))) throw new Error(`twice: ${line}`)
      seen.add(keyOf(sample))
      samples.push(sample)
    }
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, samples)
  return { types, samples }
}

/** The value of the one sample with this name whose labels include these. */
export const valueOf = ({ samples }: Exposition, name: string, labels: object = {}): number => {
  const found = samples.filter(
    (one) =>
      one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text)
  )
  if (found.length !== 1) throw new Error(`${found.length} samples of ${name}`)
  return found[0]!.value
}
