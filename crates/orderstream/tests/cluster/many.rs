//! A thousand order requests at once with twenty proposals each: all are counted with few writes,
//! and then nothing more is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::bed::{Bed, propose};
use crate::process::{pause, until};

const ORDERS: usize = 1_000;
const PROPOSALS: usize = 20;
/// The number of sellers that post at once.
const SELLERS: usize = 4;
/// The shortest time between two writes of one order's counters.
const PROGRESS: Duration = Duration::from_secs(5);
/// The time in which nothing may be written once all is counted.
const QUIET: Duration = Duration::from_secs(12);

fn name(order: usize) -> String {
    format!("order-{order}")
}

fn post_all(sellers: SocketAddr, tenant: &str) {
    std::thread::scope(|scope| {
        for seller in 0..SELLERS {
            scope.spawn(move || {
                for proposal in 0..PROPOSALS {
                    for order in (seller..ORDERS).step_by(SELLERS) {
                        let id = format!("p{proposal}");
                        let response = propose(sellers, tenant, &name(order), &id, "10").unwrap();
                        assert_eq!(response.status, 201, "{response:?}");
                    }
                }
            });
        }
    });
}

/// Returns the phase of each order, with the number of proposals in its status.
fn phases(bed: &Bed) -> Vec<String> {
    let columns = r"jsonpath={range .items[*]}{.status.phase}/{.status.proposals.received} {end}";
    let text = bed.kubectl(&["get", "oreq", "-o", columns]);
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

/// Returns the number of status writes of each order so far, by the API server's audit log.
fn writes(bed: &Bed) -> BTreeMap<String, u32> {
    let mut writes = BTreeMap::new();
    for request in bed.server.requests() {
        if request.namespace == bed.namespace && request.subresource == "status" {
            *writes.entry(request.name).or_default() += 1;
        }
    }
    writes
}

/// All proposals are counted, and then nothing more is written.
#[test]
fn thousand_orders_cost_few_status_writes() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    let mut manifest = String::new();
    for order in 0..ORDERS {
        let name = name(order);
        write!(
            manifest,
            "---\napiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\n\
             metadata: {{name: {name}}}\nspec: {{expiresIn: 1h}}\n"
        )
        .unwrap();
    }
    let args = ["-n", &bed.namespace, "create", "--validate=false", "-f", "-"];
    assert!(bed.server.kubectl_with(&args, &manifest).status.success());
    // In steps, each with the limit of one wait: a busy machine may take a while for all.
    let until_all = |expected: &str| {
        for step in 1..=5 {
            until(&format!("step {step} of 5 to {expected}"), || {
                let matching = phases(&bed).iter().filter(|it| *it == expected).count();
                (matching >= step * ORDERS / 5).then_some(())
            });
        }
    };
    until_all("Open/0");
    // One write, and a second one where a busy machine observed an order while it still waited.
    let most = writes(&bed).values().max().copied().unwrap();
    assert!(most <= 2, "a start took {most} writes");

    let began = Instant::now();
    post_all(bed.sellers(), &bed.namespace);
    until_all(&format!("Open/{PROPOSALS}"));
    let budget = 1 + most + u32::try_from(began.elapsed().as_secs() / PROGRESS.as_secs()).unwrap();
    let counted = writes(&bed);
    let most = counted.values().max().copied().unwrap();
    assert!(most <= budget, "{most} writes of one order, the budget is {budget}");
    pause(QUIET);
    assert_eq!(writes(&bed), counted, "nothing is written when nothing happens");
}
