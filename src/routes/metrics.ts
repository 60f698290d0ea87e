// GET /metrics: what engines and requests are doing, under vLLM's names, so that its dashboards and routers need no change.
import {
  exposition,
  EXPOSITION_TYPE,
  Histogram,
  type Labels,
  type MetricFamily,
} from '../metrics.ts'
import { type Meter, meterOf } from '../run/meter.ts'
import type { EngineStats } from '../engine.ts'
import type { ServedModel } from '../served.ts'
import type { House } from './request.ts'

/** One model's figures, with the labels they go by. */
interface Reading {
  labels: Labels
  model: ServedModel
  stats: EngineStats
  meter: Meter
}

type Value = number | Histogram
type Sample = MetricFamily['samples'][number]
type Row = [
  name: string,
  type: MetricFamily['type'],
  help: string,
  read: (reading: Reading) => Value | [more: Labels, value: Value][],
]

const sum = (counts: number[]): number => counts.reduce((all, one) => all + one, 0)

/** Shares of the pages that sequences hold; 0 to 1. */
const usage = ({ stats }: Reading): number =>
  stats.pagesTotal > 0 ? stats.pagesUsed / stats.pagesTotal : 0

const STATE: Row[] = [
  [
    'vllm:num_requests_running',
    'gauge',
    'Number of requests in model execution batches.',
    ({ stats }) => stats.running,
  ],
  [
    'vllm:num_requests_waiting',
    'gauge',
    'Number of requests waiting to be processed.',
    ({ stats }) => stats.waiting,
  ],
  [
    'vllm:num_requests_waiting_by_reason',
    'gauge',
    'Number of waiting requests by why they wait.',
    ({ stats }) => [
      [{ reason: 'capacity' }, stats.waiting],
      [{ reason: 'deferred' }, 0],
    ],
  ],
  ['vllm:kv_cache_usage_perc', 'gauge', 'KV-cache usage. 1 means 100 percent usage.', usage],
  [
    'vllm:gpu_cache_usage_perc',
    'gauge',
    'KV-cache usage. 1 means 100 percent usage; the older name of vllm:kv_cache_usage_perc.',
    usage,
  ],
  [
    'vllm:engine_sleep_state',
    'gauge',
    'Engine sleep state; awake = 1 means the engine is awake. This engine never sleeps.',
    () => [
      [{ sleep_state: 'awake' }, 1],
      [{ sleep_state: 'weights_offloaded' }, 0],
      [{ sleep_state: 'discard_all' }, 0],
    ],
  ],
  [
    'vllm:cache_config_info',
    'gauge',
    'Information of the LLMEngine CacheConfig',
    ({ model, stats }) => [
      [
        {
          block_size: String(model.engine.info.pageSize),
          num_gpu_blocks: String(stats.pagesTotal),
          num_cpu_blocks: '0',
        },
        1,
      ],
    ],
  ],
]

const COUNTS: Row[] = [
  [
    'vllm:prefix_cache_queries_total',
    'counter',
    'Prefix cache queries, in terms of number of queried tokens.',
    ({ stats }) => stats.prefixQueries,
  ],
  [
    'vllm:prefix_cache_hits_total',
    'counter',
    'Prefix cache hits, in terms of number of cached tokens.',
    ({ stats }) => stats.prefixHits,
  ],
  [
    'vllm:num_preemptions_total',
    'counter',
    'Cumulative number of preemption from the engine.',
    ({ stats }) => stats.preemptions,
  ],
  [
    'vllm:prompt_tokens_total',
    'counter',
    'Number of prefill tokens processed.',
    ({ meter }) => meter.promptTokens,
  ],
  [
    'vllm:prompt_tokens_cached_total',
    'counter',
    'Number of prompt tokens that were found in the cache.',
    ({ meter }) => meter.cachedTokens,
  ],
  [
    'vllm:prompt_tokens_by_source_total',
    'counter',
    'Number of prompt tokens by source.',
    ({ meter }) => [
      [{ source: 'local_compute' }, meter.promptTokens - meter.cachedTokens],
      [{ source: 'local_cache_hit' }, meter.cachedTokens],
      [{ source: 'external_kv_transfer' }, 0],
    ],
  ],
  [
    'vllm:generation_tokens_total',
    'counter',
    'Number of generation tokens processed.',
    ({ stats }) => stats.generatedTokens,
  ],
  [
    'vllm:request_success_total',
    'counter',
    'Count of successfully processed requests.',
    ({ meter }) =>
      Object.entries(meter.ends).map(([reason, count]) => [{ finished_reason: reason }, count]),
  ],
  [
    'vllm:admission_rejections_total',
    'counter',
    'Count of requests that the engine had no room for.',
    ({ meter }) => [...meter.rejections].map(([reason, count]) => [{ reason }, count]),
  ],
  [
    'vllm:spec_decode_num_drafts_total',
    'counter',
    'Number of spec decoding drafts.',
    ({ stats }) => stats.guesses,
  ],
  [
    'vllm:spec_decode_num_draft_tokens_total',
    'counter',
    'Number of draft tokens.',
    ({ stats }) => stats.guessedTokens,
  ],
  [
    'vllm:spec_decode_num_accepted_tokens_total',
    'counter',
    'Number of accepted tokens.',
    ({ stats }) => sum(stats.rightGuesses),
  ],
  [
    'vllm:spec_decode_num_accepted_tokens_per_pos_total',
    'counter',
    'Accepted tokens per draft position.',
    ({ stats }) => stats.rightGuesses.map((count, at) => [{ position: String(at) }, count]),
  ],
]

