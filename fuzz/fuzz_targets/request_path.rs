//! See `forecourt_fuzz::wire::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::wire::requests::judge(bytes));
