//! See `forecourt_fuzz::route_matching`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::route_matching::judge(bytes));
