// The table of routes: what answers where, and what the document of the API says of it. app.ts mounts it.
import { type ApiError, anthropicEnvelope } from '../errors.ts'
import { countedSchema, messagesSchema } from '../protocol/anthropic.ts'
import { chatSchema, promptSchema } from '../protocol/chat.ts'
import { completionSchema } from '../protocol/completions.ts'
import { responsesSchema } from '../protocol/responses.ts'
import { countMessage, createMessage } from './anthropic.ts'
import { chat, renderChat } from './chat.ts'
import { completions } from './completions.ts'
import { health, livez, load, version } from './health.ts'
import { metrics } from './metrics.ts'
import { listModels, retrieveModel } from './models.ts'
import { ollamaTags, ollamaVersion } from './ollama.ts'
import { type Answered, type Described, documentOf } from './openapi.ts'
import type { Ask, House } from './request.ts'
import { countInput, createResponse, renderResponse } from './responses.ts'
import {
  cancelResponse,
  deleteResponse,
  listInputItems,
  retrieveResponse,
} from './responses/stored.ts'
import { detokenize, detokenizeSchema, tokenize, tokenizeSchema } from './tokenize.ts'

export interface Route {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  answer: (house: House, ask: Ask) => Response | Promise<Response>
  /** Answers although no model is ready. */
  always?: true
  /** How its errors are told, where not as OpenAI's. */
  errorBody?: (error: ApiError, requestId: string) => object
  described: Described
}

type Schema = { [key: string]: unknown }

const STRING = { type: 'string' }
const INTEGER = { type: 'integer' }
const OBJECT = { type: 'object' }
const list = (items: Schema): Schema => ({ type: 'array', items })

/** An object that has at least these. */
const object = (properties: { [name: string]: Schema }): Schema => ({
  type: 'object',
  required: Object.keys(properties),
  properties,
})

const json = (description: string, properties: { [name: string]: Schema }): Answered => ({
  description,
  content: { 'application/json': object(properties) },
})

/** The same, or in pieces where a stream is asked for. */
const streamable = (description: string, properties: { [name: string]: Schema }): Answered => ({
  description,
  content: { 'application/json': object(properties), 'text/event-stream': STRING },
})

const USAGE = object({ prompt_tokens: INTEGER, completion_tokens: INTEGER, total_tokens: INTEGER })
const MODEL = { id: STRING, object: { const: 'model' }, created: INTEGER, owned_by: STRING }
const RESPONSE = {
  id: STRING,
  object: { const: 'response' },
  created_at: INTEGER,
  model: STRING,
  status: { enum: ['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'] },
  output: list(object({ type: STRING })),
}
const PROMPT = json('The prompt and its tokens.', {
  prompt: STRING,
  prompt_token_ids: list(INTEGER),
})
const GENERATION_ERRORS = [404, 429, 500]

const READY: Described = {
  summary: 'Whether requests for each of the models would be taken now',
  ok: json('How each model is.', { status: STRING, models: list(OBJECT) }),
  also: [503],
}

const openapi = ({ settings }: House, ask: Ask): Response => ask.json(documentOf(ROUTES, settings))

