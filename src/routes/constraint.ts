// What a request's answer must follow, compiled for its model: the family's grammar of a whole reply, or a bare shape.
import type { AnswerShape, Conversation } from '../conversation.ts'
import { type Constraint, type Engine, EngineRefusal, type Sampling } from '../engine.ts'
import { invalid } from '../errors.ts'
import { shapeRules, TEXT } from '../grammar/lark.ts'
import type { ServedModel } from '../served.ts'
import type { Rendered } from './chat.ts'

/** A text's tokens as a grammar names them. */
const idsIn =
  (engine: Engine) =>
  async (text: string): Promise<string> =>
    Array.from(await engine.encodeText(text), (id) => `<[${id}]>`).join(' ')

/** A grammar the engine will not have is the fault of the field that asks for it. */
const compiled = async (engine: Engine, lark: string, param: string): Promise<Constraint> => {
  try {
    return await engine.compileConstraint(lark)
  } catch (error) {
    if (error instanceof EngineRefusal && error.status === 400)
      throw invalid(param, `'${param}' cannot be enforced: ${error.message}`, error.code)
    throw error
  }
}

/** Whether the request bans tokens by itself: an envelope nobody asked for must not be what then fails. */
const isFree = ({ allowedTokenIds, logitBias, badWords, ignoreEos }: Sampling): boolean =>
  allowedTokenIds === undefined && logitBias.length === 0 && badWords.length === 0 && !ignoreEos

/** What a reply must follow; undefined where anything goes. Throws 400 for what cannot be enforced. `guarded` holds it to its family's envelope too. */
export const constraintOf = async (
  { engine, family, settings }: ServedModel,
  { conversation, prompt, asked }: Rendered,
  sampling: Sampling,
  guarded = true
): Promise<Constraint | undefined> => {
  const lark = await family.constraint({
    conversation,
    start: prompt.start,
    guard:
      guarded && ((settings.harmonyGuard && isFree(sampling)) || sampling.goesOn !== undefined),
    ids: idsIn(engine),
  })
  if (lark === undefined) return undefined
  return compiled(engine, lark, asked?.param ?? 'tools')
}

/** After which token a reply goes on where the caller wants several calls and the family ends after the first. */
export const goesOnOf = (
  { engine, family: { nextCall } }: ServedModel,
  { parallelToolCalls, tools, toolChoice }: Conversation
): Sampling['goesOn'] => {
  const wanted = parallelToolCalls === true && tools.length > 0 && toolChoice !== 'none'
  if (!nextCall || !wanted) return undefined
  const after = engine.tokenId(nextCall.after)
  const until = engine.tokenId(nextCall.until)
  return after === undefined || until === undefined ? undefined : { after, until }
}

/** The same of a text without turns. */
export const shapeConstraint = (
  engine: Engine,
  shape: AnswerShape,
  param: string
): Promise<Constraint> =>
  compiled(engine, [`start: answer`, shapeRules(shape, 'answer'), TEXT].join('\n'), param)
