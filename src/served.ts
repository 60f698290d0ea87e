// What the app serves: models with their families, templates and engines, and where each is in its life.
import type { ChatTemplate, Family, Json } from './conversation.ts'
import type { Engine } from './engine.ts'

/** Sampling defaults from the model's generation_config.json or the operator; absent = OpenAI's. */
export interface SamplingDefaults {
  temperature?: number
  topP?: number
  topK?: number
  minP?: number
  repetitionPenalty?: number
}

/** How one model's prompts are written and its answers read, as its operator wants it. */
export interface ModelSettings {
  /** `none` leaves the thought in content, tags and all. */
  reasoningParser: 'auto' | 'none'
  /** `none` leaves calls in content. */
  toolCallParser: 'auto' | 'none'
  /** Replies are held to their family's envelope, where it has one. */
  harmonyGuard: boolean
  /** Variables every template gets unless a request sets them. */
  defaultTemplateVariables: { [key: string]: Json }
}

export interface ServedModel {
  /** Names it answers to; the first is the one shown. */
  names: string[]
  /** Seconds since 1970, constant while served. */
  created: number
  family: Family
  template: ChatTemplate
  engine: Engine
  defaults: SamplingDefaults
  settings: ModelSettings
}

/** One model's life. Shared, mutable: the process moves it on, the app reads it on every request. */
export interface Lifecycle {
  /** Names it will answer to, for those who ask before it is loaded. */
  names: string[]
  phase: 'loading' | 'ready' | 'draining' | 'dead'
  /** 0..1 while loading. */
  progress: number
  /** Why it is dead, or what is being loaded. */
  detail: string
  model?: ServedModel
}

export interface AppSettings {
  apiKeys: string[]
  /** Bytes a request body may have. */
  maxBody: number
  /** Seconds between keep-alive comments on an idle stream; 0 = never. */
  keepAliveSeconds: number
  returnTokensAsTokenIds: boolean
  forceIncludeUsage: boolean
  trustRequestChatTemplate: boolean
  allowedOrigins: string[]
  /** Host headers to accept beside this machine's own names; undefined where any is. */
  allowedHosts?: string[]
  /** Seconds without a turn of a busy engine after which it counts as hung. */
  watchdog: number
  /** Prefix under which the routes also answer, '' for none. */
  rootPath: string
  /** Where answers of /v1/responses are kept, memory unless said otherwise. */
  responseStore?: 'memory' | 'off'
  /** How many of them. */
  responseStoreMax?: number
  version: string
}

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}
