//! Tests of the operator with real processes on a real API server, as its users observe it with
//! kubectl.

mod bed;
mod buyers;
mod causes;
mod chaos;
mod contested;
mod controllers;
mod deletes;
mod kills;
mod leaders;
mod lifecycle;
mod many;
mod market;
mod namespaces;
mod rbac;
mod rules;
mod tender;
mod trace;
mod unreadable;
mod verbs;
mod witnesses;
mod writes;

pub(crate) use self::bed::Bed;
