//! See `forecourt_fuzz::splitting`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::splitting::judge(bytes));
