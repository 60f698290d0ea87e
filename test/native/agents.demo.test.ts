// Agent libraries against the demo models: they call the tool, get its result and answer from it, whichever way they ask.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createServer, type Server } from '../../src/index.ts'
import { demoFolders, nameOf } from '../../src/model.ts'
import { WAYS } from '../clients/agents.ts'

let server: Server

beforeAll(async () => {
  server = await createServer({ port: 0, threads: 2 })
  await server.ready
}, 60_000)

afterAll(async () => {
  await server.close()
})

describe.each(demoFolders().map(nameOf))('%s', (model) => {
  test.each(WAYS)('%s', async (_, ask) => {
    const { answer, calls } = await ask({
      baseURL: `${server.url}/v1`,
      model,
      question: "What's the weather like in Paris today?",
      result: '17 degrees and light rain',
    })
    expect(calls).toEqual([{ location: 'Paris' }])
    expect(answer).toMatch(/17/)
  })
})
