//! Which processor a new order goes to: the one with the highest hash of (order, processor).
//! Adding or removing a processor moves only the orders that it wins or held.

use orderstream_core::OrderKey;

/// FNV-1a with a final mix, stable across builds and machines.
fn hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// A stable number of an order, to spread orders over connections.
pub(crate) fn order_hash(key: &OrderKey) -> u64 {
    hash(&[key.tenant.as_str(), key.order_req_id.as_str()])
}

/// The processor that a new order goes to; `None` when there is none.
pub fn choose<'a>(key: &OrderKey, processors: &'a [String]) -> Option<&'a str> {
    let rank = |url: &String| hash(&[key.tenant.as_str(), key.order_req_id.as_str(), url]);
    processors.iter().max_by_key(|url| (rank(url), url.as_str())).map(String::as_str)
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
    fn losing_a_processor_moves_only_its_orders() {
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
    fn the_order_of_the_list_does_not_matter_and_none_is_none() {
        let mut processors = urls(5);
        let chosen = choose(&key(7), &processors).unwrap().to_owned();
        processors.reverse();
        assert_eq!(choose(&key(7), &processors), Some(chosen.as_str()));
        assert_eq!(choose(&key(7), &[]), None);
    }
}
