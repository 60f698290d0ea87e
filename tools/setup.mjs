// Brings a checkout to where it can run: packages, the native engine, TypeScript; each step only where it is out of date.
// npm test, npm run build and start.mjs call it: `node tools/setup.mjs [packages] [native] [ts]`, without words all three.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const at = (...parts) => join(ROOT, ...parts)

const fail = (sentence) => {
  process.stderr.write(`error: ${sentence}\n`)
  process.exit(1)
}

const say = (sentence) => process.stderr.write(`setup: ${sentence}\n`)

/** What a command prints goes to stderr, so that stdout stays that of the program that is started. */
const call = (command, args, missing) => {
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (error?.code === 'ENOENT') fail(missing)
  if (status !== 0) fail(`${command} ${args.join(' ')} has failed`)
}

/** A hash over names and contents of files; folders are walked. */
const stateOf = (paths) => {
  const hash = createHash('sha256')
  const walk = (path) => {
    if (!existsSync(at(path))) return
    if (statSync(at(path)).isDirectory())
      for (const name of readdirSync(at(path)).toSorted()) walk(join(path, name))
    else
      hash
        .update(`${path}\0`)
        .update(readFileSync(at(path)))
        .update('\0')
  }
  for (const path of paths) walk(path)
  return hash.digest('hex')
}

/** Does `work` unless `made` is there and was made from this very state; a work that fails leaves no stamp. */
const step = (what, paths, made, stamp, work) => {
  const state = stateOf(paths)
  const before = existsSync(at(stamp)) ? readFileSync(at(stamp), 'utf8') : ''
  if (existsSync(at(made)) && before === state) return
  say(what)
  rmSync(at(stamp), { force: true })
  work()
  writeFileSync(at(stamp), state)
}

const packages = () => {
  const stamp = 'node_modules/.seed-packages'
  const listed = at('node_modules/.package-lock.json')
  // Packages somebody has installed by hand count where they are no older than the lock.
  const fresh =
    existsSync(listed) &&
    statSync(listed).mtimeMs + 1000 >= statSync(at('package-lock.json')).mtimeMs
  if (fresh) writeFileSync(at(stamp), stateOf(['package-lock.json']))
  step('installing packages', ['package-lock.json'], 'node_modules', stamp, () =>
    call(
      process.platform === 'win32' ? 'npm.cmd' : 'npm',
      ['ci', '--ignore-scripts', '--no-audit', '--no-fund'],
      'npm is missing; it comes with Node'
    )
  )
}

/** The addon's name as napi has it; src/native.ts looks for the same. */
const platformName = () => {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  return `linux-${arch}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

const LIBRARY = { win32: 'seed_node.dll', darwin: 'libseed_node.dylib' }

const RUST = [
  'Cargo.toml',
  'Cargo.lock',
  'rust-toolchain.toml',
  ...readdirSync(at('crates')).flatMap((crate) => [
    `crates/${crate}/Cargo.toml`,
    `crates/${crate}/build.rs`,
    `crates/${crate}/src`,
  ]),
]

const native = () => {
  const addon = `native/seed.${platformName()}.node`
  step(
    'building the native engine (the first time takes minutes)',
    RUST,
    addon,
    'native/.seed-built',
    () => {
      call(
        'cargo',
        ['build', '--release', '-p', 'seed-node'],
        'cargo is missing; the engine is built with Rust, see https://rustup.rs'
      )
      mkdirSync(at('native'), { recursive: true })
      const target = process.env.CARGO_TARGET_DIR ?? at('target')
      // Renamed into place, so that a process that runs keeps the one it has mapped.
      copyFileSync(
        join(target, 'release', LIBRARY[process.platform] ?? 'libseed_node.so'),
        at(`${addon}.new`)
      )
      renameSync(at(`${addon}.new`), at(addon))
    }
  )
}

const TYPESCRIPT = [
  'src',
  'examples',
  'tools/bundle.mjs',
  'tsconfig.json',
  'tsconfig.examples.json',
  'package.json',
]

const ts = () =>
  step('building TypeScript', TYPESCRIPT, 'dist/cli.js', 'dist/.seed-built', () => {
    rmSync(at('dist'), { recursive: true, force: true })
    const tsc = at('node_modules/typescript/bin/tsc')
    // The examples see the package as its users do, so they come last.
    for (const args of [
      [tsc, '-p', 'tsconfig.json'],
      [at('tools/bundle.mjs')],
      [tsc, '-p', 'tsconfig.examples.json'],
    ])
      call(process.execPath, args, 'node is missing')
    chmodSync(at('dist/cli.js'), 0o755)
  })

const STEPS = { packages, native, ts }

/** Runs the steps named, in their order. */
export const setUp = (wanted = Object.keys(STEPS)) => {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node ${process.versions.node} is too old; 20.19 or newer is needed`)
  const unknown = wanted.find((name) => !Object.hasOwn(STEPS, name))
  if (unknown) fail(`setup knows ${Object.keys(STEPS).join(', ')}, not ${unknown}`)
  for (const [name, work] of Object.entries(STEPS)) if (wanted.includes(name)) work()
}

if (
  process.argv[1] &&
  realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url))
)
  setUp(process.argv.length > 2 ? process.argv.slice(2) : undefined)
