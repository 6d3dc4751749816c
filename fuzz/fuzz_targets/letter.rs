#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gangplank_fuzz::letter(bytes));
