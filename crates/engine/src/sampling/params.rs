//! What a request asks of sampling, and whether it makes sense. Built by the addon, checked by `Generation::new`.

/// From here down a bias is a ban (OpenAI: "values like -100 … should result in a ban").
pub(super) const BAN: f32 = -100.0;

/// A request's sampling parameters cannot be used: one sentence that names the parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(pub(super) String);

/// How tokens are chosen and when generation stops.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; below 1e-5 the most probable token is taken.
    pub temperature: f32,
    /// Draw among this many most probable tokens; `None` = all.
    pub top_k: Option<u32>,
    /// Draw among the fewest most probable tokens with at least this mass; 1 = all.
    pub top_p: f32,
    /// Draw among tokens at least this fraction as probable as the most probable one; 0 = all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen in prompt or output; 1 = off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens seen in the output.
    pub presence_penalty: f32,
    /// Subtracted once for each time a token was seen in the output.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens; -100 and below bans.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes draws reproducible; `None` takes a random one.
    pub seed: Option<u64>,
    /// No end and no stop before this many tokens.
    pub min_tokens: u32,
    /// Generation ends with `Finish::Length` after this many tokens; at least 1.
    pub max_tokens: u32,
    /// The model's end tokens do not end generation.
    pub ignore_eos: bool,
    /// The model's end tokens.
    pub eos_ids: Vec<u32>,
    /// The request's own end tokens.
    pub stop_token_ids: Vec<u32>,
    /// Texts that end generation where the answer first holds one.
    pub stop_strings: Vec<String>,
    /// Whether the stop string, or the text of an ordinary stop token, belongs to the answer.
    pub include_stop: bool,
    /// Log-probabilities of the chosen token and this many best ones; `None` = off.
    pub logprobs: Option<u32>,
    /// The tokens whose log-probabilities come with the chosen one's, in place of the best; empty = the best.
    pub logprob_token_ids: Vec<u32>,
    /// Only these tokens may be sampled.
    pub allowed_token_ids: Option<Vec<u32>>,
    /// Sequences of tokens that may not appear in the output.
    pub bad_words: Vec<Vec<u32>>,
    /// An end token after which a generation with a grammar may go on.
    pub goes_on: Option<GoesOn>,
}

/// After the token `after`, which else ends it, generation goes on for as long as the model itself writes what the grammar
/// admits, and ends where it would not; from the token `until` on the grammar holds it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoesOn {
    /// The end token, such as that of a call.
    pub after: u32,
    /// The token that begins content, such as that of the next call.
    pub until: u32,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
            min_tokens: 0,
            max_tokens: 16,
            ignore_eos: false,
            eos_ids: Vec::new(),
            stop_token_ids: Vec::new(),
            stop_strings: Vec::new(),
            include_stop: false,
            logprobs: None,
            logprob_token_ids: Vec::new(),
            allowed_token_ids: None,
            bad_words: Vec::new(),
            goes_on: None,
        }
    }
}

impl SamplingParams {
    /// Whether it may ban single tokens outright, ends aside.
    pub(super) fn bans_tokens(&self) -> bool {
        self.allowed_token_ids.is_some()
            || !self.bad_words.is_empty()
            || self.logit_bias.iter().any(|&(_, bias)| bias <= BAN)
    }

    /// Checks ranges and that every id is below `vocabulary`, the number of real rows of the head.
    pub fn validate(&self, vocabulary: usize) -> Result<(), ParamError> {
        self.check_numbers()?;
        self.check_stops()?;
        self.check_ids(vocabulary)
    }

