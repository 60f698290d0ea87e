//! Text on its way in and out of the engine: the tokenizer with its rule about control tokens, the raw bytes of every
//! token, and UTF-8 across token borders. Called by the engine's loop, by `sampling` and by the addon.

pub(crate) mod byte_level;
mod cut;
mod detokenizer;
mod file;
mod harmony;
mod inner;
mod tokenizer;
mod vocabulary;

pub use detokenizer::{Detokenizer, Utf8Tail};
pub use harmony::{o200k_harmony, o200k_harmony_vocabulary};
pub use tokenizer::{Piece, TextError, Tokenizer, TokenizerOptions};
#[cfg(test)]
pub(crate) use vocabulary::Entry as VocabularyEntry;
pub use vocabulary::Vocabulary;
