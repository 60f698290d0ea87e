// GET /openapi.json: it describes every route that is mounted and no other, and its bodies are what the checks take.
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect, test } from 'vitest'
import { templateOf } from '../../src/routes/openapi.ts'
import { type Any, appOver } from './ask.ts'

const document = async (settings: object = {}): Promise<Any> => {
  const { app } = appOver({ steps: [] }, settings)
  const headers = { authorization: 'Bearer k' }
  return (await app.request('/openapi.json', { headers })).json()
}

const operations = ({ paths }: Any): [path: string, method: string, operation: Any][] =>
  Object.entries(paths as Any).flatMap(([path, methods]) =>
    Object.entries(methods as Any).map(
      ([method, operation]) => [path, method.toUpperCase(), operation] as [string, string, Any]
    )
  )

test('every mounted route is described, and what is described is mounted', async () => {
  const { app } = appOver({ steps: [] })
  const mounted = app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${templateOf(path)}`)
  const described = operations(await document()).map(([path, method]) => `${method} ${path}`)
  expect(described.toSorted()).toEqual([...new Set(mounted)].toSorted())
  expect(described.length).toBeGreaterThan(20)
})

test('operations have names of their own, and their schemas are ones', async () => {
  const doc = await document()
  const all = operations(doc)
  expect(new Set(all.map(([, , { operationId }]) => operationId)).size).toBe(all.length)
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  for (const [path, method, { requestBody, responses }] of all) {
    const schema = requestBody?.content['application/json'].schema
    expect(Boolean(schema), `${method} ${path}`).toBe(
      method === 'POST' && !path.endsWith('/cancel')
    )
    if (schema) expect(() => ajv.compile(schema), path).not.toThrow()
    expect(Object.keys(responses)).toContain('200')
    expect(Object.keys(responses)).toContain('403')
  }
})

test.each([
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }, true],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], n: 1.5 }, false],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], temperature: 3 }, false],
  ['/v1/chat/completions', { messages: [] }, false],
  ['/v1/completions', { prompt: [[1, 2], [3]] }, true],
  ['/v1/completions', { prompt: '' }, false],
  ['/v1/completions', { prompt: {} }, false],
  ['/v1/completions', { prompt: 'x', logprobs: 21 }, false],
  ['/v1/responses', { input: 'Hi', max_output_tokens: 1 }, true],
  ['/v1/responses', { input: 7 }, false],
  ['/detokenize', { tokens: [65] }, true],
  ['/detokenize', { tokens: [-1] }, false],
])('%s takes %j as its schema says: %s', async (path, body, good) => {
  const { paths } = await document()
  const { schema } = paths[path].post.requestBody.content['application/json']
  expect(new Ajv2020({ strict: false, validateFormats: false }).validate(schema, body)).toBe(good)
  const { post } = appOver({ steps: ['a'] })
  expect((await post(path, body)).status).toBe(good ? 200 : 400)
})

test('keys are asked for where there are any, but not of probes', async () => {
  expect((await document()).security).toBeUndefined()
  const { security, paths, servers } = await document({ apiKeys: ['k'], rootPath: 'a/b' })
  expect(security).toEqual([{ key: [] }])
  expect(paths['/health'].get.security).toEqual([])
  expect(paths['/metrics'].get.security).toBeUndefined()
  expect(servers).toEqual([{ url: '/a/b' }])
})
