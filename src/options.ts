// The one schema of the server's options: flags, SEED_* environment, config file, --help and README's table come from it.
import {
  choice,
  day,
  integer,
  object,
  seconds,
  size,
  text,
  texts,
  toggle,
} from './options/kinds.ts'
import { several } from './options/several.ts'
import { flag, type Values } from './options/schema.ts'

/** Headings of --help, in its order; `--help=cache` shows one. */
export const GROUPS = {
  model: 'What is served',
  server: 'Who may ask, and where',
  engine: 'How it runs',
  cache: 'What is remembered between requests',
  process: 'The process',
} as const

/** A parser by the names people have for it; there is one per family and it is chosen from the model. */
const parser = choice(['auto', 'seed_oss', 'gpt_oss', 'none'], {
  'seed-oss': 'seed_oss',
  seedoss: 'seed_oss',
  'gpt-oss': 'gpt_oss',
  openai: 'gpt_oss',
  openai_gptoss: 'gpt_oss',
})

/** What each of several models may have for itself. */
export const PER_MODEL = {
  model: flag(
    'model',
    text('FOLDER'),
    'a model folder or GGUF file; given again for several, each followed by its own options; default the demo models'
  ),
  servedModelName: flag(
    'model',
    texts('NAME…'),
    "names to answer to, the first is shown; default the folder's name"
  ),
  chatTemplate: flag(
    'model',
    text('FILE'),
    "a chat template, as a file or as its text; default the model's own"
  ),
  dtype: flag(
    'model',
    choice(['auto', 'bfloat16', 'float16', 'float32'], { half: 'float16', float: 'float32' }),
    "type of the weights in memory; auto keeps the checkpoint's",
    'auto'
  ),
  quantize: flag(
    'model',
    choice(['q8_0', 'q6_k', 'q4_k', 'q4_0', 'mxfp4']),
    'round the weights of an unquantised checkpoint to this at load; head to q8_0, embedding and routers stay'
  ),
  activations: flag(
    'model',
    choice(['auto', 'int8', 'float32']),
    'what weights are multiplied with; auto is int8 for quantised ones, bfloat16 for bfloat16 where the CPU has it; float32 is exact and slow',
    'auto'
  ),
  cacheTiled: flag(
    'model',
    text('FOLDER'),
    'keep quantised weights as this server multiplies them in here (as large as the model), so that later starts only map them'
  ),
  maxModelLen: flag(
    'model',
    integer(1),
    "longest context in tokens, such as 32K; default the model's, as memory allows"
  ),
  thinkingBudget: flag(
    'model',
    integer(-1),
    'tokens a thought may have where a request does not say, -1 for no bound'
  ),
  defaultChatTemplateKwargs: flag(
    'model',
    object,
    'variables every chat template gets unless a request sets them'
  ),
  currentDate: flag(
    'model',
    day,
    'the day that prompts name as today, for models that are told; default the day it is'
  ),
  reasoningParser: flag(
    'model',
    parser,
    'none leaves the thought in content, tags and all; else chosen from the model',
    'auto'
  ),
  toolCallParser: flag(
    'model',
    parser,
    'none leaves tool calls in content; else chosen from the model',
    'auto'
  ),

  harmonyGuard: flag(
    'model',
    toggle,
    'hold gpt-oss replies to the headers that harmony and the request allow',
    true
  ),

  threads: flag(
    'engine',
    integer(1, 1024),
    "threads that compute, for all models together or a model's own; default one for each core"
  ),
  maxNumSeqs: flag('engine', integer(1, 65536), 'sequences that run at once', 64),
  maxNumBatchedTokens: flag(
    'engine',
    integer(1, 2 ** 20),
    'tokens in one step, prompts and answers together',
    512
  ),
  maxQueue: flag('engine', integer(1, 2 ** 20), 'requests that may wait; beyond it 429', 2048),
  maxQueuedTokens: flag(
    'engine',
    integer(1),
    'prompt tokens that may wait; beyond it 429',
    16 * 2 ** 20
  ),

  kvCacheMemory: flag(
    'cache',
    size,
    'memory for keys and values, such as 2GiB or 80% of what is free; default as needed'
  ),
  kvCacheDtype: flag(
    'cache',
    choice(['auto', 'bfloat16', 'float32', 'q8_0']),
    'what keys and values are kept as; auto is as precise as the weights, q8_0 takes half of the memory',
    'auto'
  ),
  pageSize: flag('cache', integer(1, 1024), 'tokens in a page of the cache', 16, ['block-size']),
  prefixCaching: flag('cache', toggle, 'reuse what earlier prompts began with', true, [
    'enable-prefix-caching',
  ]),
  promptLookup: flag(
    'cache',
    toggle,
    'guess what repeats earlier text and check it in one pass; answers stay the same',
    true
  ),
} as const

