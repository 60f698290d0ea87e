// Which family serves which architecture of config.json; model.ts asks.
import type { Family } from '../conversation.ts'
import { gptOss } from './gpt-oss/index.ts'
import { seedOss } from './seed-oss/index.ts'
import { STOCK_TEMPLATE } from './seed-oss/stock.ts'

export interface KnownArchitecture {
  family: Family
  /** Serves models that bring no template. */
  stockTemplate: string
}

/** By the name in `architectures`. */
export const ARCHITECTURES: { readonly [architecture: string]: KnownArchitecture } = {
  // Harmony is built in: whatever template a checkpoint brings is left aside.
  GptOssForCausalLM: { family: gptOss, stockTemplate: '' },
  SeedOssForCausalLM: { family: seedOss, stockTemplate: STOCK_TEMPLATE },
}
