//! Deletes at every moment: none hangs, and no order stays open at the processor.

use crate::process::until;

use super::bed::Bed;

fn is_cancelled(bed: &Bed, order: &str) {
    until("the order is cancelled", || {
        let phase = bed.order_at_processor(order)?["phase"].clone();
        (phase == "Cancelled").then_some(())
    });
}

fn delete(bed: &Bed, name: &str) {
    bed.kubectl(&["delete", "oreq", name, "--timeout=10s"]);
    assert!(bed.get(name).is_none());
}

#[test]
fn deletes_cancel_streaming_orders() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    delete(&bed, "a");
    is_cancelled(&bed, "a");
}

#[test]
fn unwatched_deletes_are_found_after_restart() {
    let Some(bed) = Bed::make() else { return };
    let mut controller = bed.controller();
    bed.order("a");
    bed.order("b");
    bed.until_phase("a", "Open");
    bed.until_phase("b", "Open");
    controller.kill();
    delete(&bed, "a");
    controller.restart();
    is_cancelled(&bed, "a");
    assert_eq!(bed.order_at_processor("b").unwrap()["phase"], "Open");
}

#[test]
fn recreated_resources_are_new_orders() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("a");
    let first = bed.until_phase("a", "Open");
    assert_eq!(bed.propose("a", "p1", "10").unwrap().status, 201);
    delete(&bed, "a");
    bed.order("a");
    let second = bed.until_status("a", "the new life streams", |status| status["phase"] == "Open");
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    let order = until("the processor has the new life", || {
        let order = bed.order_at_processor("a")?;
        (order["incarnation"] == second["metadata"]["uid"]).then_some(order)
    });
    assert_eq!(order["phase"], "Open");
    assert_eq!(bed.propose("a", "p1", "12").unwrap().status, 201, "its proposals are its own");
    let resource =
        bed.until_status("a", "one proposal", |status| status["proposals"]["received"] == 1);
    assert_eq!(resource["status"]["proposals"]["best"]["price"], "12 EUR");
}

#[test]
fn deletes_reach_processors_that_were_down() {
    let Some(mut bed) = Bed::make() else { return };
    let _controller = bed.controller();
    bed.order("a");
    bed.until_phase("a", "Open");
    bed.processor.kill();
    delete(&bed, "a");
    bed.processor.restart();
    is_cancelled(&bed, "a");
}

#[test]
fn deleted_namespaces_cancel_their_orders() {
    let Some(bed) = Bed::make() else { return };
    let _controller = bed.controller();
    for name in ["a", "b", "c"] {
        bed.order(name);
    }
    for name in ["a", "b", "c"] {
        bed.until_phase(name, "Open");
    }
    // Without a controller manager nobody empties a namespace; this does the same.
    bed.kubectl(&["delete", "oreq", "--all", "--timeout=10s"]);
    for name in ["a", "b", "c"] {
        is_cancelled(&bed, name);
    }
}
