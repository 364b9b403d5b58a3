#![no_main]

// The first check makes what all use, which may take longer than an input may.
libfuzzer_sys::fuzz_target!(
    init: checks::chat::check(b""),
    |data: &[u8]| checks::chat::check(data)
);
