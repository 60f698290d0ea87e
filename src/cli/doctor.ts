// `seed-server doctor`: says what this machine can serve, and what a model would need, without loading anything.
import { bytesOf, engineOptionsOf, type OneModel } from '../loading.ts'
import {
  lookAround,
  type Machine,
  planText,
  type Prospect,
  prospectOf,
  sizeText,
} from '../machine.ts'
import { originalWithin } from '../model.ts'
import { SERVE } from '../options.ts'
import { helpText } from '../options/help.ts'
import { size, text, toggle } from '../options/kinds.ts'
import { readOptions, withDefaults } from '../options/read.ts'
import { flag, inGroup, type Values } from '../options/schema.ts'
import { VERSION } from '../version.ts'
import { ENGINE_FLAGS } from './one-model.ts'

const GROUPS = { doctor: 'What is looked at', engine: 'How it would run' }

const DOCTOR = {
  model: flag(
    'doctor',
    text('MODEL'),
    'a folder, of which config.json is enough, a GGUF file or a released name such as gpt-oss-20b; default all released'
  ),
  memory: flag('doctor', size, 'plan with so much memory, such as 16GiB; default what is free'),
  json: flag('doctor', toggle, 'print one JSON object', false),
  dtype: ENGINE_FLAGS.dtype,
  quantize: ENGINE_FLAGS.quantize,
  activations: ENGINE_FLAGS.activations,
  maxModelLen: ENGINE_FLAGS.maxModelLen,
  kvCacheMemory: ENGINE_FLAGS.kvCacheMemory,
  kvCacheDtype: ENGINE_FLAGS.kvCacheDtype,
  maxNumSeqs: inGroup('engine', SERVE.maxNumSeqs),
  maxNumBatchedTokens: inGroup('engine', SERVE.maxNumBatchedTokens),
} as const

type DoctorOptions = Values<typeof DOCTOR>

const HEAD = `Usage: seed-server doctor [MODEL] [flags]

Says what this machine can serve: engine, instruction sets, memory, and for each model whether it fits and with what
context. Ends with 1 where there is no engine, or where the model that was asked for does not fit.`

/** A model with its plan, or why there is none. */
interface Examined {
  model: string
  fits: boolean
  prospect?: Prospect
  error?: string
}

const examined = (model: string, options: DoctorOptions): Examined => {
  const { memory, ...rest } = options
  const all = { ...withDefaults(SERVE, {}), ...rest, model, ownThreads: false } as OneModel
  try {
    const engineOptions = engineOptionsOf(all, originalWithin(model))
    if (memory) engineOptions.memory = bytesOf(memory)
    const prospect = prospectOf(engineOptions)
    return { model, fits: prospect.plan !== null, prospect }
  } catch (error) {
    return { model, fits: false, error: (error as Error).message }
  }
}

const line = (what: string, said: string): string => `${what.padEnd(10)}${said}`

const featuresText = (features: { name: string; here: boolean }[]): string => {
  const named = (here: boolean) =>
    features.filter((one) => one.here === here).map(({ name }) => name)
  const absent = named(false)
  return [
    named(true).join(' ') || 'none of those that kernels are written for',
    ...(absent.length > 0 ? [`not here: ${absent.join(' ')}`] : []),
  ].join('; ')
}

const machineText = ({
  platform,
  cpu,
  cores,
  totalMemory,
  memoryLimit,
  engine,
}: Machine): string[] => {
  const limit =
    memoryLimit === null ? '' : `, of which the container may have ${sizeText(memoryLimit)}`
  const free = 'error' in engine ? '' : `, ${sizeText(engine.freeMemory)} free`
  return [
    line('machine', `${platform}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${cpu}`),
    line('memory', `${sizeText(totalMemory)}${limit}${free}`),
    ...('error' in engine
      ? [line('engine', `none: ${engine.error}`)]
      : [
          line('engine', `${engine.version}, ${engine.origin}: ${engine.path}`),
          ...engine.passedOver.map((why) => line('', `not ${why}`)),
          line('backends', engine.backends.join(', ')),
          line('kernels', `${engine.kernels}; the CPU has ${featuresText(engine.features)}`),
        ]),
  ]
}

const count = (weights: number): string =>
  weights >= 1e9 ? `${(weights / 1e9).toFixed(1)} billion` : `${(weights / 1e6).toFixed(1)} million`

const modelText = ({ model, fits, prospect, error }: Examined): string[] => {
  if (!prospect) return [`${model}: ${error}`]
  const { parameters, least, wholeContext, trainedContext } = prospect
  const context = trainedContext.toLocaleString('en')
  return [
    `${model}: ${fits ? 'fits' : 'does not fit'}; ${count(parameters)} weights, needs ${sizeText(least)} at least, ` +
      `a context of ${context} tokens takes ${sizeText(wholeContext)} more`,
    `  ${fits ? planText(prospect) : prospect.why}`,
  ]
}

export const run = async (argv: string[]): Promise<number> => {
  const { values, help } = readOptions(DOCTOR, { argv, positional: 'model' })
  if (help !== undefined) {
    process.stdout.write(helpText(DOCTOR, GROUPS, HEAD, help))
    return 0
  }
  const machine = lookAround()
  const { engine } = machine
  const wanted = values.model === undefined ? undefined : [values.model]
  const models =
    'error' in engine ? [] : (wanted ?? engine.models).map((model) => examined(model, values))
  const versions = { version: VERSION, node: process.version }
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ ...versions, ...machine, models }, null, 2)}\n`
      : [
          line('server', `${VERSION} on Node ${process.version}`),
          ...machineText(machine),
          ...models.flatMap((one) => ['', ...modelText(one)]),
          '',
        ].join('\n')
  )
  return 'error' in engine || (wanted && models.some(({ fits }) => !fits)) ? 1 : 0
}
