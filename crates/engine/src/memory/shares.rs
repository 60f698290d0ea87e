//! Parts one memory for several models before the first is loaded, so that it does not take what the others need.

use super::{Demand, KV_SHARE, size};

/// Tokens of context that a model keeps, whatever others were promised.
const FLOOR: usize = 1024;

impl Demand {
    /// What one sequence of the context that was asked for needs, 0 where none was.
    fn promised(&self) -> u64 {
        self.max_model_len
            .map_or(0, |_| self.cache_of(self.context(), 1))
    }

    /// KV cache that a model can hardly be used without, bytes.
    fn floor(&self) -> u64 {
        self.cache_of(self.context().min(FLOOR), 1)
    }

    /// Memory that a model can hardly be used without, bytes: `plan` finds room for a short context in it.
    pub fn least(&self) -> u64 {
        self.fixed()
            .saturating_add(self.kv_cache.unwrap_or_else(|| room_for(self.floor())))
    }
}

/// Parts a memory for several models, one number a demand: each gets what its weights and steps need, a KV cache of
/// the size that was asked for where one was, and of what is left what a short context needs, then what the context
/// that was asked for needs, then equal parts, as far as it has use for them. `plan` with such a part plans one model
/// of the several.
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
    let Some(mut rest) = (available - fixed).checked_sub(asked) else {
        return Err(format!(
            "--kv-cache-memory of all {} models, {}, does not fit: {} is free beside weights and workspace",
            demands.len(),
            size(asked),
            size(available - fixed)
        ));
    };
    let mut rooms = vec![0; demands.len()];
    for stage in [Demand::floor, Demand::promised, Demand::whole] {
        let wants: Vec<u64> = demands
            .iter()
            .zip(&rooms)
            .map(|(d, &had)| match d.kv_cache {
                Some(_) => 0,
                None => room_for(stage(d)).saturating_sub(had),
            })
            .collect();
        for (room, part) in rooms.iter_mut().zip(poured(&wants, rest)) {
            *room += part;
            rest -= part;
        }
    }
    let parts = demands.iter().zip(rooms);
    Ok(parts
        .map(|(d, room)| d.fixed() + d.kv_cache.unwrap_or(0) + room)
        .collect())
}

/// Room beside weights and workspace of which the KV cache's share is so large.
fn room_for(cache: u64) -> u64 {
    (cache as f64 / KV_SHARE).ceil() as u64 + 1
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

#[cfg(test)]
mod tests {
    use super::super::tests::demand;
    use super::super::{MemoryPlan, plan};
    use super::*;

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
    fn who_asks_for_too_much_is_the_one_to_hear_of_it() {
        let mut greedy = demand();
        greedy.max_model_len = Some(1 << 30);
        let parts = shares(&[demand(), greedy.clone()], 8 << 30).unwrap();
        let plan_of = |d: &Demand, part| plan(d, part).map(|p| p.max_model_len);
        assert!(plan_of(&demand(), parts[0]).unwrap() >= FLOOR);
        assert!(plan_of(&greedy, parts[1]).unwrap_err().contains("beyond"));
        greedy.max_model_len = Some(500_000);
        let parts = shares(&[demand(), greedy.clone()], 8 << 30).unwrap();
        assert!(plan_of(&demand(), parts[0]).unwrap() >= FLOOR);
        assert!(
            plan_of(&greedy, parts[1])
                .unwrap_err()
                .contains("set --max-model-len")
        );
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
}
