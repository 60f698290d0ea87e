//! The vocabulary as llguidance sees it: a trie of token bytes, and our own tokenizer for forced text. Built once a
//! model by the compiler's thread, while the weights load.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::text::{Tokenizer, Vocabulary};

/// First byte of a control token's word. No UTF-8 text holds it, so no text of a grammar ever matches a control token.
const MARKER: u8 = TokTrie::SPECIAL_TOKEN_MARKER;

/// Lexer states of one matcher, 1 to 3 kB each: what a hostile pattern can make one sequence hold.
const LEXER_STATES: usize = 50_000;

/// What llguidance takes for no token.
const NO_TOKEN: u32 = u32::MAX;

struct Lexicon {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Lexicon {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    /// Forced text in the model's own splitting. llguidance cuts it at control tokens before it asks.
    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode_text(text))
    }

    fn tokenize_is_canonical(&self) -> bool {
        true
    }
}

/// What compiles grammars for this vocabulary. It knows of no end token, or none could stand inside a grammar: an offer
/// adds them.
pub(super) fn factory(tokenizer: &Arc<Tokenizer>) -> Result<ParserFactory, String> {
    let vocabulary = tokenizer.vocabulary();
    let words: Vec<Vec<u8>> = (0..vocabulary.len() as u32)
        .map(|id| word(&vocabulary, id))
        .collect();
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, NO_TOKEN), &words);
    let env = Arc::new(Lexicon {
        trie,
        tokenizer: Arc::clone(tokenizer),
    });
    let mut slices = SlicedBiasComputer::general_slices();
    // Values of the Seed-OSS envelope run up to a tag: this slice keeps their masks cheap.
    slices.push("[^<]+".into());
    let mut factory = ParserFactory::new(
        &(env as Arc<dyn TokenizerEnv + Sync>),
        InferenceCapabilities::default(),
        &slices,
    )
    .map_err(|e| e.to_string())?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.verbose_errors = false;
    limits.max_lexer_states = LEXER_STATES;
    Ok(factory)
}

/// The word of a token: none for holes, a marked one for control tokens, else its bytes.
fn word(vocabulary: &Vocabulary, id: u32) -> Vec<u8> {
    let bytes = vocabulary.bytes(id);
    if vocabulary.is_control(id) {
        return [&[MARKER], bytes].concat();
    }
    // A text token with this byte would pass for a control token; it is part of no text anyway.
    if bytes.contains(&MARKER) {
        return Vec::new();
    }
    bytes.to_vec()
}
