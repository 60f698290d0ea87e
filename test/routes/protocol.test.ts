// What a checked chat body becomes where the wire does not show it: tools as they were written, template variables.
import { describe, expect, it } from 'vitest'
import { checkChat, conversationOf } from '../../src/protocol/chat.ts'
import { modelSettings } from '../scripted.ts'

const conversation = (text: string, settings = modelSettings) => {
  const { extra_body: extra, ...body } = JSON.parse(text) as { [key: string]: unknown }
  return conversationOf(checkChat({ ...body, ...(extra as object) }), text, settings, 4096)
}
const message = `"messages":[{"role":"user","content":"x"}]`
const tool = `{"type":"function", "function":{"name":"f","returns":{"b":1.0},"parameters":{"z":1.50,"a":2}}}`

describe('a tool', () => {
  it('keeps its source, numbers and keys as written, and keys we do not know', () => {
    const [one, two] = conversation(`{${message},"tools":[${tool}, ${tool}]}`).tools
    expect(one).toMatchObject({ name: 'f', source: tool, parameters: { z: 1.5, a: 2 } })
    expect(two?.source).toBe(tool)
    const extra = conversation(`{${message},"extra_body":{"tools":[${tool}]}}`)
    expect(extra.tools[0]?.source).toBe(tool)
  })

  it('may be strict in auto mode', () => {
    const strict = `{"type":"function","function":{"name":"f","strict":true}}`
    const { tools, toolChoice } = conversation(`{${message},"tools":[${strict}]}`)
    expect(tools[0]?.strict).toBe(true)
    expect(toolChoice).toBe('auto')
  })
})

describe('template variables', () => {
  it('are the server’s, then the request’s, without the budget', () => {
    const settings = {
      ...modelSettings,
      defaultTemplateVariables: { use_json_tooldef: true, thinking_budget: 512, a: 1 },
    }
    const kwargs = `"chat_template_kwargs":{"a":2,"b":[1]}`
    const { templateVariables, budget } = conversation(`{${message},${kwargs}}`, settings)
    expect(templateVariables).toEqual({ use_json_tooldef: true, a: 2, b: [1] })
    expect(budget).toEqual({ tokens: 512, dialect: 'soft' })
    const effort = conversation(`{${message},"reasoning_effort":"high"}`, settings)
    expect(effort.templateVariables).toMatchObject({ reasoning_effort: 'high' })
    expect(effort.budget.tokens).toBe(16384)
  })
})
