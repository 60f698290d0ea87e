// Any JSON value in any field of any route: an answer or the caller's mistake, never ours.
import { describe, expect, it } from 'vitest'
import { appOver } from './ask.ts'

const VALUES: unknown[] = [
  true,
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  '',
  'x',
  '\ud800',
  '__proto__',
  'null',
  '1',
  [],
  [null],
  [[]],
  [{}],
  ['x'],
  [1],
  [-1],
  [1e20],
  [['x']],
  {},
  { a: 1 },
  { type: 'x' },
  { type: 'function' },
  { type: 'function', function: null },
  { ['__proto__']: { a: 1 } },
  { constructor: 1 },
  { toString: null },
  [{ role: 'user' }],
  [{ role: 'user', content: [] }],
  [{ role: 'assistant' }],
  [{ role: 'tool', content: '' }],
  [{ role: 'assistant', tool_calls: [] }],
  [{ type: 'function', function: { name: 'f', parameters: null } }],
]

const FIELDS =
  `model messages prompt tokens temperature top_p top_k min_p presence_penalty frequency_penalty repetition_penalty
  n seed stop stop_token_ids include_stop_str_in_output ignore_eos min_tokens max_tokens max_completion_tokens
  logit_bias bad_words allowed_token_ids skip_special_tokens priority cache_salt user stream stream_options
  return_token_ids return_tokens_as_token_ids return_prompt_text logprobs top_logprobs tools tool_choice
  parallel_tool_calls response_format structured_outputs guided_json functions function_call modalities audio echo
  suffix best_of chat_template chat_template_kwargs add_generation_prompt continue_final_message thinking
  thinking_budget thinking_token_budget reasoning reasoning_effort include_reasoning extra_body add_special_tokens
  return_token_strs metadata prompt_logprobs truncate_prompt_tokens use_beam_search toString __proto__`.split(
    /\s+/
  )

const ROUTES: [path: string, base: object][] = [
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }], max_tokens: 3 }],
  ['/v1/chat/completions/render', { messages: [{ role: 'user', content: 'x' }] }],
  ['/v1/completions', { prompt: 'x' }],
  ['/tokenize', { prompt: 'x' }],
  ['/detokenize', { tokens: [1] }],
]

describe('any value in any field', () => {
  it.each(ROUTES)('of %s is never our mistake', { timeout: 60_000 }, async (path, base) => {
    const { send } = appOver({ steps: ['ok'] })
    const all = FIELDS.flatMap((field) => VALUES.map((value) => ({ field, value })))
    for (const { field, value } of all) {
      // A literal `__proto__` in JSON is an ordinary key; only a computed key says so here.
      const body = JSON.stringify({ ...base, ['field-to-be']: value }).replace('field-to-be', field)
      // oxlint-disable-next-line no-await-in-loop
      const response = await send(path, body)
      // oxlint-disable-next-line no-await-in-loop
      const text = await response.text()
      const told = `${field}: ${JSON.stringify(value)} -> ${response.status} ${text.slice(0, 300)}`
      expect([200, 400, 404], told).toContain(response.status)
      if (response.status === 200) expect(text, told).not.toContain('"error"')
      else expect(Object.keys((JSON.parse(text) as { error: object }).error)).toHaveLength(4)
    }
  })
})
