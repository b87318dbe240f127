//! The dashboards.

mod business;
mod controller;
mod processor;
mod rpc;
mod streams;

use super::Board;

/// Returns all dashboards.
pub(super) fn all() -> Vec<Board> {
    vec![business::board(), rpc::board(), streams::board(), processor::board(), controller::board()]
}
