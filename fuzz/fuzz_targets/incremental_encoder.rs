#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::incremental_encoder::check(data));
