// GET /api/tags and /api/version: what tools ask to find models where they expect Ollama.
import { createHash } from 'node:crypto'
import { type Ask, type House, readyModels } from './request.ts'

/**
 * The release of Ollama whose OpenAI routes are matched, not ours: Codex and Copilot take servers from it on as ones
 * that speak the Responses API, and refuse what looks older.
 */
const OLLAMA = '0.13.4'

const parametersText = (count: number): string =>
  count >= 1e9 ? `${(count / 1e9).toFixed(1)}B` : `${(count / 1e6).toFixed(2)}M`

export const ollamaVersion = (_: House, ask: Ask): Response => ask.json({ version: OLLAMA })

/** The models as Ollama lists those it has pulled. */
export const ollamaTags = (house: House, ask: Ask): Response => {
  const models = readyModels(house).flatMap(({ names, created, engine, family }) =>
    names.map((name) => ({
      name,
      model: name,
      modified_at: new Date(created * 1000).toISOString(),
      size: engine.info.weightBytes,
      digest: createHash('sha256').update(name).digest('hex'),
      details: {
        parent_model: '',
        format: 'safetensors',
        family: family.name,
        families: [family.name],
        parameter_size: parametersText(engine.info.parameters),
        quantization_level: '',
      },
    }))
  )
  return ask.json({ models })
}
