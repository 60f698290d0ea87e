// What is wrong with an object by OpenAI's own OpenAPI document, where that lies beside the repository; tests ask.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Any } from './ask.ts'

const path = fileURLToPath(
  new URL('../../../shared/data/openai/openai-subset.json', import.meta.url)
)

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
let present = false
if (existsSync(path)) {
  ajv.addSchema(JSON.parse(readFileSync(path, 'utf8')) as object, 'openai')
  present = true
} else console.info(`note: ${path} is absent; shapes are not checked against OpenAI's schema`)

/** What is wrong with a value by OpenAI's schema; nothing where the schema is absent. */
export const faults = (name: string, value: Any): string[] => {
  if (!present) return []
  const validate = ajv.getSchema(`openai#/$defs/${name}`)
  if (!validate) throw new Error(`${name} is not in the subset`)
  if (validate(value)) return []
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
