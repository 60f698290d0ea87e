// Agent libraries over gpt-oss's own template and parser, the engine scripted: the tool round trip, whichever way.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { gptOss } from '../../src/families/gpt-oss/index.ts'
import { CONTROL_TOKENS } from '../../src/families/gpt-oss/tokens.ts'
import { ready, ScriptedEngine } from '../scripted.ts'
import { WAYS } from './agents.ts'
import { type Listening, listening } from './socket.ts'

const THOUGHT = '<|channel|>analysis<|message|>I need the weather.<|end|><|start|>assistant'
const CALL =
  '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"location": "Paris"}'
const RESULT = '17 degrees and light rain'

/** Calls once, then answers from what the tool has said. */
const engine = new ScriptedEngine((prompt) => {
  const [, said] =
    /functions\.get_weather to=assistant<\|channel\|>commentary<\|message\|>([^<]*)<\|end\|>/.exec(
      prompt
    ) ?? []
  if (said === undefined) return { steps: [THOUGHT, CALL.slice(0, 90), CALL.slice(90)] }
  return { steps: ['<|channel|>final<|message|>It is ', `${said}.`] }
})
Object.assign(engine as object, { control: CONTROL_TOKENS })

let server: Listening
beforeAll(async () => {
  const life = ready(engine, ['gpt-oss'])
  if (life.model) Object.assign(life.model, { family: gptOss, template: gptOss.template('') })
  server = await listening(life)
})
afterAll(() => server.close())

it.each(WAYS)('%s', async (_, ask) => {
  const question = "What's the weather like in Paris today?"
  const { baseURL } = server
  const { answer, calls } = await ask({ baseURL, model: 'gpt-oss', question, result: RESULT })
  expect(calls).toEqual([{ location: 'Paris' }])
  expect(answer).toMatch(/It is "?17 degrees and light rain/)
  const prompt = engine.decode(engine.requests.at(-1)!.request.prompt)
  // Some write the arguments anew.
  expect(prompt).toMatch(/to=functions\.get_weather.*\{"location": ?"Paris"\}<\|call\|>/)
})
