//! One fuzzer for all targets: `ORDERSTREAM_FUZZ_TARGET` names the one that runs.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("ORDERSTREAM_FUZZ_TARGET").unwrap_or_default();
    orderstream_fuzz::target(&name).unwrap_or_else(|| {
        let known: Vec<_> = orderstream_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("ORDERSTREAM_FUZZ_TARGET is {name:?}; give one of {known:?}")
    })
});

fuzz_target!(|data: &[u8]| TARGET(data));
