//! See `forecourt_fuzz::templates`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::templates::judge(bytes));
