// What npm run test:mutations runs: every wrong turn must make its golden tests fail. All of them are built into one
// copy of the crates, each behind its name in the environment, so that one compilation serves them all.
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WRONG_TURNS } from './wrong-turns.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
// At a place that stays, so that cargo keeps what it built of the dependencies. The target must be its own: cargo tells
// packages by their path within the workspace and would hand the mutated crates to the next real build.
const COPY = join(ROOT, 'target/mutations/source')
const TARGET = join(ROOT, 'target/mutations/build')
const BINARIES = ['golden', 'golden_gpt_oss']

/** Asked where a mutated expression stands. */
const SWITCH = `
fn wrong_turn(name: &str) -> bool {
    static TAKEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TAKEN.get_or_init(|| std::env::var("SEED_WRONG_TURN").unwrap_or_default()) == name
}
`

const grouped = (turns, key) =>
  turns.reduce((all, turn) => all.set(turn[key], [...(all.get(turn[key]) ?? []), turn]), new Map())

/** One source with all its wrong turns; those of one expression ask one after another. */
const mutated = (text, turns) => {
  for (const [find, rivals] of grouped(turns, 'find')) {
    const parts = text.split(find)
    if (parts.length !== 2) throw new Error(`"${find}" occurs ${parts.length - 1} times`)
    const branches = rivals.map(
      ({ name, replace }) => `if wrong_turn(${JSON.stringify(name)}) { ${replace} } else `
    )
    text = parts.join(`({ ${branches.join('')}{ ${find} } })`)
  }
  return text + SWITCH
}

const copy = () => {
  rmSync(COPY, { recursive: true, force: true })
  for (const part of ['crates', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml'])
    cpSync(join(ROOT, part), join(COPY, part), { recursive: true, preserveTimestamps: true })
  for (const [file, turns] of grouped(WRONG_TURNS, 'file'))
    writeFileSync(join(COPY, file), mutated(readFileSync(join(ROOT, file), 'utf8'), turns))
}

/** Compiles the golden tests of the copy; path of each binary by its name. */
const build = () => {
  const tests = BINARIES.flatMap((name) => ['--test', name])
  const { status, stdout } = spawnSync(
    'cargo',
    ['test', '--release', '-p', 'seed-engine', ...tests, '--no-run', '--message-format=json'],
    {
      cwd: COPY,
      env: { ...process.env, CARGO_TARGET_DIR: TARGET },
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    }
  )
  const messages = (stdout ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  if (status !== 0) {
    const errors = messages.filter(({ message }) => message?.level === 'error')
    throw new Error(errors.map(({ message }) => message.rendered).join('\n') || 'cargo has failed')
  }
  return new Map(
    messages
      .filter(({ executable, target }) => executable && BINARIES.includes(target.name))
      .map(({ executable, target }) => [target.name, executable])
  )
}

/** Whether a test passes with a wrong turn taken, or none. Only a comparison that fails counts as failing. */
const passes = (binaries, test, turn) => {
  const [binary, name] = test.split('::')
  const { stdout, stderr } = spawnSync(binaries.get(binary), ['--exact', name], {
    cwd: join(COPY, 'crates/engine'),
    env: { ...process.env, SEED_WRONG_TURN: turn },
    encoding: 'utf8',
    timeout: 120_000,
  })
  if (stdout.includes('test result: ok. 1 passed')) return true
  const compared = `panicked at crates/engine/tests/${binary}.rs`
  if (stdout.includes('0 passed; 1 failed') && stdout.includes(compared)) return false
  throw new Error(
    `${turn || 'the source as it is'}: ${test} came to no verdict\n${stdout}${stderr}`
  )
}

copy()
const binaries = build()
const tests = new Set(WRONG_TURNS.flatMap(({ fails }) => fails))
const broken = [...tests].filter((test) => !passes(binaries, test, ''))
if (broken.length > 0) throw new Error(`fails without a wrong turn: ${broken.join(', ')}`)
const unseen = WRONG_TURNS.flatMap(({ name, fails }) =>
  fails.filter((test) => passes(binaries, test, name)).map((test) => `${name}: ${test} passes`)
)
for (const line of unseen) console.error(line)
console.log(`${WRONG_TURNS.length} wrong turns, ${unseen.length} go unseen`)
process.exitCode = unseen.length > 0 ? 1 : 0