export const ROUTES: Route[] = [
  {
    method: 'POST',
    path: '/v1/chat/completions',
    answer: chat,
    described: {
      summary: 'Answer a conversation',
      body: chatSchema,
      ok: streamable('The answer.', {
        id: STRING,
        object: { const: 'chat.completion' },
        created: INTEGER,
        model: STRING,
        choices: list(
          object({ index: INTEGER, message: OBJECT, finish_reason: STRING, logprobs: {} })
        ),
        usage: USAGE,
      }),
      errors: GENERATION_ERRORS,
    },
  },
  {
    method: 'POST',
    path: '/v1/chat/completions/render',
    answer: renderChat,
    described: {
      summary: 'Show the prompt a conversation becomes',
      body: promptSchema,
      ok: PROMPT,
      errors: [404],
    },
  },
  {
    method: 'POST',
    path: '/v1/completions',
    answer: completions,
    described: {
      summary: 'Continue a text',
      body: completionSchema,
      ok: streamable('The continuations.', {
        id: STRING,
        object: { const: 'text_completion' },
        created: INTEGER,
        model: STRING,
        choices: list(
          object({ index: INTEGER, text: STRING, finish_reason: STRING, logprobs: {} })
        ),
        usage: USAGE,
      }),
      errors: GENERATION_ERRORS,
    },
  },
  {
    method: 'POST',
    path: '/v1/responses',
    answer: createResponse,
    described: {
      summary: 'Answer items',
      body: responsesSchema,
      ok: streamable('The response.', RESPONSE),
      errors: GENERATION_ERRORS,
    },
  },
  {
    method: 'POST',
    path: '/v1/responses/input_tokens',
    answer: countInput,
    described: {
      summary: 'Count the tokens that items become',
      body: responsesSchema,
      ok: json('Their number.', {
        object: { const: 'response.input_tokens' },
        input_tokens: INTEGER,
      }),
      errors: [404],
    },
  },
  {
    method: 'POST',
    path: '/v1/responses/render',
    answer: renderResponse,
    described: {
      summary: 'Show the prompt that items become',
      body: responsesSchema,
      ok: PROMPT,
      errors: [404],
    },
  },
  {
    method: 'GET',
    path: '/v1/responses/:id',
    answer: retrieveResponse,
    described: {
      summary: 'Fetch a kept response, or follow one in the background',
      query: {
        stream: { type: 'string', enum: ['true', 'false'] },
        starting_after: { type: 'integer', minimum: 0 },
      },
      ok: streamable('The response.', RESPONSE),
      errors: [400, 404],
    },
  },
  {
    method: 'DELETE',
    path: '/v1/responses/:id',
    answer: deleteResponse,
    described: {
      summary: 'Forget a kept response',
      ok: json('It is forgotten.', {
        id: STRING,
        object: { const: 'response' },
        deleted: { const: true },
      }),
      errors: [404],
    },
  },
  {
    method: 'POST',
    path: '/v1/responses/:id/cancel',
    answer: cancelResponse,
    described: {
      summary: 'End a response in the background',
      ok: json('The response.', RESPONSE),
      errors: [400, 404],
    },
  },
  {
    method: 'GET',
    path: '/v1/responses/:id/input_items',
    answer: listInputItems,
    described: {
      summary: 'List what a response answers',
      query: {
        order: { type: 'string', enum: ['asc', 'desc'] },
        limit: { type: 'integer', minimum: 1, maximum: 100 },
        after: STRING,
      },
      ok: json('The items.', { object: { const: 'list' }, data: list(OBJECT), has_more: {} }),
      errors: [400, 404],
    },
  },
  {
    method: 'POST',
    path: '/v1/messages',
    answer: createMessage,
    errorBody: anthropicEnvelope,
    described: {
      summary: "Answer a conversation as Anthropic's API does",
      body: messagesSchema,
      ok: streamable('The message.', {
        id: STRING,
        type: { const: 'message' },
        role: { const: 'assistant' },
        model: STRING,
        content: list(object({ type: STRING })),
        stop_reason: { enum: ['end_turn', 'max_tokens', 'stop_sequence', 'tool_use'] },
        stop_sequence: { type: ['string', 'null'] },
        usage: object({ input_tokens: INTEGER, output_tokens: INTEGER }),
      }),
      errors: GENERATION_ERRORS,
      error: 'AnthropicError',
    },
  },
  {
    method: 'POST',
    path: '/v1/messages/count_tokens',
    answer: countMessage,
    errorBody: anthropicEnvelope,
    described: {
      summary: 'Count the tokens that a conversation becomes',
      body: countedSchema,
      ok: json('Their number.', { input_tokens: INTEGER }),
      errors: [404],
      error: 'AnthropicError',
    },
  },
  {
    method: 'GET',
    path: '/v1/models',
    answer: listModels,
    described: {
      summary: 'List the models by all of their names',
      ok: json('The models.', { object: { const: 'list' }, data: list(object(MODEL)) }),
    },
  },
  {
    method: 'GET',
    path: '/v1/models/:id{.+}',
    answer: retrieveModel,
    described: { summary: 'Show a model', ok: json('The model.', MODEL), errors: [404] },
  },
  {
    method: 'POST',
    path: '/tokenize',
    answer: tokenize,
    described: {
      summary: 'Tokens of a text or a conversation',
      body: tokenizeSchema,
      ok: json('The tokens.', { count: INTEGER, max_model_len: INTEGER, tokens: list(INTEGER) }),
      errors: [404],
    },
  },
  {
    method: 'POST',
    path: '/detokenize',
    answer: detokenize,
    described: {
      summary: 'Text of tokens',
      body: detokenizeSchema,
      ok: json('The text.', { prompt: STRING }),
      errors: [404],
    },
  },
  { method: 'GET', path: '/health', answer: health, always: true, described: READY },
  { method: 'GET', path: '/readyz', answer: health, always: true, described: READY },
  { method: 'GET', path: '/ping', answer: health, always: true, described: READY },
  {
    method: 'GET',
    path: '/livez',
    answer: livez,
    always: true,
    described: {
      summary: 'Whether the process need not be restarted',
      ok: json('Its state.', { status: STRING }),
      also: [503],
    },
  },
  {
    method: 'GET',
    path: '/version',
    answer: version,
    always: true,
    described: { summary: 'The version', ok: json('The version.', { version: STRING }) },
  },
  {
    method: 'GET',
    path: '/metrics',
    answer: metrics,
    always: true,
    described: {
      summary: 'Figures for Prometheus',
      ok: { description: 'In the text format.', content: { 'text/plain': STRING } },
    },
  },
  {
    method: 'GET',
    path: '/load',
    answer: load,
    always: true,
    described: {
      summary: 'Requests whose answers are not complete',
      ok: json('Their number.', { server_load: INTEGER }),
    },
  },
  {
    method: 'GET',
    path: '/api/tags',
    answer: ollamaTags,
    described: {
      summary: 'List the models as Ollama does',
      ok: json('The models.', { models: list(OBJECT) }),
    },
  },
  {
    method: 'GET',
    path: '/api/version',
    answer: ollamaVersion,
    always: true,
    described: {
      summary: 'The release of Ollama whose OpenAI routes are matched',
      ok: json('The release.', { version: STRING }),
    },
  },
  {
    method: 'GET',
    path: '/openapi.json',
    answer: openapi,
    always: true,
    described: {
      summary: 'This document',
      ok: json('The document.', { openapi: { const: '3.1.0' }, paths: OBJECT }),
    },
  },
]
