// What npm start runs: sets up, then serves in this very process, so that signals reach the server.
import { setUp } from './setup.mjs'

/**
 * npm runs scripts in a shell that a SIGTERM to npm ends without a word to us; when the shell has gone and no signal
 * has come, this process drains as if it had been told.
 */
const followNpm = () => {
  if (process.env.npm_lifecycle_event !== 'start') return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, 250)
  timer.unref()
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => clearInterval(timer))
}

const before = process.ppid
setUp()
if (process.ppid !== before) process.exit(143)
process.argv.splice(2, 0, 'serve')
const served = import(new URL('../dist/cli.js', import.meta.url).href)
followNpm()
await served
