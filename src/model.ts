// Reads the metadata of a model folder or GGUF file: architecture, chat template, sampling defaults; loading.ts and the command line ask.
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readGguf } from './addon.ts'
import type { ChatTemplate, Family, Json } from './conversation.ts'
import { ARCHITECTURES } from './families/index.ts'
import type { SamplingDefaults } from './served.ts'

/** What is wrong with a model, in one sentence that names the file. */
export class ModelError extends Error {
  override name = 'ModelError'
}

export interface ModelFolder {
  /** A folder, or a GGUF file. */
  path: string
  /** The folder's or file's base name. */
  name: string
  architecture: string
  family: Family
  template: ChatTemplate
  /** Where the template came from, for people. */
  templateSource: string
  defaults: SamplingDefaults
  /** Texts of bos, eos and pad: control tokens that plain text leaves out. */
  specialTokens: string[]
}

const MIB = 2 ** 20
const LIMITS = { config: 4 * MIB, tokenizerConfig: 32 * MIB, template: MIB }

type Fields = { [key: string]: unknown }

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const reason = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'it may not be read'
  if (code === 'EISDIR') return 'it is a folder'
  return message.split('\n')[0]!.slice(0, 200)
}

/** The file's text, refused where it is too long to be what it should be. */
const readText = (file: string, limit: number): string => {
  try {
    const info = statSync(file)
    if (!info.isFile()) throw new Error('it is not a plain file')
    if (info.size > limit)
      throw new Error(`it has ${info.size} bytes, more than the ${limit} such a file may have`)
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    throw new ModelError(
      `${file}: ${error instanceof TypeError ? 'it is not UTF-8 text' : reason(error)}`
    )
  }
}

const readObject = (file: string, limit: number): Fields => {
  const text = readText(file, limit)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new ModelError(`${file}: it is not JSON: ${reason(error)}`)
  }
  if (!isFields(value)) throw new ModelError(`${file}: expected a JSON object`)
  return value
}

const optionalObject = (file: string, limit: number): Fields =>
  existsSync(file) ? readObject(file, limit) : {}

const isGguf = (path: string): boolean => /\.gguf$/i.test(path)

/** Of a release of which only `original/` was fetched, that; else the folder itself. */
export const originalWithin = (path: string): string => {
  const original = join(path, 'original')
  const only = !existsSync(join(path, 'config.json')) && existsSync(join(original, 'config.json'))
  return only ? original : path
}

/** The folder or GGUF file as given, or a sentence about what the name might have meant. */
const checkedPath = (given: string): string => {
  const path = resolve(given)
  const info = statSync(path, { throwIfNoEntry: false })
  if (info?.isDirectory()) return originalWithin(path)
  if (info && isGguf(path)) return path
  if (info)
    throw new ModelError(
      `${given}: expected a model folder or a .gguf file, but this is another file`
    )
  if (/^[\w.-]+\/[\w.-]+$/.test(given) && !given.startsWith('.'))
    throw new ModelError(
      `${given}: there is no such folder, and downloading models is not in yet; ` +
        'download it first and pass the folder'
    )
  throw new ModelError(`${given}: there is no such folder`)
}

/** A file's fields with the name to blame. */
interface Source {
  file: string
  fields: Fields
}

/** A model's metadata as Hugging Face's files have it, whatever holds it. */
interface Metadata {
  config: Source
  tokenizer: Source
  generation: Source
}

const folderMetadata = (folder: string): Metadata => {
  const config = join(folder, 'config.json')
  if (!existsSync(config))
    throw new ModelError(
      `${config}: missing; a model folder holds config.json, tokenizer.json and safetensors files`
    )
  const tokenizer = join(folder, 'tokenizer_config.json')
  const generation = join(folder, 'generation_config.json')
  return {
    config: { file: config, fields: readObject(config, LIMITS.config) },
    tokenizer: { file: tokenizer, fields: optionalObject(tokenizer, LIMITS.tokenizerConfig) },
    generation: { file: generation, fields: optionalObject(generation, LIMITS.config) },
  }
}

