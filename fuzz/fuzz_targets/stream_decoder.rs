#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::stream_decoder::check(data));
