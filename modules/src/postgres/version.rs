//! Versions of a schema: numbers with dots, compared number by number.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version: `5.9` < `5.10` < `5.31` < `5.31.1`; `5.32` and `5.32.0` are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(Vec<u32>);

impl Version {
    /// The first two numbers.
    #[must_use]
    pub fn minor(&self) -> (u32, u32) {
        (
            self.0.first().copied().unwrap_or(0),
            self.0.get(1).copied().unwrap_or(0),
        )
    }
}

impl FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no version; write numbers with dots, as in `5.32`");
        let mut numbers = Vec::new();
        for part in text.split('.') {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            numbers.push(part.parse().map_err(|_| bad())?);
        }
        while numbers.len() > 2 && numbers.last() == Some(&0) {
            numbers.pop();
        }
        Ok(Self(numbers))
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl TryFrom<String> for Version {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_equality() {
        let v = |t: &str| t.parse::<Version>().unwrap();
        let sorted = ["4", "5.9", "5.10", "5.31", "5.31.1", "5.32", "6.0"];
        assert!(sorted.windows(2).all(|w| v(w[0]) < v(w[1])));
        assert_eq!(v("5.32.0"), v("5.32"));
        assert_eq!(v("5.32.0").to_string(), "5.32");
        assert_eq!(v("5.0").to_string(), "5.0");
        for bad in ["", "5.", "5-32", "v5", "5.x", "5..1", "99999999999.1"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
