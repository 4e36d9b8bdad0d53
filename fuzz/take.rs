//! Gives what libFuzzer makes up to the kind of input that the target is called after.

#![no_main]

use pcopy::testing::inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::take(env!("CARGO_BIN_NAME"), bytes));
