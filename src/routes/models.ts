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

/** What Anthropic's clients, which say so, look for in a model beside the id. */
const anthropicCard = ({ id, created }: { id: string; created: number }) => ({
  type: 'model',
  display_name: id,
  created_at: new Date(created * 1000).toISOString(),
})

const shown = (ask: Ask, model: ServedModel, id: string) => {
  const one = card(model, id)
  return ask.req.header('anthropic-version') ? { ...one, ...anthropicCard(one) } : one
}

export const listModels = (house: House, ask: Ask): Response => {
  const data = readyModels(house).flatMap((model) =>
    model.names.map((name) => shown(ask, model, name))
  )
  const ends = { has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
  const more = ask.req.header('anthropic-version') ? ends : {}
  return ask.json({ object: 'list', data, ...more })
}

/** Ids hold slashes, which clients send raw or encoded; the path is matched whole. */
export const retrieveModel = (house: House, ask: Ask): Response => {
  const id = ask.req.param('id') ?? ''
  return ask.json(shown(ask, modelFor(house, id), id))
}
