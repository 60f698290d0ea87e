// Schemas of real shape, for tests that hold a random model to them: hand-written, pydantic's and zod's own output.
import { z } from 'zod'

export type Schema = { [key: string]: unknown }

const object = (properties: Schema, changes: Schema = {}): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...changes,
})

const word = { type: 'string', maxLength: 12 }
const count = { type: 'integer', minimum: 0, maximum: 999 }
const flag = { type: 'boolean' }
const list = (items: unknown, most = 3): Schema => ({ type: 'array', items, maxItems: most })
const one = (...values: unknown[]): Schema => ({ enum: values })

/** What `Model.model_json_schema()` of pydantic 2 gives for models with nested, optional and tagged fields. */
const PYDANTIC: { [name: string]: Schema } = {
  order: {
    $defs: {
      Item: {
        properties: {
          sku: { maxLength: 8, minLength: 3, title: 'Sku', type: 'string' },
          quantity: { exclusiveMinimum: 0, maximum: 99, title: 'Quantity', type: 'integer' },
          price: {
            anyOf: [{ type: 'number', minimum: 0, maximum: 10000 }, { type: 'null' }],
            default: null,
            title: 'Price',
          },
        },
        required: ['sku', 'quantity'],
        title: 'Item',
        type: 'object',
      },
      Status: { enum: ['open', 'paid', 'sent'], title: 'Status', type: 'string' },
    },
    properties: {
      items: {
        items: { $ref: '#/$defs/Item' },
        maxItems: 3,
        minItems: 1,
        title: 'Items',
        type: 'array',
      },
      status: { $ref: '#/$defs/Status', default: 'open' },
      placed: { format: 'date-time', title: 'Placed', type: 'string' },
    },
    required: ['items', 'placed'],
    title: 'Order',
    type: 'object',
  },
  pet: {
    $defs: {
      Cat: {
        properties: {
          kind: { const: 'cat', title: 'Kind', type: 'string' },
          lives: { maximum: 9, minimum: 1, title: 'Lives', type: 'integer' },
        },
        required: ['kind', 'lives'],
        title: 'Cat',
        type: 'object',
      },
      Dog: {
        properties: {
          kind: { const: 'dog', title: 'Kind', type: 'string' },
          tricks: {
            items: { enum: ['sit', 'roll'], type: 'string' },
            maxItems: 3,
            title: 'Tricks',
            type: 'array',
          },
        },
        required: ['kind', 'tricks'],
        title: 'Dog',
        type: 'object',
      },
    },
    properties: {
      pet: {
        discriminator: {
          mapping: { cat: '#/$defs/Cat', dog: '#/$defs/Dog' },
          propertyName: 'kind',
        },
        oneOf: [{ $ref: '#/$defs/Cat' }, { $ref: '#/$defs/Dog' }],
        title: 'Pet',
      },
    },
    required: ['pet'],
    title: 'Owner',
    type: 'object',
  },
  tree: {
    $defs: {
      Node: {
        properties: {
          name: { maxLength: 4, title: 'Name', type: 'string' },
          children: {
            default: [],
            items: { $ref: '#/$defs/Node' },
            maxItems: 1,
            title: 'Children',
            type: 'array',
          },
        },
        required: ['name'],
        title: 'Node',
        type: 'object',
      },
    },
    $ref: '#/$defs/Node',
  },
  event: {
    properties: {
      id: { format: 'uuid', title: 'Id', type: 'string' },
      day: { format: 'date', title: 'Day', type: 'string' },
      at: {
        anyOf: [{ format: 'time', type: 'string' }, { type: 'null' }],
        default: null,
        title: 'At',
      },
      length: { format: 'duration', title: 'Length', type: 'string' },
    },
    required: ['id', 'day', 'length'],
    title: 'Event',
    type: 'object',
  },
  point: {
    properties: {
      at: {
        maxItems: 2,
        minItems: 2,
        prefixItems: [{ type: 'integer' }, { type: 'integer' }],
        title: 'At',
        type: 'array',
      },
      label: { anyOf: [{ maxLength: 6, type: 'string' }, { type: 'integer' }], title: 'Label' },
    },
    required: ['at', 'label'],
    title: 'Point',
    type: 'object',
  },
}

const zod = (schema: z.ZodType): Schema => z.toJSONSchema(schema) as Schema

const ZOD: { [name: string]: Schema } = {
  user: zod(
    z.object({
      name: z.string().min(1).max(10),
      age: z.number().int().min(0).max(150).nullable(),
      role: z.enum(['admin', 'user']),
      tags: z.array(z.string().max(5)).max(3),
    })
  ),
  shape: zod(
    z.object({
      shape: z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('circle'), radius: z.number().min(0).max(100) }),
        z.object({
          kind: z.literal('box'),
          width: z.number().int().max(9).min(0),
          height: z.number().int().max(9).min(0),
        }),
      ]),
    })
  ),
  steps: zod(
    z.object({
      steps: z
        .array(z.object({ explanation: z.string().max(20), output: z.string().max(10) }))
        .max(2),
      final: z.string().max(10),
    })
  ),
  optional: zod(
    z.object({
      query: z.string().max(12),
      limit: z.number().int().min(1).max(50).optional(),
      exact: z.boolean().optional(),
    })
  ),
  pair: zod(z.object({ pair: z.tuple([z.boolean(), z.enum(['x', 'y'])]) })),
  literal: zod(z.object({ version: z.literal(2), nested: z.object({ ok: z.literal(true) }) })),
}

