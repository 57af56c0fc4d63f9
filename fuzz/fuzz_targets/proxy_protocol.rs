//! See `forecourt_fuzz::proxy_protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::proxy_protocol::judge(bytes));
