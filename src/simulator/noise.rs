//! Pseudo-random numbers from a seed, so that the same seed always makes the same account.

use std::fmt::Write as _;

/// 64 bits that depend only on the arguments.
pub fn mix(seed: u64, veid: u64, number: i64, purpose: u64) -> u64 {
    let mut mixed = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(veid.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add(number.cast_unsigned().wrapping_mul(0x8CB9_2BA7_2F3D_8DD7))
        .wrapping_add(purpose.wrapping_mul(0xAAAA_AAAA_AAAA_AAAB));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A number from 0 to 1 that depends only on the arguments.
#[expect(clippy::cast_precision_loss, reason = "53 bits are plenty")]
pub fn noise(seed: u64, veid: u64, number: i64, purpose: u64) -> f64 {
    mix(seed, veid, number, purpose) as f64 / u64::MAX as f64
}

/// A string of `digits` hexadecimal digits, at most 64.
pub fn hex(seed: u64, veid: u64, number: i64, purpose: u64, digits: usize) -> String {
    let mut text = String::with_capacity(64);
    for part in 0..4 {
        // Writing to a String does not fail.
        let _ = write!(text, "{:016x}", mix(seed, veid, number * 4 + part, purpose));
    }
    text.truncate(digits);
    text
}

/// Multiplies and truncates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "factors are positive and results far below 2^53"
)]
pub fn scaled(value: u64, factor: f64) -> u64 {
    (to_float(value) * factor) as u64
}

#[expect(clippy::cast_precision_loss, reason = "values are far below 2^53")]
pub fn to_float(value: u64) -> f64 {
    value as f64
}
