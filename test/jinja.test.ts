// The interpreter against Python's jinja2: expressions, whole templates, limits, and what it relies on in the package.
import { readFileSync } from 'node:fs'
import * as jinja from '@huggingface/jinja'
import { describe, expect, it } from 'vitest'
import { compileTemplate, fromJsonText, TemplateError, values } from '../src/jinja.ts'
import type { MapLike, Value } from '../src/jinja.ts'
import { sourceOf, sourcesOf } from '../src/json.ts'

const fixtures = new URL('fixtures/', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, fixtures), 'utf8')
const lines = (path: string): string[] => read(path).trimEnd().split('\n')
const now = new Date(2026, 2, 7, 9, 5, 4)
const special = {
  bos_token: values.ownText('<seed:bos>'),
  eos_token: values.ownText('<seed:eos>'),
  pad_token: values.ownText('<seed:pad>'),
}

function variablesOf(json: string): Record<string, Value> {
  return Object.fromEntries((fromJsonText(json) as MapLike).value) as Record<string, Value>
}

/** The text, or null where we raise. */
function rendered(source: string, variables: Record<string, Value>): string | null {
  try {
    return compileTemplate(source).render(variables, { now }).text
  } catch (error) {
    if (error instanceof TemplateError) return null
    throw error
  }
}

describe('Python agreement', () => {
  it('prints expressions as Python does', () => {
    const [first, ...rest] = lines('render/expressions.jsonl')
    const variables = sourceOf(first!, ['variables'])!
    const misses: unknown[] = []
    for (const line of rest) {
      const { source, text } = JSON.parse(line) as { source: string; text: string | null }
      const ours = rendered(source.replaceAll('⏎', '\n'), variablesOf(variables))
      if (ours !== text) misses.push({ source, python: text, ours })
    }
    console.log(`expressions: ${rest.length - misses.length} of ${rest.length} as Python`)
    expect(misses).toEqual([])
  })

  it("renders templates with popular models' constructs as Python does", () => {
    const conversations = lines('render/conversations.jsonl')
    const cases = lines('render/features.jsonl')
    const misses: unknown[] = []
    for (const line of cases) {
      const expected = JSON.parse(line) as { template: string; case: number; text: string | null }
      const variables = {
        tools: values.nullValue,
        documents: values.nullValue,
        ...special,
        ...variablesOf(conversations[expected.case]!),
      }
      const ours = rendered(read(`templates/features/${expected.template}.jinja`), variables)
      if (ours !== expected.text) misses.push({ ...expected, ours })
    }
    const count = new Set(cases.map((line) => (JSON.parse(line) as { template: string }).template))
    console.log(
      `${count.size} feature templates: ${cases.length - misses.length} of ${cases.length} as Python`
    )
    expect(misses).toEqual([])
  })
})
