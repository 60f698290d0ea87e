//! Plans memory before anything is loaded: weights, KV cache and workspace against what is free, and the sentence
//! that says which flag helps where it does not fit. The engine asks once, at load, and before it for all models.

/// What the plan is made from, all in bytes unless named otherwise.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Weights in memory.
    pub weights: u64,
    /// One page of the KV cache over all layers, keys and values.
    pub page: u64,
    /// Positions in a page.
    pub page_size: usize,
    /// Layer groups, each of which needs its own pages for a sequence.
    pub groups: usize,
    /// Longest context the checkpoint was made for, in tokens.
    pub trained_context: usize,
    /// `--max-model-len`, in tokens.
    pub max_model_len: Option<usize>,
    /// `--max-num-seqs`.
    pub max_sequences: usize,
    /// `--kv-cache-memory`.
    pub kv_cache: Option<u64>,
    /// Activations and logits of the largest step.
    pub workspace: u64,
}

impl Demand {
    fn fixed(&self) -> u64 {
        self.weights.saturating_add(self.workspace)
    }

    fn pages_of(&self, tokens: usize) -> usize {
        tokens
            .div_ceil(self.page_size)
            .saturating_add(1)
            .saturating_mul(self.groups)
    }

    /// KV cache of so many sequences of `tokens` tokens, bytes.
    fn cache_of(&self, tokens: usize, sequences: usize) -> u64 {
        let pages = self.pages_of(tokens).saturating_mul(sequences);
        self.page.saturating_mul(pages as u64)
    }

    /// The most that a KV cache is of use for.
    fn whole(&self) -> u64 {
        let context = self.max_model_len.unwrap_or(self.trained_context);
        self.cache_of(context, self.max_sequences)
    }
}

/// What will be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Weights in memory, bytes.
    pub weights: u64,
    /// KV cache, bytes.
    pub kv_cache: u64,
    /// Activations and logits of the largest step, bytes.
    pub workspace: u64,
    /// Pages in the pool.
    pub pages: usize,
    /// Longest context served, tokens.
    pub max_model_len: usize,
}

/// Share of the memory left beside weights and workspace that the KV cache takes when no flag says otherwise.
const KV_SHARE: f64 = 0.4;

/// Decides pages and context length, or says what does not fit.
pub fn plan(demand: &Demand, available: u64) -> Result<MemoryPlan, String> {
    let fixed = demand.fixed();
    if fixed > available {
        return Err(format!(
            "the weights need {} and a step {}, but only {} of memory is free; use a smaller model, a narrower --dtype \
             or a smaller --max-num-batched-tokens",
            size(demand.weights),
            size(demand.workspace),
            size(available)
        ));
    }
    let wanted_context = demand.max_model_len.unwrap_or(demand.trained_context);
    if wanted_context > demand.trained_context {
        return Err(format!(
            "--max-model-len {wanted_context} is beyond the {} positions the model was made for",
            demand.trained_context
        ));
    }
    let room = available - fixed;
    let kv_cache = match demand.kv_cache {
        Some(bytes) if bytes > room => {
            return Err(format!(
                "--kv-cache-memory {} does not fit: {} is free beside weights and workspace",
                size(bytes),
                size(room)
            ));
        }
        Some(bytes) => bytes,
        None => demand.whole().min((room as f64 * KV_SHARE) as u64),
    };
    let pages = (kv_cache / demand.page.max(1)).min(u32::MAX as u64 - 1) as usize;
    let fits = (pages / demand.groups).saturating_sub(1) * demand.page_size;
    let max_model_len = match demand.max_model_len {
        Some(context) if fits < context => {
            return Err(format!(
                "a context of {context} tokens needs {} of KV cache, but {} is planned; set --max-model-len {fits} or \
                 --kv-cache-memory {}",
                size(demand.cache_of(context, 1)),
                size(kv_cache),
                size(demand.cache_of(context, 1))
            ));
        }
        Some(context) => context,
        None => demand.trained_context.min(fits),
    };
    if max_model_len < 2 {
        return Err(match demand.kv_cache {
            Some(bytes) => format!(
                "--kv-cache-memory {} is too small: two pages of {} tokens take {}",
                size(bytes),
                demand.page_size,
                size(demand.cache_of(demand.page_size, 1))
            ),
            None => format!(
                "no room for a KV cache: {} is free beside the weights; use a smaller model",
                size(room)
            ),
        });
    }
    Ok(MemoryPlan {
        weights: demand.weights,
        kv_cache: demand.page * pages as u64,
        workspace: demand.workspace,
        pages,
        max_model_len,
    })
}

