//! Placement: the choice of the processor for a new order, which is the one with the highest hash
//! of order and processor (rendezvous hashing). Adding or removing a processor changes the choice
//! only for the orders that it wins or held, and everyone who places an order makes the same
//! choice. An order stays where it was placed.

use crate::hash::StableHasher;
use crate::id::OrderKey;

/// Returns the processors in the order's preference, the chosen one first.
pub fn ranked(key: &OrderKey, processors: &[String]) -> Vec<String> {
    let mut weighted: Vec<_> = processors.iter().map(|processor| weight(key, processor)).collect();
    weighted.sort_unstable_by(|one, other| other.cmp(one));
    weighted.into_iter().map(|(_, processor)| processor.to_owned()).collect()
}

/// Returns the processor for the order; `None` when there is none.
pub fn choose<'a>(key: &OrderKey, processors: &'a [String]) -> Option<&'a str> {
    processors.iter().max_by_key(|processor| weight(key, processor)).map(String::as_str)
}

/// Returns a stable hash of an order, by which orders spread evenly.
pub fn order_hash(key: &OrderKey) -> u64 {
    let texts = [key.tenant.as_str(), key.order_req_id.as_str()];
    StableHasher::default().texts(&texts).mixed()
}

fn weight<'a>(key: &OrderKey, processor: &'a str) -> (u64, &'a str) {
    let texts = [key.tenant.as_str(), key.order_req_id.as_str(), processor];
    (StableHasher::default().texts(&texts).mixed(), processor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("http://processor-{n}:50051")).collect()
    }

    fn key(n: usize) -> OrderKey {
        OrderKey::new("default", &format!("SB{n}")).unwrap()
    }

    #[test]
    fn orders_spread_evenly() {
        let processors = urls(4);
        let mut counts = [0_usize; 4];
        for n in 0..4_000 {
            let chosen = choose(&key(n), &processors).unwrap();
            counts[processors.iter().position(|url| url == chosen).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn losing_processor_moves_its_orders_only() {
        let all = urls(4);
        let fewer = urls(3);
        for n in 0..500 {
            let before = choose(&key(n), &all).unwrap();
            if before != all[3] {
                assert_eq!(choose(&key(n), &fewer), Some(before));
            }
        }
    }

    #[test]
    fn placement_ignores_list_order() {
        let mut processors = urls(5);
        let chosen = choose(&key(7), &processors).unwrap().to_owned();
        processors.reverse();
        assert_eq!(choose(&key(7), &processors), Some(chosen.as_str()));
        assert_eq!(choose(&key(7), &[]), None);
        assert_eq!(ranked(&key(7), &processors).first().map(String::as_str), Some(&*chosen));
    }
}
