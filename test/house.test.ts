// The house rules that a machine can check: who imports whom, what files are called, how long they are, what README says.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { SERVE } from '../src/options.ts'
import { flagTable } from '../src/options/help.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const walk = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !/(^|\/)(node_modules|target|dist|fixtures)\//.test(path))
    .toSorted()

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

const TYPESCRIPT = walk('src', /\.ts$/)
const RUST = walk('crates', /\.rs$/)
const TESTS = walk('test', /\.ts$/)
const SCRIPTS = [...walk('tools', /\.(ts|mjs|py)$/), ...walk('bench', /\.(ts|mjs)$/)]

/**
 * Rooms from the street inwards, the first that fits. A file may import from its own room and from those named; the
 * spine (vocabulary that everybody shares) is open to all.
 */
const ROOMS: { name: string; files: RegExp; may: string[] }[] = [
  { name: 'spine', files: /^(conversation|events|json|version|errors|served|log)\.ts$/, may: [] },
  // What runs in other people's processes, so it stands alone.
  { name: 'client', files: /^client\.ts$/, may: [] },
  { name: 'engine', files: /^engine\.ts$/, may: [] },
  { name: 'native', files: /^(native|addon)\.ts$/, may: ['engine'] },
  { name: 'jinja', files: /^jinja(\.ts$|\/)/, may: [] },
  { name: 'grammar', files: /^grammar\//, may: [] },
  { name: 'families', files: /^families\//, may: ['jinja', 'grammar'] },
  { name: 'metrics', files: /^metrics\.ts$/, may: [] },
  { name: 'run', files: /^run(\.ts$|\/)/, may: ['engine', 'families', 'metrics'] },
  { name: 'stream', files: /^stream\//, may: [] },
  { name: 'protocol', files: /^protocol\//, may: ['engine', 'grammar'] },
  { name: 'store', files: /^store\.ts$/, may: [] },
  {
    name: 'routes',
    files: /^routes\//,
    may: ['run', 'protocol', 'stream', 'store', 'engine', 'families', 'grammar', 'metrics'],
  },
  { name: 'app', files: /^app\.ts$/, may: ['routes', 'stream', 'store', 'hosts'] },
  { name: 'options', files: /^options(\.ts$|\/)/, may: [] },
  { name: 'model', files: /^model\.ts$/, may: ['families', 'native'] },
  { name: 'vocabulary', files: /^vocabulary\.ts$/, may: ['native'] },
  { name: 'machine', files: /^machine\.ts$/, may: ['native', 'engine'] },
  {
    name: 'loading',
    files: /^loading\.ts$/,
    may: ['model', 'machine', 'native', 'engine', 'options'],
  },
  { name: 'progress', files: /^progress\.ts$/, may: ['engine'] },
  { name: 'hosts', files: /^hosts\.ts$/, may: [] },
  {
    name: 'server',
    files: /^(server|node-handler)\.ts$/,
    may: ['app', 'loading', 'machine', 'hosts', 'options'],
  },
  {
    name: 'index',
    files: /^index\.ts$/,
    may: ['server', 'app', 'loading', 'model', 'engine', 'options'],
  },
  {
    name: 'cli',
    files: /^cli(\.ts$|\/)/,
    may: [
      'index',
      'server',
      'loading',
      'machine',
      'vocabulary',
      'model',
      'engine',
      'families',
      'run',
      'protocol',
      'options',
      'progress',
      'hosts',
      'stream',
    ],
  },
]

/** The spine looks outward for types only where the contract itself does. */
const SPINE_MAY = new Set(['engine', 'spine'])

const roomOf = (path: string): string =>
  ROOMS.find(({ files }) => files.test(path.replace(/^src\//, '')))?.name ?? `none (${path})`

interface Import {
  from: string
  to: string
}

const importsOf = (path: string): Import[] => {
  const found = read(path).matchAll(/(?:\bfrom|\bimport\()\s*'([^']+)'/g)
  return Array.from(found, ([, to]) => ({ from: path, to: to! }))
}

const local = ({ from, to }: Import): string =>
  normalize(join(dirname(from), to))
    .split(sep)
    .join('/')

const packageOf = (to: string): string =>
  to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : to.split('/')[0]!

describe('who imports whom', () => {
  const all = TYPESCRIPT.flatMap(importsOf)

  test('every file has a room', () => {
    expect(TYPESCRIPT.map(roomOf).filter((room) => room.startsWith('none'))).toEqual([])
  })

  test('imports go inwards', () => {
    const wrong = all
      .filter(({ to }) => to.startsWith('.'))
      .map((one) => ({ ...one, inner: roomOf(local(one)), outer: roomOf(one.from) }))
      .filter(({ inner, outer }) => {
        if (inner === outer || (inner === 'spine' && outer !== 'spine')) return false
        if (outer === 'spine') return !SPINE_MAY.has(inner)
        return !ROOMS.find(({ name }) => name === outer)!.may.includes(inner)
      })
      .map(({ from, to, outer, inner }) => `${from} → ${to} (${outer} → ${inner})`)
    expect(wrong).toEqual([])
  })

  test('local imports name files that are there', () => {
    const missing = all.filter((one) => one.to.startsWith('.') && !TYPESCRIPT.includes(local(one)))
    expect(missing).toEqual([])
  })

  test('each package is used where it belongs', () => {
    const allowed: { [name: string]: RegExp } = {
      hono: /^src\/(app|routes\/)/,
      '@hono/node-server': /^src\/(server|node-handler)\.ts$/,
      zod: /^src\/(grammar|protocol|routes)\//,
      '@huggingface/jinja': /^src\/jinja(\.ts|\/)/,
    }
    const wrong = all
      .filter(({ to }) => !to.startsWith('.') && !to.startsWith('node:'))
      .filter(({ from, to }) => !allowed[packageOf(to)]?.test(from))
      .map(({ from, to }) => `${from} → ${to}`)
    expect(wrong).toEqual([])
  })

  test('every room is built of more than rules: none is empty', () => {
    const used = new Set(TYPESCRIPT.map(roomOf))
    expect(ROOMS.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([])
  })
})

describe('what crates may see', () => {
  const RULES: { files: RegExp; never: RegExp; why: string }[] = [
    {
      files: /^crates\/engine\/src\/(scheduler\/|cache\/(pages|prefix|group|tables)\.rs)/,
      never: /\bcandle/,
      why: 'scheduler and pages know no tensors',
    },
    {
      files: /^crates\/kernels\//,
      never: /\b(candle|seed_engine|napi)/,
      why: 'kernels see slices',
    },
    {
      files: /^crates\/engine\/src\/(model|ops)\//,
      never: /crate::(request|scheduler|engine|sampling)\b/,
      why: 'models see a batch, never a request',
    },
    {
      files: /^crates\/engine\/src\/(scheduler|cache|sampling|weights|text)\//,
      never: /crate::engine\b/,
      why: 'the loop is the outermost',
    },
    { files: /^crates\/engine\//, never: /\bnapi\b/, why: 'the engine knows no Node' },
    {
      files: /^crates\/engine\/src\/scheduler\//,
      never: /\bInstant::now|SystemTime/,
      why: 'no clock',
    },
  ]

  test.each(RULES)('$why', ({ files, never }) => {
    const seen = RUST.filter((path) => files.test(path))
    expect(seen.length).toBeGreaterThan(0)
    const wrong = seen.flatMap((path) =>
      read(path)
        .split('\n')
        .filter((line) => never.test(line.replace(/\/\/.*$/, '')))
        .map((line) => `${path}: ${line.trim()}`)
    )
    expect(wrong).toEqual([])
  })
})

describe('files', () => {
  const BANNED = new Set([
    'utils',
    'util',
    'helpers',
    'helper',
    'common',
    'misc',
    'manager',
    'service',
    'base',
    'types',
  ])

  test('are named for what they are', () => {
    const wrong = [...TYPESCRIPT, ...RUST, ...TESTS, ...SCRIPTS].filter((path) =>
      path.split('/').some((part) => BANNED.has(part.replace(/\..*$/, '')))
    )
    expect(wrong).toEqual([])
  })

  test('are of a length one can read', () => {
    const isTest = (path: string): boolean =>
      path.startsWith('test/') || /(^|\/)tests?(\/|\.rs$)/.test(path)
    const long = [...TYPESCRIPT, ...RUST, ...TESTS, ...SCRIPTS]
      .map((path) => ({ path, lines: read(path).split('\n').length - 1 }))
      .filter(({ path, lines }) => lines > (isTest(path) ? 600 : 400))
      .map(({ path, lines }) => `${path}: ${lines}`)
    expect(long).toEqual([])
  })

  test('open with a sentence about what they own', () => {
    const wrong = [...TYPESCRIPT, ...RUST, ...TESTS, ...SCRIPTS].filter((path) => {
      const [first = ''] = read(path)
        .replace(/^#!.*\n/, '')
        .split('\n')
      return !/^(\/\/[!/]?|\/\*\*?|#|""")\s*\S.{10}/.test(first)
    })
    expect(wrong).toEqual([])
  })

  test('have no default exports, no enums, no require', () => {
    const wrong = TYPESCRIPT.filter((path) =>
      /^export default|^(export )?(const )?enum |^import \w+ = require/m.test(read(path))
    )
    expect(wrong).toEqual([])
  })

  test('every unsafe block says why it is safe', () => {
    const wrong = RUST.flatMap((path) => {
      const lines = read(path).split('\n')
      return lines
        .map((line, n) => ({ line: line.replace(/\/\/.*$/, ''), n }))
        .filter(({ line }) => /\bunsafe\s*\{/.test(line))
        .filter(({ n }) => !lines.slice(Math.max(0, n - 12), n + 1).some((l) => /SAFETY/.test(l)))
        .map(({ n }) => `${path}:${n + 1}`)
    })
    expect(wrong).toEqual([])
  })
})

test("README's flag table is the one options.ts gives; npm run flags writes it", () => {
  const [, table] = /<!-- flags -->\n([^]*?)<!-- \/flags -->/.exec(read('README.md')) ?? []
  expect(table?.trim()).toBe(flagTable(SERVE))
})

test('package.json names the command and ships what it needs', () => {
  const { bin, files } = JSON.parse(read('package.json')) as {
    bin: { [name: string]: string }
    files: string[]
  }
  expect(bin['seed-server']).toBe('dist/cli.js')
  expect(files).toContain('dist')
  expect(read('src/cli.ts').startsWith('#!/usr/bin/env node\n')).toBe(true)
})