const HAND: { [name: string]: Schema } = {
  weather: object({ city: word, unit: one('celsius', 'fahrenheit') }),
  empty: object({}),
  flags: object({ a: flag, b: flag, c: flag }),
  nothing: object({ value: { type: 'null' } }),
  either: object({
    value: { anyOf: [{ type: 'integer', minimum: 0, maximum: 9 }, flag, { type: 'null' }] },
  }),
  types: object({ value: { type: ['integer', 'boolean', 'null'] } }),
  constant: object({ value: { const: { a: [1, 'x', null] } } }),
  enums: object({ value: one(1, 'two', null, true, [3], { four: 4 }) }),
  range: object({
    low: { type: 'integer', minimum: -20, maximum: -3 },
    high: { type: 'integer', exclusiveMinimum: 7, exclusiveMaximum: 13 },
  }),
  fraction: object({ value: { type: 'number', minimum: 0, maximum: 1 } }),
  multiple: object({ value: { type: 'integer', multipleOf: 5, minimum: 0, maximum: 500 } }),
  pattern: object({ code: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{3}$' } }),
  plate: object({ plate: { type: 'string', pattern: '^[A-Z]{1,3} [A-Z]{1,2} [1-9][0-9]{0,3}$' } }),
  bounded: object({ text: { type: 'string', minLength: 3, maxLength: 5 } }),
  date: object({ day: { type: 'string', format: 'date' } }),
  moment: object({ at: { type: 'string', format: 'date-time' } }),
  mail: object({ to: { type: 'string', format: 'email', maxLength: 40 } }),
  host: object({ address: { type: 'string', format: 'ipv4' } }),
  identifier: object({ id: { type: 'string', format: 'uuid' } }),
  numbers: object({ values: { type: 'array', items: count, minItems: 1, maxItems: 4 } }),
  matrix: object({ rows: list(list(one(0, 1)), 2) }),
  people: object({ people: list(object({ name: word, age: count }), 2) }),
  deep: object({ a: object({ b: object({ c: object({ d: flag }) }) }) }),
  optional: object({ a: count, b: flag, c: word }, { required: ['b'] }),
  loose: object({ a: flag }, { additionalProperties: undefined }),
  map: {
    type: 'object',
    additionalProperties: { type: 'integer', minimum: 0, maximum: 9 },
    maxProperties: 2,
  },
  union: object({
    result: {
      anyOf: [object({ ok: one(true), value: count }), object({ ok: one(false), why: word })],
    },
  }),
  tagged: object({
    action: {
      oneOf: [
        object({ type: { const: 'go' }, to: word }),
        object({ type: { const: 'stay' }, days: count }),
      ],
    },
  }),
  nullable: object({ note: { type: 'string', maxLength: 5, nullable: true } }),
  shared: object(
    { from: { $ref: '#/$defs/place' }, to: { $ref: '#/$defs/place' } },
    { $defs: { place: object({ x: count, y: count }) } }
  ),
  definitions: object(
    { item: { $ref: '#/definitions/item' } },
    { definitions: { item: one('a', 'b') } }
  ),
  pointed: object({ first: flag, second: { $ref: '#/properties/first' } }),
  recursive: object({ value: one(1, 2), next: { anyOf: [{ type: 'null' }, { $ref: '#' }] } }),
  merged: object({ value: { allOf: [{ type: 'integer', minimum: 2 }, { maximum: 8 }] } }),
  wrapped: object(
    { value: { allOf: [{ $ref: '#/$defs/kind' }], description: 'as older pydantic writes it' } },
    { $defs: { kind: one('k1', 'k2') } }
  ),
  tuple: object({
    value: { type: 'array', prefixItems: [flag, one('a')], items: false, minItems: 2 },
  }),
  described: object({
    value: {
      type: 'integer',
      minimum: 0,
      maximum: 5,
      title: 'V',
      description: 'x',
      examples: [1],
      default: 2,
      deprecated: false,
    },
  }),
  search: object({
    query: word,
    filters: object({
      from: { type: 'string', format: 'date' },
      kinds: list(one('web', 'news'), 2),
    }),
  }),
  table: object({
    columns: list(object({ name: word, type: one('int', 'text') }), 2),
    rows: list(list(count, 2), 2),
  }),
}

/** Each with `type: object` at its root, so that it may be the parameters of a function. */
export const SCHEMAS: [name: string, schema: Schema][] = [
  ...Object.entries(HAND),
  ...Object.entries(PYDANTIC).map(([name, schema]): [string, Schema] => [
    `pydantic ${name}`,
    schema,
  ]),
  ...Object.entries(ZOD).map(([name, schema]): [string, Schema] => [`zod ${name}`, schema]),
]
