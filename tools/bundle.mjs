// Bundles src and the packages it needs into few files of dist: a start reads some twenty, where modules by themselves were over two hundred.
// setup.mjs calls it after tsc, which writes the types.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))

/** What package.json names, and after it what tools and benchmarks use. */
const ENTRIES = [
  'cli',
  'index',
  'client',
  'families/gpt-oss/template',
  'model',
  'native',
  'options',
  'options/help',
]

/** The folder of the package that holds a module, where a package does. */
const packageOf = (id) => {
  const parts = id.split(sep)
  const from = parts.lastIndexOf('node_modules') + 1
  if (from === 0) return undefined
  return parts.slice(0, from + (parts[from].startsWith('@') ? 2 : 1)).join(sep)
}

/** The licences of what is bundled; each asks to be passed on. */
const licences = (modules) => {
  const folders = [...new Set(modules.map(packageOf))].filter((folder) => folder !== undefined)
  const texts = folders.toSorted().map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    if (!file) throw new Error(`${name} has no licence that could be passed on`)
    return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
  })
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}

const bundle = await rolldown({
  input: Object.fromEntries(ENTRIES.map((name) => [name, at(`src/${name}.ts`)])),
  platform: 'node',
  cwd: dirname(at('package.json')),
})
// All chunks lie in dist itself: code finds native/ and npm/ by its own address.
const { output } = await bundle.write({ dir: at('dist'), format: 'esm', sourcemap: true })
await bundle.close()
const modules = output.flatMap(({ moduleIds = [] }) => moduleIds)
writeFileSync(at('dist/THIRD-PARTY-LICENSES.txt'), licences(modules))
