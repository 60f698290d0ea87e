// Frames of a streamed answer in chat and completions: chunks with the usage they carry, errors on the way, the end.
import type { Delivery } from '../protocol/sampling.ts'
import type { RunEvent } from '../run.ts'
import { type ApiError, generationFailed } from '../errors.ts'
import type { GenerationEvent } from '../events.ts'
import type { UsageTally } from '../stream/logprobs.ts'
import { DONE, frame } from '../stream/sse.ts'

/** An end that is no answer, as the error it becomes instead. */
export const brokenEnd = (event: GenerationEvent): ApiError | undefined => {
  if (event.type !== 'finish') return undefined
  if (event.reason === 'error') return generationFailed(event.error ?? 'the engine gave no reason')
  return event.reason === 'abort' ? generationFailed('it was cancelled by the server') : undefined
}

export interface ChunkStream {
  /** What each chunk begins with: an object's JSON without its closing brace. */
  prefix: string
  usage: Delivery['usage']
  tally: UsageTally
  /** The other members of the chunks an event becomes, as JSON, `choices` among them. */
  render: (event: RunEvent) => string[]
}

/** One text for all events that were there together, in SSE's form. */
export async function* chunkFrames(
  events: AsyncIterable<RunEvent[]>,
  { prefix, usage, tally, render }: ChunkStream
): AsyncGenerator<string, undefined> {
  const seen: number[] = []
  for await (const batch of events) {
    let text = ''
    for (const one of batch) {
      const { index, event } = one
      const broken = brokenEnd(event)
      if (broken) {
        yield text
        throw broken
      }
      const tokens = event.tokens?.length ?? 0
      tally.generated(tokens)
      seen[index] = (seen[index] ?? 0) + tokens
      if (event.type === 'finish') tally.finished(index, event.usage, seen[index])
      for (const members of render(one)) {
        const counts = usage === 'always' ? JSON.stringify(tally.wire) : 'null'
        text += frame(`${prefix},${members}${usage === 'none' ? '' : `,"usage":${counts}`}}`)
      }
    }
    if (text !== '') yield text
  }
  const end = `${prefix},"choices":[],"usage":${JSON.stringify(tally.wire)}}`
  yield usage === 'none' ? DONE : frame(end) + DONE
  return undefined
}
