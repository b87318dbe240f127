//! Cases about replies: competing and repeated commands.

use futures_util::future::join_all;

use super::{CaseContext, award};
use crate::command::{ClientCommand, ClientInterface};
use crate::plan::{LONG_LIFETIME_MS, SELLERS};

/// The time for which an award can be undone in the cases that undo it, milliseconds.
const UNDO_WITHIN_MS: u64 = 60_000;

/// Sends three competing ends to each order: three awards, of which one may be over gRPC, or two
/// awards and a cancellation over gRPC. One of them ends the order; the others must be refused.
pub(super) async fn awards(case: &CaseContext<'_>) {
    case.open().await;
    for order in 0..case.plan.orders.len() {
        for (proposal, seller) in ["a", "b", "c"].iter().zip(SELLERS) {
            case.propose(order, proposal, seller).await;
        }
        let second = match order % 3 {
            0 => (award("b"), ClientInterface::Requestor),
            1 => (award("b"), ClientInterface::Grpc(0)),
            _ => (ClientCommand::Cancel, ClientInterface::Grpc(0)),
        };
        let ends = [
            (award("a"), ClientInterface::Requestor),
            second,
            (award("c"), ClientInterface::Requestor),
        ];
        let sent = ends.into_iter().enumerate().map(|(index, (command, interface))| {
            let call = case.dispatcher.call(order, &command, &format!("buyer-{index}"), "buyer");
            async move {
                case.dispatcher.send_once(&call, interface, "buyer", &mut None).await;
                // The reply to a key never changes.
                case.dispatcher.send_once(&call, interface, "buyer", &mut None).await;
            }
        });
        join_all(sent).await;
    }
}

/// Repeats every command that can be repeated, over every interface that has it.
pub(super) async fn repeats(case: &CaseContext<'_>) {
    case.open().await;
    let seller = SELLERS[0];
    let lock = || ClientCommand::Lock { proposal: "p".to_owned(), lease_ms: 60_001 };
    case.propose(0, "p", seller).await;
    let buyers = [ClientInterface::Grpc(0), ClientInterface::Requestor, ClientInterface::Cli];
    for (interface, longer) in buyers.into_iter().zip(1..) {
        case.send_twice(0, ClientCommand::FollowUp, interface, "buyer").await;
        case.send_twice(0, ClientCommand::Pause, interface, "buyer").await;
        case.send_twice(0, ClientCommand::Resume, interface, "buyer").await;
        let expires_in_ms = LONG_LIFETIME_MS + 1_000 * longer;
        case.send_twice(0, ClientCommand::Extend { expires_in_ms }, interface, "buyer").await;
    }
    let rest = ClientInterface::Rest(0);
    for command in [
        ClientCommand::Ask,
        ClientCommand::Decline,
        lock(),
        ClientCommand::Unlock { proposal: "p".to_owned() },
    ] {
        case.send_twice(0, command, rest, seller).await;
    }
    // The commands are repeated again after other commands.
    let mark_seen = case.dispatcher.call(0, &ClientCommand::See, "looker", seller);
    case.dispatcher.send_once(&mark_seen, rest, "looker", &mut None).await;
    case.propose(0, "q", SELLERS[1]).await;
    case.dispatcher.send_once(&mark_seen, rest, "looker", &mut None).await;
    case.send_twice(0, ClientCommand::Amend { proposal: "p".to_owned() }, rest, seller).await;
    for interface in buyers {
        let award =
            ClientCommand::Award { proposal: "p".to_owned(), undo_within_ms: UNDO_WITHIN_MS };
        case.send_twice(0, award, interface, "buyer").await;
        case.send_twice(0, ClientCommand::UndoAward, interface, "buyer").await;
    }
    case.send_twice(0, ClientCommand::Withdraw { proposal: "p".to_owned() }, rest, seller).await;
    case.send_twice(0, award("q"), ClientInterface::Grpc(0), "buyer").await;
    for (call, interface, _) in case.dispatcher.sent().into_values() {
        if call.order == case.plan.orders[0].id {
            case.dispatcher.send_once(&call, interface, "again", &mut None).await;
        }
    }
}

/// Sends commands of sellers and the buyer whose keys all count from 1.
pub(super) async fn keys(case: &CaseContext<'_>) {
    case.open().await;
    for order in 0..case.plan.orders.len() {
        for seller in SELLERS {
            case.propose(order, &format!("{seller}-{order}"), seller).await;
            case.send(order, ClientCommand::Ask, ClientInterface::Rest(0), seller).await;
        }
        case.send(order, ClientCommand::Pause, ClientInterface::Grpc(0), "buyer").await;
        case.send(order, ClientCommand::Resume, ClientInterface::Grpc(0), "buyer").await;
        case.send(order, ClientCommand::FollowUp, ClientInterface::Grpc(0), "buyer").await;
    }
}
