// The stream's body: joined frames, keep-alive, bounded buffering, and cancelling when the reader leaves.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { sseBody } from '../../src/stream/sse.ts'
import { pause } from '../scripted.ts'
import { appOver } from './ask.ts'

const rejections: unknown[] = []
const note = (reason: unknown): void => void rejections.push(reason)
beforeAll(() => void process.on('unhandledRejection', note))
afterAll(async () => {
  await pause(20)
  process.off('unhandledRejection', note)
  expect(rejections).toEqual([])
})

const options = { keepAliveSeconds: 0, onError: () => 'error', cancel: () => {} }
const text = new TextDecoder()

const chatBody = { messages: [{ role: 'user', content: 'Hi' }], stream: true }

async function* frames(): AsyncGenerator<string, undefined> {
  for (const frame of ['a', 'b', 'c', 'd']) yield frame
  return undefined
}

async function* much(): AsyncGenerator<string, undefined> {
  for (let n = 0; n < 50; n += 1) yield 'x'.repeat(100_000)
  return undefined
}

async function* broken(): AsyncGenerator<string, undefined> {
  yield 'a'
  throw new Error('x')
}

async function* slow(): AsyncGenerator<string, undefined> {
  await pause(60)
  yield 'a'
  return undefined
}

describe('a body', () => {
  it('joins what waits for a slow reader', async () => {
    const reader = sseBody(frames(), options).getReader()
    await pause(5)
    const pieces: string[] = []
    for (let part = await reader.read(); !part.done; part = await reader.read())
      pieces.push(text.decode(part.value))
    expect(pieces.join('')).toBe('abcd')
    expect(pieces.length).toBeLessThan(4)
  })

  it('holds the source back while much is unread, and cuts a reader that stalls', async () => {
    vi.useFakeTimers()
    try {
      let made = 0
      const cancel = vi.fn()
      async function* endless(): AsyncGenerator<string, undefined> {
        for (;;) {
          made += 1
          yield 'x'.repeat(100_000)
        }
      }
      const body = sseBody(endless(), { ...options, cancel })
      await vi.advanceTimersByTimeAsync(1000)
      const held = made
      expect(held).toBeLessThan(20)
      await vi.advanceTimersByTimeAsync(30_000)
      expect(made).toBe(held)
      await vi.advanceTimersByTimeAsync(60_000)
      expect(cancel).toHaveBeenCalled()
      expect(made).toBe(held)
      const reader = body.getReader()
      await expect(reader.read()).rejects.toThrow('does not read')
    } finally {
      vi.useRealTimers()
    }
  })

  it('resumes when the reader reads again', async () => {
    const body = sseBody(much(), options)
    await pause(5)
    expect((await new Response(body).text()).length).toBe(5_000_000)
  })

  it('tells a source that throws, and ends', async () => {
    expect(await new Response(sseBody(broken(), options)).text()).toBe('aerror')
  })

  it('says it is alive while nothing comes', async () => {
    const body = sseBody(slow(), { ...options, keepAliveSeconds: 0.02 })
    expect(await new Response(body).text()).toMatch(/^(: keep-alive\n\n)+a$/)
  })
})

describe('a stream', () => {
  it('sends its headers in time although the first token is late', async () => {
    const { send } = appOver({ steps: [{ wait: 800 }, 'a'] }, { keepAliveSeconds: 0.05 })
    const begun = performance.now()
    const response = await send('/v1/chat/completions', chatBody)
    expect(performance.now() - begun).toBeLessThan(700)
    const all = await response.text()
    expect(all).toContain(': keep-alive\n\n')
    expect(all.endsWith('data: [DONE]\n\n')).toBe(true)
  })

  it('cancels the engine when its reader leaves', async () => {
    const { send, engine } = appOver({ steps: ['a', { wait: 10_000 }, 'b'] })
    const response = await send('/v1/chat/completions', { ...chatBody, n: 3 })
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    await pause(5)
    expect(engine.requests.map(({ cancelled }) => cancelled)).toEqual([true, true, true])
    expect(engine.running).toBe(0)
  })

  it('cancels the engine when the request is aborted, at any time', async () => {
    for (const wait of [0, 1, 5]) {
      for (const stream of [true, false]) {
        const { send, engine } = appOver({ steps: [{ wait: 2 }, 'a', { wait: 10_000 }, 'b'] })
        const leaving = new AbortController()
        const answer = send(
          '/v1/chat/completions',
          { ...chatBody, stream },
          { signal: leaving.signal }
        )
          .then((response) => response.text())
          .catch(() => 'aborted')
        // oxlint-disable-next-line no-await-in-loop
        await pause(wait)
        leaving.abort()
        // oxlint-disable-next-line no-await-in-loop
        await answer
        expect(engine.running).toBe(0)
      }
    }
  })

  it('that was never read is still cancelled by the signal', async () => {
    const { send, engine } = appOver({ steps: ['a', { wait: 10_000 }] })
    const leaving = new AbortController()
    await send('/v1/completions', { prompt: 'x', stream: true }, { signal: leaving.signal })
    expect(engine.running).toBe(1)
    leaving.abort()
    await pause(5)
    expect(engine.running).toBe(0)
  })
})

describe('a reader that never reads', () => {
  it('is given up, and what waits for it stays bounded', async () => {
    const step = [120, 121]
    const { send, engine } = appOver(
      { steps: Array.from({ length: 200_000 }, () => step) },
      {},
      { context: 8_000_000 }
    )
    await send('/v1/completions', { prompt: 'x', stream: true, max_tokens: 7_000_000 })
    for (let n = 0; n < 500 && engine.running > 0; n += 1)
      // oxlint-disable-next-line no-await-in-loop
      await pause(10)
    expect(engine.running).toBe(0)
    expect(engine.requests[0]?.cancelled).toBe(true)
    expect(engine.requests[0]?.steps).toBeLessThan(100_000)
  }, 20_000)
})