    fn check_numbers(&self) -> Result<(), ParamError> {
        let at_least = |name, value: f32, low: f32| {
            ensure(value.is_finite() && value >= low, || {
                format!("{name} must be a number of at least {low}, not {value}")
            })
        };
        at_least("temperature", self.temperature, 0.0)?;
        let top_p = self.top_p;
        ensure(top_p > 0.0 && top_p <= 1.0, || {
            format!("top_p must be above 0 and at most 1, not {top_p}")
        })?;
        let min_p = self.min_p;
        ensure((0.0..=1.0).contains(&min_p), || {
            format!("min_p must be between 0 and 1, not {min_p}")
        })?;
        ensure(self.top_k != Some(0), || {
            "top_k must be at least 1, or absent to keep all tokens".into()
        })?;
        let penalty = self.repetition_penalty;
        ensure(penalty.is_finite() && penalty > 0.0, || {
            format!("repetition_penalty must be a number above 0, not {penalty}")
        })?;
        for (name, value) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            ensure(value.is_finite(), || {
                format!("{name} must be a number, not {value}")
            })?;
        }
        for (id, bias) in &self.logit_bias {
            ensure(bias.is_finite(), || {
                format!("logit_bias of token {id} must be a number, not {bias}")
            })?;
        }
        Ok(())
    }

    fn check_stops(&self) -> Result<(), ParamError> {
        let (min, max) = (self.min_tokens, self.max_tokens);
        ensure(max > 0, || "max_tokens must be at least 1".into())?;
        ensure(min <= max, || {
            format!("min_tokens ({min}) must not be larger than max_tokens ({max})")
        })?;
        ensure(self.stop_strings.iter().all(|s| !s.is_empty()), || {
            "stop must not hold an empty string".into()
        })
    }

    fn check_ids(&self, vocabulary: usize) -> Result<(), ParamError> {
        let known = |name: &str, id: u32| {
            ensure((id as usize) < vocabulary, || {
                format!("{name} holds token id {id}, but the vocabulary ends at {vocabulary}")
            })
        };
        for (id, _) in &self.logit_bias {
            known("logit_bias", *id)?;
        }
        for id in &self.stop_token_ids {
            known("stop_token_ids", *id)?;
        }
        for id in &self.logprob_token_ids {
            known("logprob_token_ids", *id)?;
        }
        for word in &self.bad_words {
            ensure(!word.is_empty(), || {
                "bad_words must not hold an empty word".into()
            })?;
            for id in word {
                known("bad_words", *id)?;
            }
        }
        if let Some(allowed) = &self.allowed_token_ids {
            ensure(!allowed.is_empty(), || {
                "allowed_token_ids must not be empty".into()
            })?;
            for id in allowed {
                known("allowed_token_ids", *id)?;
            }
        }
        Ok(())
    }
}

fn ensure(ok: bool, sentence: impl FnOnce() -> String) -> Result<(), ParamError> {
    if ok {
        Ok(())
    } else {
        Err(ParamError(sentence()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut SamplingParams)) -> String {
        let mut params = SamplingParams::default();
        change(&mut params);
        match params.validate(10) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(refused(|_| {}), "");
        assert_eq!(refused(|p| p.temperature = 0.0), "");
        assert_eq!(refused(|p| p.logit_bias = vec![(9, -100.0)]), "");
    }

    #[test]
    fn each_bad_value_is_named() {
        let nan = f32::NAN;
        assert!(refused(|p| p.temperature = nan).contains("temperature"));
        assert!(refused(|p| p.temperature = -1.0).contains("temperature"));
        assert!(refused(|p| p.temperature = f32::INFINITY).contains("temperature"));
        assert!(refused(|p| p.top_p = 0.0).contains("top_p"));
        assert!(refused(|p| p.top_p = 1.1).contains("top_p"));
        assert!(refused(|p| p.top_p = nan).contains("top_p"));
        assert!(refused(|p| p.min_p = nan).contains("min_p"));
        assert!(refused(|p| p.min_p = 1.5).contains("min_p"));
        assert!(refused(|p| p.top_k = Some(0)).contains("top_k"));
        assert!(refused(|p| p.repetition_penalty = 0.0).contains("repetition_penalty"));
        assert!(refused(|p| p.presence_penalty = nan).contains("presence_penalty"));
        assert!(refused(|p| p.frequency_penalty = nan).contains("frequency_penalty"));
        assert!(refused(|p| p.logit_bias = vec![(10, 1.0)]).contains("token id 10"));
        assert!(refused(|p| p.logit_bias = vec![(1, nan)]).contains("logit_bias"));
        assert!(refused(|p| p.max_tokens = 0).contains("max_tokens"));
        assert!(refused(|p| p.min_tokens = 17).contains("min_tokens"));
        assert!(refused(|p| p.stop_strings = vec![String::new()]).contains("stop"));
        assert!(refused(|p| p.stop_token_ids = vec![10]).contains("stop_token_ids"));
        assert!(refused(|p| p.bad_words = vec![vec![]]).contains("bad_words"));
        assert!(refused(|p| p.bad_words = vec![vec![1, 10]]).contains("bad_words"));
        assert!(refused(|p| p.allowed_token_ids = Some(vec![])).contains("allowed_token_ids"));
        assert!(refused(|p| p.allowed_token_ids = Some(vec![10])).contains("allowed_token_ids"));
    }
}
