//! Cases about replies: commands that compete, and commands that are repeated.

use futures_util::future::join_all;

use super::{Scene, award};
use crate::op::{Op, Over};
use crate::plan::{LONG_LIFE_MS, SELLERS};

/// The time in which an award can be undone, in the cases that undo it; milliseconds.
const UNDO_WITHIN_MS: u64 = 60_000;

/// Sends three ends at once in each order: three awards, or an award beside one over gRPC, or
/// beside a cancellation over gRPC. One of them is the order's end; the others have to be refused.
pub(super) async fn awards(scene: &Scene<'_>) {
    scene.open().await;
    for order in 0..scene.plan.orders.len() {
        for (proposal, seller) in ["a", "b", "c"].iter().zip(SELLERS) {
            scene.propose(order, proposal, seller).await;
        }
        let second = match order % 3 {
            0 => (award("b"), Over::Requestor),
            1 => (award("b"), Over::Grpc(0)),
            _ => (Op::Cancel, Over::Grpc(0)),
        };
        let ends = [(award("a"), Over::Requestor), second, (award("c"), Over::Requestor)];
        let sent = ends.into_iter().enumerate().map(|(place, (op, over))| {
            let call = scene.desk.call(order, &op, &format!("buyer-{place}"), "buyer");
            async move {
                scene.desk.once(&call, over, "buyer", &mut None).await;
                // The answer of a key is the same for ever.
                scene.desk.once(&call, over, "buyer", &mut None).await;
            }
        });
        join_all(sent).await;
    }
}

/// Repeats every command that can be repeated, over every interface that has it.
pub(super) async fn repeats(scene: &Scene<'_>) {
    scene.open().await;
    let seller = SELLERS[0];
    let lock = || Op::Lock { proposal: "p".to_owned(), lease_ms: 60_001 };
    scene.propose(0, "p", seller).await;
    let buyers = [Over::Grpc(0), Over::Requestor, Over::Cli];
    for (over, longer) in buyers.into_iter().zip(1..) {
        scene.twice(0, Op::FollowUp, over, "buyer").await;
        scene.twice(0, Op::Pause, over, "buyer").await;
        scene.twice(0, Op::Resume, over, "buyer").await;
        let expires_in_ms = LONG_LIFE_MS + 1_000 * longer;
        scene.twice(0, Op::Extend { expires_in_ms }, over, "buyer").await;
    }
    let rest = Over::Rest(0);
    for op in [Op::Ask, Op::Decline, lock(), Op::Unlock { proposal: "p".to_owned() }] {
        scene.twice(0, op, rest, seller).await;
    }
    // What was said before is said again after other things have happened.
    let seen = scene.desk.call(0, &Op::See, "looker", seller);
    scene.desk.once(&seen, rest, "looker", &mut None).await;
    scene.propose(0, "q", SELLERS[1]).await;
    scene.desk.once(&seen, rest, "looker", &mut None).await;
    scene.twice(0, Op::Amend { proposal: "p".to_owned() }, rest, seller).await;
    for over in buyers {
        let award = Op::Award { proposal: "p".to_owned(), undo_within_ms: UNDO_WITHIN_MS };
        scene.twice(0, award, over, "buyer").await;
        scene.twice(0, Op::UndoAward, over, "buyer").await;
    }
    scene.twice(0, Op::Withdraw { proposal: "p".to_owned() }, rest, seller).await;
    scene.twice(0, award("q"), Over::Grpc(0), "buyer").await;
    for (call, over, _) in scene.desk.sent().into_values() {
        if call.order == scene.plan.orders[0].id {
            scene.desk.once(&call, over, "again", &mut None).await;
        }
    }
}

/// Sends commands of sellers and the buyer whose keys all count from 1.
pub(super) async fn keys(scene: &Scene<'_>) {
    scene.open().await;
    for order in 0..scene.plan.orders.len() {
        for seller in SELLERS {
            scene.propose(order, &format!("{seller}-{order}"), seller).await;
            scene.act(order, Op::Ask, Over::Rest(0), seller).await;
        }
        scene.act(order, Op::Pause, Over::Grpc(0), "buyer").await;
        scene.act(order, Op::Resume, Over::Grpc(0), "buyer").await;
        scene.act(order, Op::FollowUp, Over::Grpc(0), "buyer").await;
    }
}