export const SERVE = {
  ...PER_MODEL,
  models: flag(
    'model',
    several(PER_MODEL, 'model'),
    'several models as a list, each a folder or an object of its options, such as in the config file'
  ),

  host: flag('server', text('ADDRESS'), 'address to listen on; HOST is honoured too', '127.0.0.1'),
  port: flag(
    'server',
    integer(0, 65535),
    'port to listen on, 0 for any that is free; PORT is honoured too',
    8000
  ),
  apiKey: flag('server', texts('KEY'), 'a key that callers must send; repeat it for several'),
  allowedOrigins: flag(
    'server',
    texts('ORIGIN…'),
    'web origins whose pages may call, * for all; default none'
  ),
  allowedHosts: flag(
    'server',
    texts('HOST…'),
    'Host headers to accept beside localhost on a loopback address, * for all'
  ),
  rootPath: flag('server', text('PATH'), 'prefix under which a proxy shows the server'),
  maxBody: flag('server', integer(1024, 2 ** 30, 'SIZE'), 'longest request body', 32 * 2 ** 20),
  sseKeepAliveInterval: flag(
    'server',
    seconds(0, 3600),
    'silence on a stream before a comment is sent, 0 for never',
    15
  ),
  enableForceIncludeUsage: flag('server', toggle, 'every stream ends with its usage', false),
  returnTokensAsTokenIds: flag('server', toggle, 'logprobs name tokens as token_id:N', false),
  trustRequestChatTemplate: flag(
    'server',
    toggle,
    'a request may bring a chat template of its own',
    false
  ),

  device: flag(
    'engine',
    choice(['cpu', 'cuda', 'auto']),
    'where it computes; cuda is not in yet',
    'cpu'
  ),
  tensorParallelSize: flag(
    'engine',
    integer(1, 1024),
    'devices to split the model over; only 1 for now',
    1
  ),
  watchdog: flag(
    'engine',
    seconds(1, 86400),
    'an engine that stands still this long with work to do ends the process',
    120
  ),

  responseStore: flag(
    'cache',
    choice(['memory', 'off']),
    'where answers of /v1/responses are kept to be continued and fetched again',
    'memory'
  ),
  responseStoreMax: flag(
    'cache',
    integer(1, 2 ** 20),
    'answers kept at most; what was used least recently goes first',
    1000
  ),

  drainTimeout: flag(
    'process',
    seconds(0, 86400),
    'time running requests get to end after SIGTERM',
    30,
    ['shutdown-timeout']
  ),
  logLevel: flag(
    'process',
    choice(['debug', 'info', 'warn', 'error'], { warning: 'warn', critical: 'error' }),
    'least weight of what is logged',
    'info',
    ['uvicorn-log-level']
  ),
  config: flag(
    'process',
    text('FILE'),
    'JSON file with these options; flags and environment go before it'
  ),
  printConfig: flag('process', toggle, 'print the options as they would be used, and end', false),
} as const

/** Flags of vLLM's recipes that have no meaning here, with the reason; true where a value follows. */
export const MEANINGLESS: { [flag: string]: { why: string; value: boolean } } = {
  'trust-remote-code': { why: "a model's code is never run", value: false },
  'enable-auto-tool-choice': { why: 'it is always on', value: false },
  'enable-prompt-tokens-details': { why: 'it is always on', value: false },
  'enable-request-id-headers': { why: 'it is always on', value: false },
  'enable-chunked-prefill': { why: 'it is always on', value: false },
  'enable-reasoning': { why: 'it is always on', value: false },
  'enforce-eager': { why: 'there are no graphs to capture', value: false },
  'disable-log-requests': { why: 'requests are not logged', value: false },
  'gpu-memory-utilization': { why: 'use --kv-cache-memory', value: true },
  'tokenizer-mode': { why: 'there is one', value: true },
  'attention-backend': { why: 'there is one', value: true },
}

/** What one model's share of the options is. */
export type ModelOptions = Values<typeof PER_MODEL>

/** The server's options with their defaults in place. */
export type ServeOptions = Values<typeof SERVE>
