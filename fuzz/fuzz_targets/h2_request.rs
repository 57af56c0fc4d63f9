//! See `forecourt_fuzz::h2_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::h2_head::judge_request(bytes));
