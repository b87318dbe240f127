//! The command line but for the roles: the verbs of buyers and sellers, lint, explain, the checks of
//! an installation and the proof of one, and the failures and exit codes that all commands have.

pub mod check;
mod clock;
mod cluster;
pub mod completion;
pub mod dev_addresses;
pub mod display;
pub mod exit;
pub mod explain;
pub mod journal;
pub mod lint;
pub mod notify;
pub mod output;
mod progress;
pub mod prove;
pub mod schema;
mod streamed;
pub mod verbs;
