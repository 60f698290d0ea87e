// Finds and loads the native addon; native.ts takes its engine, model.ts what it says of GGUF files, machine.ts what it says of this machine, vocabulary.ts its tokens.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { NativeEngine, NativeEvent } from './native.ts'

export interface Addon {
  NativeEngine: new (options: unknown, callback: (event: NativeEvent) => void) => NativeEngine
  readGguf(path: string): string
  prospect(model: unknown): string
  machine(): string
  harmonyVocabulary(): { bytes: Uint8Array; offsets: Uint32Array; control: Uint32Array }
  shareMemory(models: unknown[]): number[]
  quantizeFolder(folder: string, format: string, file: string): Promise<void>
}

/** Name of the prebuilt package's platform part, as napi names it. */
const platformName = (): string => {
  const { platform, arch } = process
  if (platform !== 'linux')
    return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } }
  return `linux-${arch}-${report?.header?.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

/** Where an addon may be, best first, each with words for people. */
const candidates = (name: string): { path: string; origin: string }[] => {
  const local = fileURLToPath(new URL(`../native/seed.${name}.node`, import.meta.url))
  const named = process.env.SEED_NATIVE
  return [
    ...(named === undefined ? [] : [{ path: named, origin: 'named by SEED_NATIVE' }]),
    ...(existsSync(local) ? [{ path: local, origin: 'built in this checkout' }] : []),
    { path: `@seed/server-${name}`, origin: 'the prebuilt package' },
  ]
}

export interface FoundAddon {
  addon: Addon
  path: string
  origin: string
  /** Those before it, with why they could not be loaded. */
  passedOver: string[]
}

/** Loads the addon: SEED_NATIVE, then the one built in this checkout, then the prebuilt package. */
export const findAddon = (): FoundAddon => {
  const require = createRequire(import.meta.url)
  const name = platformName()
  const passedOver: string[] = []
  for (const { path, origin } of candidates(name)) {
    try {
      return { addon: require(path) as Addon, path: require.resolve(path), origin, passedOver }
    } catch (error) {
      passedOver.push(`${path}: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  throw new Error(
    `the native engine for ${name} could not be loaded (${passedOver.join('; ')}); ` +
      'reinstall @seed/server, or build it with "npm run build"'
  )
}

export const loadAddon = (): Addon => findAddon().addon

/** What a GGUF file says beside its tensors, in the words of a Hugging Face folder's files. */
export interface GgufFacts {
  config: { [key: string]: unknown }
  tokenizerConfig: { [key: string]: unknown }
  generationConfig: { [key: string]: unknown }
}

/** Reads a GGUF file's header; throws with one sentence that names the file. */
export const readGguf = (path: string): GgufFacts =>
  JSON.parse(loadAddon().readGguf(path)) as GgufFacts