const histogram = (name: string, help: string, read: (reading: Reading) => Histogram): Row => [
  name,
  'histogram',
  help,
  read,
]

const SHAPES: Row[] = [
  histogram(
    'vllm:time_to_first_token_seconds',
    'Histogram of time to first token in seconds.',
    ({ meter }) => meter.firstToken
  ),
  histogram(
    'vllm:inter_token_latency_seconds',
    'Histogram of inter-token latency in seconds.',
    ({ meter }) => meter.betweenTokens
  ),
  histogram(
    'vllm:time_per_output_token_seconds',
    'Histogram of inter-token latency in seconds; the older name of vllm:inter_token_latency_seconds.',
    ({ meter }) => meter.betweenTokens
  ),
  histogram(
    'vllm:request_time_per_output_token_seconds',
    'Histogram of time_per_output_token_seconds per request.',
    ({ meter }) => meter.perToken
  ),
  histogram(
    'vllm:e2e_request_latency_seconds',
    'Histogram of e2e request latency in seconds.',
    ({ meter }) => meter.latency
  ),
  histogram(
    'vllm:request_queue_time_seconds',
    'Histogram of time spent in WAITING phase for request.',
    ({ meter }) => meter.queued
  ),
  histogram(
    'vllm:request_inference_time_seconds',
    'Histogram of time spent in RUNNING phase for request.',
    ({ meter }) => meter.inference
  ),
  histogram(
    'vllm:request_prefill_time_seconds',
    'Histogram of time spent in PREFILL phase for request.',
    ({ meter }) => meter.prefill
  ),
  histogram(
    'vllm:request_decode_time_seconds',
    'Histogram of time spent in DECODE phase for request.',
    ({ meter }) => meter.decode
  ),
  histogram(
    'vllm:request_prompt_tokens',
    'Number of prefill tokens processed.',
    ({ meter }) => meter.prompts
  ),
  histogram(
    'vllm:request_generation_tokens',
    'Number of generation tokens processed.',
    ({ meter }) => meter.generations
  ),
  histogram(
    'vllm:iteration_tokens_total',
    'Histogram of number of tokens per engine_step.',
    ({ stats }) => new Histogram(stats.stepBounds, stats.stepSizes, stats.stepRows)
  ),
  histogram(
    'vllm:request_max_num_generation_tokens',
    'Histogram of maximum number of requested generation tokens.',
    ({ meter }) => meter.longest
  ),
  histogram(
    'vllm:request_params_n',
    'Histogram of the n request parameter.',
    ({ meter }) => meter.choices
  ),
  histogram(
    'vllm:request_params_max_tokens',
    'Histogram of the max_tokens request parameter.',
    ({ meter }) => meter.asked
  ),
  histogram(
    'vllm:request_num_preemptions',
    'Histogram of how often a request was preempted.',
    ({ meter }) => meter.preemptions
  ),
]

const samplesOf = (reading: Reading, read: Row[3]): Sample[] => {
  const found = read(reading)
  const all: [Labels, Value][] = Array.isArray(found) ? found : [[{}, found]]
  return all.map(([more, value]) => ({ labels: { ...reading.labels, ...more }, value }))
}

/** What Python's client tells of its process, which dashboards of hosts look for. */
const processFamilies = (): MetricFamily[] => {
  const { user, system } = process.cpuUsage()
  const figures: [string, MetricFamily['type'], string, number][] = [
    [
      'process_cpu_seconds_total',
      'counter',
      'Total user and system CPU time spent in seconds.',
      (user + system) / 1e6,
    ],
    [
      'process_resident_memory_bytes',
      'gauge',
      'Resident memory size in bytes.',
      process.memoryUsage.rss(),
    ],
    [
      'process_start_time_seconds',
      'gauge',
      'Start time of the process since unix epoch in seconds.',
      performance.timeOrigin / 1000,
    ],
  ]
  return figures.map(([name, type, help, value]) => ({
    name,
    type,
    help,
    samples: [{ labels: {}, value }],
  }))
}

/** All models that were loaded, also where one is dead or leaves: its last figures tell why. */
export const metrics = ({ lifecycles, visits }: House): Response => {
  const readings = lifecycles.flatMap(({ model }): Reading[] => {
    if (!model) return []
    const { engine, names } = model
    const labels = { model_name: names[0] ?? '', engine: '0' }
    return [{ labels, model, stats: engine.stats(), meter: meterOf(engine) }]
  })
  const families = [...STATE, ...COUNTS, ...SHAPES].map(
    ([name, type, help, read]): MetricFamily => ({
      name,
      type,
      help,
      samples: readings.flatMap((reading) => samplesOf(reading, read)),
    })
  )
  const text = exposition([...families, ...visits.families(), ...processFamilies()])
  return new Response(text, { headers: { 'content-type': EXPOSITION_TYPE } })
}
