// GET /v1/models and /v1/models/{id}: what is served, by each of its names.
import type { ServedModel } from '../served.ts'
import { type Ask, type House, modelFor, readyModels } from './request.ts'

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
  const data = readyModels(house).flatMap((model) => model.names.map((name) => card(model, name)))
  return ask.json({ object: 'list', data })
}

/** Ids hold slashes, which clients send raw or encoded; the path is matched whole. */
export const retrieveModel = (house: House, ask: Ask): Response => {
  const id = ask.req.param('id') ?? ''
  return ask.json(card(modelFor(house, id), id))
}
