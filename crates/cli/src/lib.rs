//! The command line but for the roles: the verbs of buyers and sellers, lint, explain, the checks of
//! an installation and the proof of one, and the failures and exit codes that all commands have.

pub mod check;
mod clock;
mod cluster;
pub mod completion;
pub mod exit;
pub mod explain;
pub mod journal;
pub mod lint;
pub mod notify;
pub mod output;
pub mod prove;
pub mod schema;
pub mod verbs;
