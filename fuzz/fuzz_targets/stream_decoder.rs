#![no_main]

// The first check makes what all use, which may take longer than an input may.
libfuzzer_sys::fuzz_target!(
    init: checks::stream_decoder::check(b""),
    |data: &[u8]| checks::stream_decoder::check(data)
);
