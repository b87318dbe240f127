//! Runs each input of the corpora once, as a regression test.

use std::path::Path;

use orderstream_fuzz::TARGETS;

/// Each input is accepted or refused.
#[test]
fn corpus_inputs_break_no_target() {
    for (name, run) in TARGETS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut played = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&std::fs::read(&path).unwrap());
            played += 1;
        }
        assert!(played >= 5, "{name} has {played} inputs; a target begins with at least 5");
    }
}

#[test]
fn targets_take_nothing_and_noise() {
    for (_, run) in TARGETS {
        run(b"");
        run(&[0xff; 64]);
        run(b"\n\n\n");
    }
}
