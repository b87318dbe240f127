//! The core's integration tests: the plan, properties of each state machine, and a simulation of
//! all of them.

#![allow(clippy::wildcard_enum_match_arm, reason = "a judge looks for one kind of entry")]
#![allow(clippy::struct_excessive_bools, reason = "players have independent states")]

#[cfg(test)]
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
