//! Values of the language: what variables hold, templates yield and modules put into registers.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The marker key under which an unknown value is written to JSON.
const UNKNOWN: &str = "__runbook_unknown";
/// The marker key under which a secret string is written to JSON (only into encrypted places).
const SECRET: &str = "__runbook_secret";

/// A value of the language. Unlike JSON it knows *secret* strings and values that are *unknown* until the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `null`, `~`, nothing.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Str(String),
    /// A text that must never be shown.
    Secret(Secret),
    /// A list.
    List(Vec<Value>),
    /// A mapping, in written order.
    Map(IndexMap<String, Value>),
    /// Not known before the run; the text says until when or why, as in `until "New archive"`.
    Unknown(String),
}

impl Value {
    /// Is this, or anything within it, unknown? Gives the first reason.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::List(items) => items.iter().find_map(Self::unknown),
            Self::Map(map) => map.values().find_map(Self::unknown),
            _ => None,
        }
    }

    /// The text of a string or secret.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            Self::Secret(s) => Some(s.expose()),
            _ => None,
        }
    }

    /// The value of `key` where this is a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// Calls `found` with every secret text within.
    pub fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Secret(s) => found(s.expose()),
            Self::List(items) => items.iter().for_each(|v| v.secrets(found)),
            Self::Map(map) => map.values().for_each(|v| v.secrets(found)),
            _ => {}
        }
    }

    /// As JSON. Secrets are shown as `********` unless `expose` is set; unknown values become a marker object.
    #[must_use]
    pub fn to_json(&self, expose: bool) -> serde_json::Value {
        use serde_json::{Value as J, json};
        match self {
            Self::Null => J::Null,
            Self::Bool(b) => J::Bool(*b),
            Self::Int(i) => json!(i),
            Self::Float(f) => json!(f),
            Self::Str(s) => J::String(s.clone()),
            Self::Secret(s) if expose => json!({ SECRET: s.expose() }),
            Self::Secret(_) => J::String(MASK.to_owned()),
            Self::List(items) => J::Array(items.iter().map(|v| v.to_json(expose)).collect()),
            Self::Map(map) => J::Object(
                map.iter()
                    .map(|(k, v)| (k.clone(), v.to_json(expose)))
                    .collect(),
            ),
            Self::Unknown(why) => json!({ UNKNOWN: why }),
        }
    }

    /// For people: secrets masked, and what is not known as words.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match self {
            Self::Unknown(why) => J::String(format!("(not known {why})")),
            Self::List(items) => J::Array(items.iter().map(Self::shown).collect()),
            Self::Map(map) => J::Object(map.iter().map(|(k, v)| (k.clone(), v.shown())).collect()),
            other => other.to_json(false),
        }
    }

    /// From JSON, markers of [`Value::to_json`] included.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as J;
        match json {
            J::Null => Self::Null,
            J::Bool(b) => Self::Bool(*b),
            J::Number(n) => n
                .as_i64()
                .map_or_else(|| Self::Float(n.as_f64().unwrap_or(f64::NAN)), Self::Int),
            J::String(s) => Self::Str(s.clone()),
            J::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            J::Object(map) => {
                if map.len() == 1 {
                    if let Some(J::String(why)) = map.get(UNKNOWN) {
                        return Self::Unknown(why.clone());
                    }
                    if let Some(J::String(text)) = map.get(SECRET) {
                        return Self::Secret(Secret::new(text.clone()));
                    }
                }
                Self::Map(
                    map.iter()
                        .map(|(k, v)| (k.clone(), Self::from_json(v)))
                        .collect(),
                )
            }
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Str(s.to_owned())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Str(s)
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}
impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

/// What stands in place of a secret in everything that is shown.
pub const MASK: &str = "********";

/// A text that is never shown: its `Debug` and `Display` print [`MASK`], and it is wiped when dropped.
///
/// As a module argument it accepts any string. In JSON it is written in clear; states and journal rest encrypted,
/// and whatever is shown passes the run's redactor, which knows every secret that was ever rendered.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Marks a text as secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Every call is a place where a secret may leak; keep them few.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "x-secret": true })
    }
    fn inline_schema() -> bool {
        true
    }
}
