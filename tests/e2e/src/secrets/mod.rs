//! Secrets that are planted where secrets stand, and the search for them in all that a call leaves behind.

mod search;
mod trace;

pub use search::{Found, Haystack, Secrets};
pub use trace::{Trace, traced};

/// What makes a secret hard to find: each of these is in some of them, and each is quoted or encoded somewhere.
const SIGNS: [&str; 12] = ["-", "$", " ", "\"", "'", "%", "&", "\\", "ü", "/", "+", "="];

/// The planted secret of a number: the same in every run of the tests, and in nothing else.
#[must_use]
pub fn secret(number: usize) -> String {
    let sign = SIGNS[number % SIGNS.len()];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
    let mut letters = String::new();
    for _ in 0..12 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let letter = u8::try_from((state >> 33) % 26).unwrap_or(0);
        letters.push(char::from(b'a' + letter));
    }
    format!("Pq{number:02}{sign}{letters}")
}