const ggufMetadata = (file: string): Metadata => {
  try {
    const { config, tokenizerConfig, generationConfig } = readGguf(file)
    const source = (fields: Fields): Source => ({ file, fields })
    return {
      config: source(config),
      tokenizer: source(tokenizerConfig),
      generation: source(generationConfig),
    }
  } catch (error) {
    throw new ModelError((error as Error).message)
  }
}

const architectureOf = ({ file, fields }: Source): string => {
  const { architectures } = fields
  // OpenAI's own layout of gpt-oss names none.
  if (architectures === undefined && 'experts_per_token' in fields) return 'GptOssForCausalLM'
  const [first] = Array.isArray(architectures) ? architectures : []
  if (typeof first !== 'string')
    throw new ModelError(`${file}: "architectures" must be a list that names one architecture`)
  if (!Object.hasOwn(ARCHITECTURES, first))
    throw new ModelError(
      `${file}: architecture ${JSON.stringify(first.slice(0, 100))} is not supported, ` +
        `only ${Object.keys(ARCHITECTURES).join(', ')} is`
    )
  return first
}

const DEFAULTS = [
  { key: 'temperature', field: 'temperature', least: 0, most: 100 },
  { key: 'topP', field: 'top_p', least: 1e-6, most: 1 },
  { key: 'topK', field: 'top_k', least: -1, most: 2 ** 31 },
  { key: 'minP', field: 'min_p', least: 0, most: 1 },
  { key: 'repetitionPenalty', field: 'repetition_penalty', least: 0.01, most: 100 },
] as const

/** Sampling defaults as vLLM takes them: `do_sample` does not matter. */
const defaultsOf = ({ file, fields }: Source): SamplingDefaults => {
  const defaults: SamplingDefaults = {}
  for (const { key, field, least, most } of DEFAULTS) {
    const value = fields[field]
    if (value === undefined || value === null) continue
    const whole = key !== 'topK' || Number.isInteger(value)
    if (typeof value !== 'number' || !whole || value < least || value > most)
      throw new ModelError(
        `${file}: "${field}" must be a ${key === 'topK' ? 'whole ' : ''}number from ${least} to ${most}, ` +
          `not ${JSON.stringify(value)?.slice(0, 60)}`
      )
    // 0 and less mean off.
    if (key === 'topK' && value <= 0) continue
    defaults[key] = value
  }
  return defaults
}

/** `chat_template` of tokenizer_config.json: a text, or a list of named ones with "default" among them. */
const templateIn = (file: string, value: unknown): string | undefined => {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value
  if (Array.isArray(value)) {
    const found = value.find((item) => isFields(item) && item.name === 'default')
    if (isFields(found) && typeof found.template === 'string') return found.template
    throw new ModelError(`${file}: "chat_template" has no template named "default"`)
  }
  throw new ModelError(`${file}: "chat_template" must be text or a list of named templates`)
}

interface TemplateText {
  text: string
  source: string
}

/** A template named on the command line: a file, or the template itself. */
const givenTemplate = (given: string): TemplateText => {
  const path = resolve(given.length < 4096 && !given.includes('\n') ? given : '.')
  if (statSync(path, { throwIfNoEntry: false })?.isFile())
    return { text: readText(path, LIMITS.template), source: given }
  if (/[{}\n]/.test(given)) return { text: given, source: '--chat-template' }
  throw new ModelError(`${given}: --chat-template names no file, and is no template either`)
}

const templateOf = (
  path: string,
  tokenizer: Source,
  stock: string,
  given: string | undefined
): TemplateText => {
  if (given !== undefined) return givenTemplate(given)
  const file = join(path, 'chat_template.jinja')
  if (existsSync(file)) return { text: readText(file, LIMITS.template), source: file }
  const source = tokenizer.file
  const text = templateIn(source, tokenizer.fields.chat_template)
  if (text === undefined) return { text: stock, source: "the family's stock template" }
  if (text.length > LIMITS.template)
    throw new ModelError(`${source}: "chat_template" is longer than ${LIMITS.template} characters`)
  return { text, source }
}

