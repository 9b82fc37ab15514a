//! Attribute values: bytes that are nearly always text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of an attribute value. In JSON it is its text, or `base64:…` where it is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Octets(Vec<u8>);

const BASE64: &str = "base64:";

impl Octets {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// In base64.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The value for a message: its text, shortened, or its size.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.text() {
            Some(text) if text.chars().count() <= 80 && !text.contains('\n') => text.to_owned(),
            Some(text) => {
                let start: String = text
                    .chars()
                    .take(60)
                    .map(|c| if c == '\n' { ' ' } else { c })
                    .collect();
                format!("{start}… ({} bytes)", self.0.len())
            }
            None => format!("({} bytes)", self.0.len()),
        }
    }
}

impl From<Vec<u8>> for Octets {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
impl From<&[u8]> for Octets {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}
impl From<&str> for Octets {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}
impl From<String> for Octets {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) if !text.starts_with(BASE64) => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("{BASE64}{}", STANDARD.encode(&self.0))),
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(BASE64) {
            Some(code) => STANDARD
                .decode(code)
                .map(Self)
                .map_err(serde::de::Error::custom),
            None => Ok(Self(text.into_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [
            b"text".to_vec(),
            b"base64:x".to_vec(),
            vec![0xff, 0, 1],
            Vec::new(),
        ] {
            let octets = Octets::from(bytes);
            let json = serde_json::to_string(&octets).unwrap();
            assert_eq!(
                serde_json::from_str::<Octets>(&json).unwrap(),
                octets,
                "{json}"
            );
        }
    }
}
