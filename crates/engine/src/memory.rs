//! Plans memory before anything is loaded: weights, KV cache and workspace against what is free, and the sentence
//! that says which flag helps where it does not fit. The engine asks once, at load, and before it for all models.

mod shares;

pub use shares::shares;

use crate::cache::group::LayerGroup;

/// What the plan is made from, all in bytes unless named otherwise.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Weights in memory.
    pub weights: u64,
    /// One page of the KV cache over all layers, keys and values.
    pub page: u64,
    /// Positions in a page.
    pub page_size: usize,
    /// Layer groups, each of which needs its own pages for a sequence: those with a window as many as that needs.
    pub groups: Vec<LayerGroup>,
    /// `--max-num-batched-tokens`: positions that one step may add to a sequence.
    pub step: usize,
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

    /// Pages of one sequence: in each group what its layers look back on, a step's rows, and one to grow into.
    fn pages_of(&self, tokens: usize) -> usize {
        let size = self.page_size;
        let pages = self.groups.iter().map(|group| {
            let seen = group.most_pages(tokens, size);
            seen.saturating_add(self.step.div_ceil(size))
                .min(tokens.div_ceil(size))
                .saturating_add(1)
        });
        pages.sum()
    }

    /// The longest context, in whole pages, of which one sequence's pages are so few.
    fn longest(&self, pages: usize) -> usize {
        let (mut fits, mut beyond) = (0, pages.saturating_add(1));
        while beyond - fits > 1 {
            let middle = fits + (beyond - fits) / 2;
            match self.pages_of(middle.saturating_mul(self.page_size)) <= pages {
                true => fits = middle,
                false => beyond = middle,
            }
        }
        fits.saturating_mul(self.page_size)
    }

    /// KV cache of so many sequences of `tokens` tokens, bytes.
    pub(crate) fn cache_of(&self, tokens: usize, sequences: usize) -> u64 {
        let pages = self.pages_of(tokens).saturating_mul(sequences);
        self.page.saturating_mul(pages as u64)
    }

    /// Longest context that was asked for, or else that there can be, tokens.
    fn context(&self) -> usize {
        let trained = self.trained_context;
        self.max_model_len
            .map_or(trained, |asked| asked.min(trained))
    }

    /// The most that a KV cache is of use for.
    fn whole(&self) -> u64 {
        self.cache_of(self.context(), self.max_sequences)
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
    let fits = demand.longest(pages);
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

    pub(super) fn demand() -> Demand {
        Demand {
            weights: 1 << 30,
            page: 4 << 20,
            page_size: 16,
            groups: vec![LayerGroup { window: None }],
            step: 512,
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
    fn sliding_layers_need_their_window_and_no_more() {
        let mut wanted = demand();
        wanted.groups.push(LayerGroup { window: Some(128) });
        // 512 positions of a step and 128 before them are 40 pages, and one more where they lie askew; one to grow.
        assert_eq!(wanted.pages_of(160_000), 10_001 + 42);
        assert_eq!(wanted.pages_of(32), 2 * 3);
        for pages in [0, 1, 4, 5, 83, 84, 85, 10_043, 1 << 40] {
            let fits = wanted.longest(pages);
            assert!(
                fits == 0 || wanted.pages_of(fits) <= pages,
                "{pages}: {fits}"
            );
            assert!(wanted.pages_of(fits + 16) > pages, "{pages}: {fits}");
        }
        // Nearly the context that it would have without the sliding layers, of which pages hold half as much.
        let full = plan(&demand(), 8 << 30).unwrap().max_model_len;
        assert!(full - plan(&wanted, 8 << 30).unwrap().max_model_len <= 43 * 16);
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

    #[test]
    fn reads_meminfo() {
        assert_eq!(
            meminfo("MemTotal: 5 kB\nMemAvailable:   2048 kB\n"),
            Some(2 << 20)
        );
    }
}
