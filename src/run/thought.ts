// How a thought is counted and bounded, told to the engine in token ids; routes ask for each request.
import type { ThinkingBudget, ThoughtMarkers } from '../conversation.ts'
import type { Engine, Thought } from '../engine.ts'

const thoughts = new WeakMap<Engine, Promise<{ [key in keyof ThoughtMarkers]?: Uint32Array }>>()

const encodeMarkers = async (engine: Engine, markers: ThoughtMarkers) => {
  const texts = Object.entries(markers).filter(([, text]) => typeof text === 'string')
  const entries = texts.map(async ([key, text]) => [key, await engine.encodePrompt(text)] as const)
  return Object.fromEntries(await Promise.all(entries))
}

/** What the engine needs to count a thought and to end it when its budget is used up. */
export const thoughtOf = async (
  engine: Engine,
  markers: ThoughtMarkers,
  budget: ThinkingBudget,
  { openInPrompt, mayCall }: { openInPrompt: boolean; mayCall: boolean }
): Promise<Thought> => {
  let encoding = thoughts.get(engine)
  if (!encoding) {
    encoding = encodeMarkers(engine, markers)
    thoughts.set(engine, encoding)
    encoding.catch(() => thoughts.delete(engine))
  }
  const ids = await encoding
  const hard = budget.dialect === 'hard'
  const tokens = (key: keyof ThoughtMarkers): number[] => [...(ids[key] ?? [])]
  const one = (key: keyof ThoughtMarkers): number | undefined => ids[key]?.[0]
  const optional = (['reflectStart', 'reflectEnd', 'callStart', 'callEnd', 'content'] as const)
    .map((key) => [key, one(key)] as const)
    .filter(([, id]) => id !== undefined)
  const bounded = budget.tokens === 0 || !(budget.isEffort && markers.knowsEfforts)
  return {
    start: tokens('start'),
    choice: tokens('startUntilChoice').length,
    end: one('end') ?? 0,
    ...Object.fromEntries(optional),
    openInPrompt,
    ...(budget.tokens < 0 || !bounded ? {} : { budget: budget.tokens }),
    closing: tokens(hard ? 'closingHard' : 'closing'),
    closingInReflection: tokens(hard ? 'closingHard' : 'closingInReflection'),
    afterClosing: tokens(mayCall ? 'afterClosingWithTools' : 'afterClosing'),
    once: markers.once,
    contentEnds: tokens('contentEnds'),
  }
}
