#![no_main]

// The first check makes what all use, which may take longer than an input may.
libfuzzer_sys::fuzz_target!(
    init: checks::truncate::check(b""),
    |data: &[u8]| checks::truncate::check(data)
);