/** Renders one turn, so that what does not work is found at start. */
export const checkTemplate = (
  template: ChatTemplate,
  source: string,
  templateVariables: { [key: string]: Json } = {}
): void => {
  try {
    template.render({
      messages: [{ role: 'user', content: 'Hello' }],
      tools: [],
      toolChoice: 'auto',
      budget: { tokens: -1, dialect: 'soft' },
      templateVariables,
      addGenerationPrompt: true,
      continueFinalMessage: false,
    })
  } catch (error) {
    throw new ModelError(`${source}: the chat template does not work: ${reason(error)}`)
  }
}

const compiled = (family: Family, { text, source }: TemplateText): ChatTemplate => {
  try {
    return family.template(text)
  } catch (error) {
    throw new ModelError(`${source}: the chat template does not compile: ${reason(error)}`)
  }
}

const specialTokensOf = (tokenizerConfig: Fields): string[] =>
  ['bos_token', 'eos_token', 'pad_token'].flatMap((key) => {
    const value = tokenizerConfig[key]
    const text = isFields(value) ? value.content : value
    return typeof text === 'string' ? [text] : []
  })

const LFS_POINTER = 'version https://git-lfs'

/** A clone without Git LFS has short texts where the weights should be. */
const checkNoPointers = (folder: string): void => {
  const file = join(folder, 'tokenizer.json')
  if (!existsSync(file)) return
  const head = Buffer.alloc(LFS_POINTER.length)
  const handle = openSync(file, 'r')
  try {
    readSync(handle, head, 0, head.length, 0)
  } finally {
    closeSync(handle)
  }
  if (head.toString('latin1') === LFS_POINTER)
    throw new ModelError(`${file}: this is a Git LFS pointer; run "git lfs pull" in the folder`)
}

/** What a model is called where nobody names it: its folder's or file's base name. */
export const nameOf = (path: string): string =>
  basename(resolve(path).replace(/(?<=[^/\\])[/\\]original$/, '')).replace(
    /(-00001-of-\d+)?\.gguf$/i,
    ''
  )

/** Everything about a model that is not a tensor, checked; throws ModelError. */
export const readModelFolder = (
  given: string,
  options: { chatTemplate?: string } = {}
): ModelFolder => {
  const path = checkedPath(given)
  const metadata = isGguf(path) ? ggufMetadata(path) : folderMetadata(path)
  const architecture = architectureOf(metadata.config)
  const { family, stockTemplate } = ARCHITECTURES[architecture]!
  checkNoPointers(path)
  const found = templateOf(path, metadata.tokenizer, stockTemplate, options.chatTemplate)
  const template = compiled(family, found)
  checkTemplate(template, found.source)
  return {
    path,
    name: nameOf(path),
    architecture,
    family,
    template,
    templateSource: found.source,
    defaults: defaultsOf(metadata.generation),
    specialTokens: specialTokensOf(metadata.tokenizer.fields),
  }
}

/** The package of demo models: in this checkout, or installed. */
const demoPackage = (): string => {
  const here = fileURLToPath(new URL('../npm/demo-models/package.json', import.meta.url))
  if (existsSync(here)) return here
  try {
    return createRequire(import.meta.url).resolve('@seed/demo-models/package.json')
  } catch {
    throw new ModelError(
      'the demo models are not installed; install @seed/demo-models, or name a model folder with --model'
    )
  }
}

/** What is served when nothing is named: the folders of the demo package that are there, in the order it lists them. */
export const demoFolders = (): string[] => {
  const file = demoPackage()
  const { files } = readObject(file, LIMITS.config)
  const folders = (Array.isArray(files) ? files : []).map((name) => join(dirname(file), `${name}`))
  const found = folders.filter((folder) => existsSync(join(folder, 'config.json')))
  if (found.length === 0) throw new ModelError(`${file}: "files" lists no model folder`)
  return found
}
