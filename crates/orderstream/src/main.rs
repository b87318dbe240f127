//! One binary: each role and the buyer's verbs are a subcommand.

fn main() {}
