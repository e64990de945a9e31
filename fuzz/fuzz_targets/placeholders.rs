#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _good = conductor_fuzz::placeholders::run(input);
});
