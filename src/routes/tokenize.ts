// POST /tokenize and /detokenize: the model's tokenizer from outside, for prompts and whole conversations.
import { z } from 'zod'
import { invalid } from '../errors.ts'
import { checkChatPrompt } from '../protocol/chat.ts'
import { check, TOKEN_IDS, tokenIdsOf } from '../protocol/schema.ts'
import { tokenText } from '../stream/logprobs.ts'
import { type JsonBody, readBody } from './body.ts'
import { render } from './chat.ts'
import { type Ask, encodeWritten, type House, modelAsked } from './request.ts'

export const tokenizeSchema = z.looseObject({
  model: z.string().nullish(),
  prompt: z.string().nullish(),
  add_special_tokens: z.boolean().nullish(),
  return_token_strs: z.boolean().nullish(),
})

/** What `detokenize` takes; the ids are checked in a plain loop. */
export const detokenizeSchema = z.looseObject({
  model: z.string().nullish(),
  tokens: z.unknown().meta(TOKEN_IDS),
})

const idsOf = async (house: House, ask: Ask, body: JsonBody, prompt: string | null | undefined) => {
  const model = modelAsked(house, ask, body.value.model)
  const { messages } = body.value
  if (typeof prompt === 'string' && messages !== undefined && messages !== null)
    throw invalid('messages', `'prompt' and 'messages' cannot both be given; send one of them`)
  if (typeof prompt === 'string')
    return { model, ids: await encodeWritten(model.engine, prompt, 'prompt') }
  if (body.value.messages === undefined)
    throw invalid('prompt', `Missing required field 'prompt' (or 'messages')`)
  const { ids } = await render(house, model, checkChatPrompt(body.value), body.text)
  return { model, ids }
}

export const tokenize = async (house: House, ask: Ask): Promise<Response> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = check(tokenizeSchema, body.value)
  const { model, ids } = await idsOf(house, ask, body, request.prompt)
  const { engine } = model
  const tokens = [...ids]
  const strings = tokens.map((id) => tokenText({ id, bytes: engine.tokenBytes(id) }, false))
  return ask.json({
    count: tokens.length,
    max_model_len: engine.info.maxModelLen,
    tokens,
    ...(request.return_token_strs ? { token_strs: strings } : {}),
  })
}

export const detokenize = async (house: House, ask: Ask): Promise<Response> => {
  const body = await readBody(ask.req.raw, house.settings.maxBody)
  const request = check(detokenizeSchema, body.value)
  const { engine } = modelAsked(house, ask, request.model)
  const tokens = tokenIdsOf(request.tokens, 'tokens')
  const { vocabulary, maxModelLen } = engine.info
  if (tokens.length > maxModelLen)
    throw invalid('tokens', `'tokens' may hold at most ${maxModelLen} ids, the model's context`)
  const at = tokens.findIndex((id) => id >= vocabulary)
  if (at >= 0)
    throw invalid(
      `tokens[${at}]`,
      `Invalid value for 'tokens[${at}]': token ${tokens[at]} is outside the vocabulary of ${vocabulary}`
    )
  return ask.json({ prompt: engine.decode(tokens) })
}
