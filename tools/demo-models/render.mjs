// Renders conversations as harmony with the product's own template: a line of JSON in, a line of JSON out. harmony.py drives it.
import { createInterface } from 'node:readline'
import { gptOssTemplate } from '../../dist/families/gpt-oss/template.js'

const template = gptOssTemplate({ currentDate: () => null })

const toolOf = (tool) => ({
  name: tool.function.name,
  source: JSON.stringify(tool),
  ...tool.function,
})

for await (const line of createInterface({ input: process.stdin })) {
  const { messages, tools, effort, date } = JSON.parse(line)
  const { text } = template.render({
    messages,
    tools: tools.map(toolOf),
    toolChoice: 'auto',
    parallelToolCalls: false,
    budget: { tokens: -1, dialect: 'soft' },
    templateVariables: { reasoning_effort: effort, current_date: date },
    addGenerationPrompt: true,
    continueFinalMessage: false,
  })
  process.stdout.write(`${JSON.stringify(text)}\n`)
}
