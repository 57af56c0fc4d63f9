//! See `forecourt_fuzz::wire::responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::wire::responses::judge(bytes));
