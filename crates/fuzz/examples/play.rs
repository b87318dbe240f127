//! Runs inputs against one target with logging on, to find out why an input broke something:
//! `cargo run -p orderstream-fuzz --example play -- TARGET FILE…`
#![allow(clippy::panic, reason = "a command for developers says what is wrong by panicking")]

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some(run) = orderstream_fuzz::target(&name) else { panic!("no target is named {name:?}") };
    for file in args {
        run(&std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}")));
    }
}
