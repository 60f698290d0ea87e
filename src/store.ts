// Keeps what may be asked for again, bounded by count, bytes and age, each thing visible to one API key; routes use it.

export interface Kept {
  readonly id: string
  /** Which API key it belongs to. */
  readonly tenant: number
  /** Still being made: it stays, whatever the bounds say; the engine's queue bounds how many there are. */
  readonly live: boolean
}

export interface Bounds {
  count: number
  bytes?: number
  /** Milliseconds since it was last used. */
  age?: number
  now?: () => number
}

const MAX_BYTES = 256 * 2 ** 20
const MAX_AGE = 24 * 60 * 60 * 1000

interface Entry<Record> {
  record: Record
  bytes: number
  used: number
}

/** The map's order is that of use, what was used longest ago first. */
export class ResponseStore<Record extends Kept> {
  private entries = new Map<string, Entry<Record>>()
  private bounds: Required<Bounds>
  private total = 0

  constructor(bounds: Bounds) {
    this.bounds = { bytes: MAX_BYTES, age: MAX_AGE, now: Date.now, ...bounds }
  }

  get count(): number {
    return this.entries.size
  }

  get bytes(): number {
    return this.total
  }

  /** Keeps a record, or says anew how large it is. */
  put(record: Record, bytes: number): void {
    this.drop(record.id)
    this.entries.set(record.id, { record, bytes, used: this.bounds.now() })
    this.total += bytes
    // One thing too large to keep must not cost the others their place.
    if (bytes > this.bounds.bytes && !record.live) this.drop(record.id)
    this.prune()
  }

  get(id: string, tenant: number): Record | undefined {
    this.prune()
    const entry = this.entries.get(id)
    if (entry?.record.tenant !== tenant) return undefined
    this.entries.delete(id)
    this.entries.set(id, { ...entry, used: this.bounds.now() })
    return entry.record
  }

  delete(id: string, tenant: number): Record | undefined {
    const record = this.get(id, tenant)
    if (record) this.drop(id)
    return record
  }

  has(record: Record): boolean {
    return this.entries.get(record.id)?.record === record
  }

  /** All that one key has here. */
  *of(tenant: number): Generator<Record, undefined> {
    this.prune()
    for (const { record } of this.entries.values()) if (record.tenant === tenant) yield record
    return undefined
  }

  private drop(id: string): void {
    this.total -= this.entries.get(id)?.bytes ?? 0
    this.entries.delete(id)
  }

  private prune(): void {
    const { count, bytes, age, now } = this.bounds
    const old = now() - age
    for (const [id, { record, used }] of this.entries) {
      const fits = this.entries.size <= count && this.total <= bytes && used >= old
      if (fits) return
      if (!record.live) this.drop(id)
    }
  }
}