/// Parts a memory for several models, one number a demand: each gets what its weights and steps need, a KV cache of
/// the size that was asked for where one was, and of what is left first what a context that was asked for needs, then
/// equal parts, as far as it has use for them. `plan` with such a part plans one model of the several.
pub fn shares(demands: &[Demand], available: u64) -> Result<Vec<u64>, String> {
    if let [_] = demands {
        return Ok(vec![available]);
    }
    let sum = |of: fn(&Demand) -> u64| demands.iter().map(of).fold(0u64, u64::saturating_add);
    let fixed = sum(Demand::fixed);
    if fixed > available {
        return Err(format!(
            "the weights of all {} models need {} and their steps {}, but only {} of memory is free; serve fewer \
             models, smaller ones, or with a narrower --dtype or a smaller --max-num-batched-tokens",
            demands.len(),
            size(sum(|d| d.weights)),
            size(sum(|d| d.workspace)),
            size(available)
        ));
    }
    let asked = sum(|d| d.kv_cache.unwrap_or(0));
    let Some(rest) = (available - fixed).checked_sub(asked) else {
        return Err(format!(
            "--kv-cache-memory of all {} models, {}, does not fit: {} is free beside weights and workspace",
            demands.len(),
            size(asked),
            size(available - fixed)
        ));
    };
    let caches = |of: fn(&Demand) -> u64| -> Vec<u64> {
        let room = |d: &Demand| match d.kv_cache {
            Some(_) => 0,
            None => (of(d) as f64 / KV_SHARE).ceil() as u64 + 1,
        };
        demands.iter().map(room).collect()
    };
    let first = poured(
        &caches(|d| d.max_model_len.map_or(0, |tokens| d.cache_of(tokens, 1))),
        rest,
    );
    let more: Vec<u64> = caches(Demand::whole)
        .iter()
        .zip(&first)
        .map(|(whole, had)| whole.saturating_sub(*had))
        .collect();
    let second = poured(&more, rest - first.iter().sum::<u64>());
    let parts = demands.iter().zip(first).zip(second);
    Ok(parts
        .map(|((d, first), second)| d.fixed() + d.kv_cache.unwrap_or(0) + first + second)
        .collect())
}

/// Parts `room` equally; what one has no use for goes to the others.
fn poured(wants: &[u64], room: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_unstable_by_key(|&i| wants[i]);
    let mut parts = vec![0; wants.len()];
    let mut left = room;
    for (served, &i) in order.iter().enumerate() {
        parts[i] = wants[i].min(left / (wants.len() - served) as u64);
        left -= parts[i];
    }
    parts
}

