// GET /v1/models and /v1/models/{id}: what is served, by each of its names.
import type { ServedModel } from '../served.ts'
import { type Ask, type House, modelNotFound, servedModel } from './request.ts'

const card = (model: ServedModel, id: string) => ({
  id,
  object: 'model',
  created: model.created,
  owned_by: 'seed-server',
  root: model.names[0] ?? id,
  parent: null,
  max_model_len: model.engine.info.maxModelLen,
})

export const listModels = (house: House, ask: Ask): Response => {
  const model = servedModel(house)
  return ask.json({ object: 'list', data: model.names.map((name) => card(model, name)) })
}

/** Ids hold slashes, which clients send raw or encoded; the path is matched whole. */
export const retrieveModel = (house: House, ask: Ask): Response => {
  const model = servedModel(house)
  const id = ask.req.param('id') ?? ''
  if (!model.names.includes(id)) throw modelNotFound(id)
  return ask.json(card(model, id))
}
