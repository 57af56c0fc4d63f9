//! See `forecourt_fuzz::websocket_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forecourt_fuzz::websocket_frames::judge(bytes));
