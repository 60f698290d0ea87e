// What npm start runs: sets up, then serves in this very process, so that signals reach the server.
import { setUp } from './setup.mjs'

setUp()
process.argv.splice(2, 0, 'serve')
await import(new URL('../dist/cli.js', import.meta.url).href)