/// Bytes this process may still take: the machine's free memory, or the container's limit where that is lower.
pub fn available() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text))
        .unwrap_or(8 << 30);
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .and_then(|t| t.trim().parse::<u64>().ok())
    };
    match (
        read("/sys/fs/cgroup/memory.max"),
        read("/sys/fs/cgroup/memory.current"),
    ) {
        (Some(limit), Some(used)) => machine.min(limit.saturating_sub(used)),
        (Some(limit), None) => machine.min(limit),
        _ => machine,
    }
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Bytes as a person reads them.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{:.1} GiB", b as f64 / (1u64 << 30) as f64),
        b if b >= 1 << 20 => format!("{:.1} MiB", b as f64 / (1u64 << 20) as f64),
        b => format!("{:.1} KiB", b as f64 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand() -> Demand {
        Demand {
            weights: 1 << 30,
            page: 4 << 20,
            page_size: 16,
            groups: 1,
            trained_context: 524_288,
            max_model_len: None,
            max_sequences: 64,
            kv_cache: None,
            workspace: 100 << 20,
        }
    }

    #[test]
    fn context_shrinks_to_what_fits_when_not_asked_for() {
        let plan = plan(&demand(), 8 << 30).unwrap();
        assert!(plan.max_model_len < 524_288 && plan.max_model_len >= 1024);
        assert!(plan.pages * 16 > plan.max_model_len);
        assert!(plan.kv_cache + plan.weights + plan.workspace <= 8 << 30);
    }

    #[test]
    fn a_context_that_cannot_fit_names_the_flag_and_a_value_that_works() {
        let mut wanted = demand();
        wanted.max_model_len = Some(100_000);
        let error = plan(&wanted, 8 << 30).unwrap_err();
        assert!(error.contains("--max-model-len"), "{error}");
        let value: usize = error
            .split("--max-model-len ")
            .nth(1)
            .and_then(|t| t.split(' ').next())
            .and_then(|t| t.parse().ok())
            .unwrap();
        wanted.max_model_len = Some(value);
        assert_eq!(plan(&wanted, 8 << 30).unwrap().max_model_len, value);
    }

    #[test]
    fn a_cache_too_small_for_anything_names_its_flag() {
        let mut tiny = demand();
        tiny.kv_cache = Some(10 << 10);
        let error = plan(&tiny, 8 << 30).unwrap_err();
        assert!(error.starts_with("--kv-cache-memory 10.0 KiB"), "{error}");
    }

    #[test]
    fn weights_beyond_memory_are_refused() {
        let mut huge = demand();
        huge.weights = 72 << 30;
        assert!(plan(&huge, 24 << 30).unwrap_err().contains("72.0 GiB"));
    }

    #[test]
    fn beyond_the_trained_context_is_refused() {
        let mut long = demand();
        long.max_model_len = Some(600_000);
        assert!(plan(&long, 64 << 30).unwrap_err().contains("524288"));
    }

    fn planned(demands: &[Demand], available: u64) -> Vec<MemoryPlan> {
        let parts = shares(demands, available).unwrap();
        assert!(parts.iter().sum::<u64>() <= available);
        let plans = demands.iter().zip(parts).map(|(d, part)| plan(d, part));
        plans.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn one_model_may_plan_with_all() {
        assert_eq!(shares(&[demand()], 8 << 30).unwrap(), vec![8 << 30]);
    }

    #[test]
    fn two_that_could_use_all_get_equal_caches() {
        let [one, two] = <[_; 2]>::try_from(planned(&[demand(), demand()], 8 << 30)).unwrap();
        assert_eq!(one, two);
        let alone = plan(&demand(), 8 << 30).unwrap();
        assert!(one.kv_cache * 3 > alone.kv_cache && one.kv_cache < alone.kv_cache);
    }

    #[test]
    fn a_small_model_takes_what_it_can_use_and_leaves_the_rest() {
        let mut small = demand();
        (small.trained_context, small.max_sequences, small.page) = (1024, 4, 4096);
        for demands in [[small.clone(), demand()], [demand(), small.clone()]] {
            let plans = planned(&demands, 8 << 30);
            let little = plans.iter().map(|p| p.kv_cache).min().unwrap();
            assert_eq!(little, small.whole());
            let large = plans.iter().map(|p| p.kv_cache).max().unwrap();
            // Nearly all that it would have beside the other's weights.
            let mut beside = demand();
            beside.weights += small.weights + small.workspace;
            assert!(large * 100 > plan(&beside, 8 << 30).unwrap().kv_cache * 98);
        }
    }

    #[test]
    fn what_is_asked_for_is_kept_whatever_the_others_could_use() {
        let mut asked = demand();
        asked.kv_cache = Some(1 << 30);
        let mut long = demand();
        long.max_model_len = Some(4096);
        let context = long.cache_of(4096, 1);
        let plans = planned(&[demand(), asked, long], 8 << 30);
        assert_eq!(plans[1].kv_cache, 1 << 30);
        assert_eq!(plans[2].max_model_len, 4096);
        assert!(plans[2].kv_cache >= context);
    }

    #[test]
    fn models_that_do_not_fit_together_are_refused() {
        let mut huge = demand();
        huge.weights = 5 << 30;
        assert!(plan(&huge, 8 << 30).is_ok());
        let error = shares(&[huge.clone(), huge.clone()], 8 << 30).unwrap_err();
        assert!(error.contains("all 2 models need 10.0 GiB"), "{error}");
        let mut asked = demand();
        asked.kv_cache = Some(4 << 30);
        let error = shares(&[asked.clone(), asked], 8 << 30).unwrap_err();
        assert!(
            error.contains("--kv-cache-memory of all 2 models, 8.0 GiB"),
            "{error}"
        );
    }

    #[test]
    fn reads_meminfo() {
        assert_eq!(
            meminfo("MemTotal: 5 kB\nMemAvailable:   2048 kB\n"),
            Some(2 << 20)
        );
    }
}
