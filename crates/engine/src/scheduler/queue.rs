//! Who waits, and in which order they go: priority, then preempted ones, then tenants in turn. The scheduler owns it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::SequenceId;

/// What the queue must know of a sequence to find its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: SequenceId,
    pub(super) priority: i32,
    pub(super) arrival: u64,
    pub(super) tenant: u64,
    /// Was running before.
    pub(super) returned: bool,
}

/// Sequences of one priority.
#[derive(Debug, Default)]
struct Class {
    /// Preempted ones, by arrival.
    returned: BTreeSet<(u64, SequenceId)>,
    /// Tenants with something waiting, next one first.
    turns: VecDeque<u64>,
    /// First come, first served inside a tenant.
    tenants: HashMap<u64, VecDeque<SequenceId>>,
}

/// The waiting sequences.
#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: BTreeMap<i32, Class>,
    len: usize,
    tokens: usize,
}

impl Queue {
    /// Sequences waiting.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their tokens.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Lets a sequence with that many tokens wait.
    pub(super) fn push(&mut self, place: Place, tokens: usize) {
        self.len += 1;
        self.tokens += tokens;
        let class = self.classes.entry(place.priority).or_default();
        if place.returned {
            class.returned.insert((place.arrival, place.id));
            return;
        }
        let line = class.tenants.entry(place.tenant).or_default();
        if line.is_empty() {
            class.turns.push_back(place.tenant);
        }
        line.push_back(place.id);
    }

    /// Who goes next.
    pub(super) fn head(&self) -> Option<SequenceId> {
        let (_, class) = self.classes.first_key_value()?;
        if let Some(&(_, id)) = class.returned.first() {
            return Some(id);
        }
        class.tenants.get(class.turns.front()?)?.front().copied()
    }

    /// The head leaves to run; its tenant goes to the end of the turns.
    pub(super) fn pop(&mut self, place: Place, tokens: usize) {
        self.remove(place, tokens);
        if let Some(class) = self.classes.get_mut(&place.priority)
            && !place.returned
            && class.turns.front() == Some(&place.tenant)
        {
            class.turns.rotate_left(1);
        }
    }

    /// A sequence leaves from wherever it waits; the order of the others stays.
    pub(super) fn remove(&mut self, place: Place, tokens: usize) {
        let Some(class) = self.classes.get_mut(&place.priority) else {
            return;
        };
        self.len -= 1;
        self.tokens -= tokens;
        if place.returned {
            class.returned.remove(&(place.arrival, place.id));
        } else if let Some(line) = class.tenants.get_mut(&place.tenant) {
            line.retain(|&id| id != place.id);
            if line.is_empty() {
                class.tenants.remove(&place.tenant);
                class.turns.retain(|&tenant| tenant != place.tenant);
            }
        }
        if class.returned.is_empty() && class.turns.is_empty() {
            self.classes.remove(&place.priority);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u64, priority: i32, tenant: u64, returned: bool) -> Place {
        Place {
            id: SequenceId(id),
            priority,
            arrival: id,
            tenant,
            returned,
        }
    }

    fn order(places: &[Place]) -> Vec<u64> {
        let mut queue = Queue::default();
        places.iter().for_each(|&p| queue.push(p, 3));
        let mut order = Vec::new();
        while let Some(id) = queue.head() {
            let place = places.iter().find(|p| p.id == id).unwrap();
            queue.pop(*place, 3);
            order.push(id.0);
        }
        assert_eq!((queue.len(), queue.tokens()), (0, 0));
        order
    }

    #[test]
    fn tenants_take_turns_and_each_is_served_in_order() {
        let places = [1, 2, 3, 4].map(|id| place(id, 0, 7, false));
        let others = [5, 6].map(|id| place(id, 0, 8, false));
        assert_eq!(
            order(&[places.as_slice(), &others].concat()),
            [1, 5, 2, 6, 3, 4]
        );
    }

    #[test]
    fn lower_priority_values_go_first_and_preempted_ones_before_the_others_of_theirs() {
        let places = [
            place(1, 1, 0, false),
            place(2, 0, 0, false),
            place(4, 0, 0, true),
            place(3, 0, 0, true),
            place(5, -1, 0, false),
        ];
        assert_eq!(order(&places), [5, 3, 4, 2, 1]);
    }

    #[test]
    fn leaving_early_keeps_the_turns_of_the_others() {
        let mut queue = Queue::default();
        let places = [
            place(1, 0, 1, false),
            place(2, 0, 2, false),
            place(3, 0, 1, false),
        ];
        places.iter().for_each(|&p| queue.push(p, 1));
        queue.remove(places[0], 1);
        assert_eq!(queue.head(), Some(SequenceId(3)));
        queue.pop(places[2], 1);
        assert_eq!(queue.head(), Some(SequenceId(2)));
    }
}
