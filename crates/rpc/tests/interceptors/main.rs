//! Tests of the three layers on both sides, for every kind of RPC and every course of a call: exact
//! counters, and nothing in flight at the end. Client and server stacks are connected in memory, so
//! every case is deterministic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed check must stop the test")]

mod drive;
mod memory;
mod raw;
mod stub;

use orderstream_rpc::method::RpcKind;
use orderstream_rpc::observe::CODE_NAMES;
use tonic::Code;

use crate::drive::{KINDS, Rig, method_under_test};
use crate::stub::Case;

/// The counts that both sides must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    code: Code,
    up: u64,
    down: u64,
}

fn expected(case: Case, kind: RpcKind) -> Expected {
    let streams_up = matches!(kind, RpcKind::ClientStream | RpcKind::BidiStream);
    let streams_down = matches!(kind, RpcKind::ServerStream | RpcKind::BidiStream);
    // A stream is not read before the handler reads it; a single message always is.
    let unread = u64::from(!streams_up);
    let up = |count| if streams_up { count } else { 1 };
    let down = |count| if streams_down { count } else { 0 };
    let (code, up, down) = match case {
        Case::Ok | Case::ZstdCompressed | Case::GzipCompressed | Case::SplitByteByByte => {
            (Code::Ok, up(3), if streams_down { 3 } else { 1 })
        }
        Case::ErrorBeforeFirst => (Code::NotFound, unread, 0),
        Case::ErrorAfterTwo => (Code::NotFound, up(2), down(2)),
        Case::PanicBeforeFirst => (Code::Internal, unread, 0),
        Case::PanicAfterTwo => (Code::Internal, up(2), down(2)),
        Case::ClientCancels => (Code::Cancelled, up(1), down(1)),
        Case::Deadline => (Code::DeadlineExceeded, up(1), down(1)),
        Case::OversizeRequest => (Code::ResourceExhausted, 1, 0),
        Case::OversizeReply => (Code::ResourceExhausted, up(1), 0),
        Case::UnknownMethod => (Code::Unimplemented, 0, 0),
    };
    Expected { code, up, down }
}

/// Checks every series of the method on one side, and that no other method has counts.
fn assert_series(rig: &Rig, side: &str, case: Case, kind: RpcKind, expected: Expected) {
    let (service, method, grpc_type) = if case == Case::UnknownMethod {
        ("unknown", "unknown", "unknown")
    } else {
        let method = method_under_test(kind);
        (method.service, method.method, method.kind.as_str())
    };
    let context = format!("{side} {kind:?} {case:?}");
    let labels = [("grpc_service", service), ("grpc_method", method), ("grpc_type", grpc_type)];
    let value = |name: &str| rig.value(&format!("grpc_{side}_{name}"), &labels);
    let (received, sent) = match side {
        "server" => (expected.up, expected.down),
        _ => (expected.down, expected.up),
    };
    assert_eq!(value("started_total"), 1, "{context} started");
    assert_eq!(value("in_flight"), 0, "{context} in flight");
    assert_eq!(value("handling_seconds"), 1, "{context} durations");
    assert_eq!(value("msg_received_total"), received, "{context} received");
    assert_eq!(value("msg_sent_total"), sent, "{context} sent");
    let name = CODE_NAMES[usize::try_from(i32::from(expected.code)).unwrap()];
    let with_code = [labels[0], labels[1], labels[2], ("grpc_code", name)];
    assert_eq!(rig.value(&format!("grpc_{side}_handled_total"), &with_code), 1, "{context} code");
    for total in ["started_total", "handled_total", "handling_seconds"] {
        assert_eq!(rig.value(&format!("grpc_{side}_{total}"), &[]), 1, "{context} all {total}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_count_every_call_exactly() {
    for case in Case::ALL {
        for kind in KINDS {
            let rig = Rig::new(case);
            let outcome = rig.call(kind).await;
            let expected = expected(case, kind);
            if case != Case::ClientCancels {
                assert_eq!(outcome, Some(expected.code), "{kind:?} {case:?}");
            }
            assert_series(&rig, "server", case, kind, expected);
            assert_series(&rig, "client", case, kind, expected);
        }
    }
}

#[test]
fn every_series_starts_at_zero() {
    let rig = Rig::new(Case::Ok);
    let methods = orderstream_rpc::method::METHODS.len() + 1;
    for side in ["server", "client"] {
        for name in ["started_total", "msg_received_total", "msg_sent_total", "in_flight"] {
            assert_eq!(rig.series(&format!("grpc_{side}_{name}")), methods);
        }
        assert_eq!(rig.series(&format!("grpc_{side}_handling_seconds")), methods);
        assert_eq!(rig.series(&format!("grpc_{side}_handled_total")), methods * CODE_NAMES.len());
    }
}
