//! See `forecourt_fuzz::sticky_cookie`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::sticky_cookie::judge(bytes));
