//! The dashboards.

mod business;
mod controller;
mod overview;
mod processor;
mod rpc;
mod streams;

use super::Board;

/// Returns all dashboards.
pub(super) fn all() -> Vec<Board> {
    vec![
        overview::board(),
        business::board(),
        rpc::board(),
        streams::board(),
        processor::board(),
        controller::board(),
    ]
}
