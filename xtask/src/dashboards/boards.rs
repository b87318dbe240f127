//! What each dashboard shows.

mod business;
mod controller;
mod processor;
mod rpc;
mod streams;

use super::Board;

/// All dashboards.
pub(super) fn all() -> Vec<Board> {
    vec![business::board(), rpc::board(), streams::board(), processor::board(), controller::board()]
}
