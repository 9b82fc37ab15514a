//! From nodes to typed values; every error keeps the innermost place.
//!
//! What a plain scalar means depends on the position it stands in, as in Ansible's module arguments: where a text is
//! wanted `80` is the text, where a number is wanted it is the number, and `yes`, `no`, `on`, `off` are truth values
//! only where one is wanted. A single value stands for a list of one.

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use super::{Kind, Node, Span};
use crate::diag::Diagnostic;
use crate::value::Value;

/// Understands a node as `T`.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Diagnostic> {
    T::deserialize(De { node }).map_err(|e| {
        // What serde expected and did not find, it shows.
        let mut wrong = e.into_diagnostic(node.span);
        secrets(node, &mut |secret| {
            wrong.message = wrong.message.replace(secret, crate::value::MASK);
            wrong.help = wrong
                .help
                .as_deref()
                .map(|h| h.replace(secret, crate::value::MASK));
        });
        wrong
    })
}

fn secrets(node: &Node, found: &mut dyn FnMut(&str)) {
    match &node.kind {
        Kind::Value(value) => value.secrets(&mut |s| {
            if !s.is_empty() {
                found(s);
            }
        }),
        Kind::Seq(items) => items.iter().for_each(|i| secrets(i, found)),
        Kind::Map(entries) => entries.iter().for_each(|(_, v)| secrets(v, found)),
        Kind::Encrypted(text) => {
            if let Ok(text) = text.open() {
                found(text.expose());
            }
        }
        Kind::Scalar { .. } => {}
    }
}

/// The value of a node in a position without a type: as YAML 1.1 has it, which Ansible reads. Numbers with a leading
/// zero, times of day and dates are kept as texts.
#[must_use]
pub fn untyped(node: &Node) -> Value {
    match &node.kind {
        Kind::Value(value) => value.clone(),
        // Whoever renders it tells why it cannot be decrypted.
        Kind::Encrypted(text) => match text.open() {
            Ok(text) => Value::Secret(text.clone()),
            Err(shut) => Value::Unknown(shut.message.clone()),
        },
        Kind::Seq(items) => Value::List(items.iter().map(untyped).collect()),
        Kind::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(k, v)| (k.text().unwrap_or_default().to_owned(), untyped(v)))
                .collect(),
        ),
        Kind::Scalar { text, plain: false } => Value::Str(text.clone()),
        Kind::Scalar { text, plain: true } => plain(text),
    }
}

fn plain(text: &str) -> Value {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    let lower = text.to_ascii_lowercase();
    // Written in one case, or with a capital.
    let cased = [lower.as_str(), text.to_ascii_uppercase().as_str()].contains(&text)
        || text.get(1..) == lower.get(1..);
    match lower.as_str() {
        "yes" | "true" | "on" if cased => return Value::Bool(true),
        "no" | "false" | "off" if cased => return Value::Bool(false),
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Value::Int(number);
    }
    float(text).map_or_else(|| Value::Str(text.to_owned()), Value::Float)
}

/// A whole number: decimal, `0x1F` or `0b11`, perhaps with `_` between its digits.
fn integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (radix, digits) = match unsigned.get(..2) {
        Some("0x") => (16, &unsigned[2..]),
        Some("0b") => (2, &unsigned[2..]),
        _ => (10, unsigned),
    };
    let plain = digits.chars().all(|c| c.is_digit(radix) || c == '_');
    let begins = radix != 10 || digits.starts_with(|c: char| c.is_ascii_digit());
    let leading_zero = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if !plain || !begins || leading_zero {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    let digits = digits.replace('_', "");
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// A number with a point; an exponent only behind one, and with its sign. A whole number that is too long is one too.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let leading_zero = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) => (whole, part),
        None if exponent.is_none() && text.len() > 18 => (number, ""),
        None => return None,
    };
    let begins = |t: &str| t.starts_with(|c: char| c.is_ascii_digit());
    let signed = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+'])
            .is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()))
    });
    let bare = whole.is_empty() && begins(part) && unsigned.len() == text.len();
    let sound = (begins(whole) || bare) && digits(whole) && digits(part) && signed;
    if !sound || leading_zero {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// A number where one is wanted.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    match integer(text) {
        Some(number) => Some(number as f64),
        None => text.parse().ok(),
    }
}

/// The truth value that a node is where one is wanted: as in Ansible also the words, quoted or not.
#[must_use]
pub fn truth_of(node: &Node) -> Option<bool> {
    truth(&as_text(node)?)
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "y" | "t" | "1" => Some(true),
        "no" | "off" | "false" | "n" | "f" | "0" => Some(false),
        _ => None,
    }
}

/// An error with a place, kept as small as serde's error type has to be.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    id: &'static str,
    message: String,
    span: Option<Span>,
    help: Option<String>,
    missing: bool,
}

impl Error {
    fn at(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    fn into_diagnostic(self, whole: Span) -> Diagnostic {
        let mut span = self.0.span.unwrap_or(whole);
        if self.0.missing {
            // The place of what is not there is the beginning of where it should be.
            span.end = span.start;
        }
        let diagnostic = Diagnostic::error(self.0.id, self.0.message).at(span, "");
        match self.0.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}
impl std::error::Error for Error {}

fn error(id: &'static str, message: String) -> Error {
    Error(Box::new(Inner {
        id,
        message,
        span: None,
        help: None,
        missing: false,
    }))
}

impl de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        error("bad-value", message.to_string())
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        error(
            "wrong-type",
            format!("expected {expected}, found {}", shown(found)),
        )
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        error(
            "bad-value",
            format!("expected {expected}, found {}", shown(found)),
        )
    }
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let mut unknown = error("unknown-argument", format!("unknown argument `{field}`"));
        unknown.0.help = Some(match crate::diag::nearest(field, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        });
        unknown
    }
    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let mut unknown = error(
            "bad-value",
            format!("`{variant}` is none of the values that this takes"),
        );
        unknown.0.help = Some(match crate::diag::nearest(variant, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it takes {}", known.join(", ")),
        });
        unknown
    }
    fn missing_field(field: &'static str) -> Self {
        let mut missing = error(
            "missing-argument",
            format!("the argument `{field}` is missing"),
        );
        missing.0.missing = true;
        missing
    }
}

fn shown(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(s) => format!("the text \"{s}\""),
        de::Unexpected::Bool(b) => format!("the truth value {b}"),
        de::Unexpected::Signed(n) => format!("the number {n}"),
        de::Unexpected::Unsigned(n) => format!("the number {n}"),
        de::Unexpected::Float(n) => format!("the number {n}"),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// Serde's view of a node.
struct De<'a> {
    node: &'a Node,
}

/// A node as a text, where it can be one.
fn as_text(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text.clone()),
        Kind::Value(value) => match value {
            Value::Str(s) => Some(s.clone()),
            Value::Secret(s) => Some(s.expose().to_owned()),
            Value::Int(n) => Some(n.to_string()),
            Value::Float(n) => Some(n.to_string()),
            Value::Bool(b) => Some(if *b { "True" } else { "False" }.to_owned()),
            _ => None,
        },
        Kind::Encrypted(text) => text.open().ok().map(|t| t.expose().to_owned()),
        _ => None,
    }
}

fn is_null(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar { text, plain } => {
            *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
        }
        Kind::Value(value) => *value == Value::Null,
        _ => false,
    }
}

impl<'a> De<'a> {
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let span = self.node.span;
        match &self.node.kind {
            Kind::Seq(items) => visitor
                .visit_seq(Items {
                    items: items.iter(),
                    span,
                })
                .map_err(|e| e.at(span)),
            Kind::Map(entries) => {
                let mut map = Entries {
                    entries: entries.iter(),
                    value: None,
                };
                visitor.visit_map(&mut map).map_err(|e| e.at(span))
            }
            Kind::Scalar { .. } | Kind::Encrypted(_) => value(untyped(self.node), span, visitor),
            Kind::Value(v) => value(v.clone(), span, visitor),
        }
        .map_err(|e| e.at(span))
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let span = self.node.span;
        match as_text(self.node) {
            Some(text) if !is_null(self.node) => {
                visitor.visit_string(text).map_err(|e: Error| e.at(span))
            }
            _ => self.any(visitor),
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let span = self.node.span;
        let Some(text) = as_text(self.node) else {
            return self.any(visitor);
        };
        let text = text.trim();
        let result = if let Some(number) = integer(text) {
            visitor.visit_i64(number)
        } else if let Ok(number) = text.parse::<u64>() {
            visitor.visit_u64(number)
        } else if let Some(number) = text
            .parse::<f64>()
            .ok()
            .filter(|_| text.starts_with(|c: char| !c.is_alphabetic()))
        {
            visitor.visit_f64(number)
        } else {
            visitor.visit_str(text)
        };
        result.map_err(|e: Error| e.at(span))
    }
}

/// A value that came out of a template, as serde sees it; its place is that of the template.
fn value<'de, V: Visitor<'de>>(value: Value, span: Span, visitor: V) -> Result<V::Value, Error> {
    let result = match value {
        Value::Null => visitor.visit_unit(),
        Value::Bool(b) => visitor.visit_bool(b),
        Value::Int(n) => visitor.visit_i64(n),
        Value::Float(n) => visitor.visit_f64(n),
        Value::Str(s) => visitor.visit_string(s),
        Value::Secret(s) => visitor.visit_str(s.expose()),
        Value::List(items) => {
            let nodes: Vec<Node> = items
                .into_iter()
                .map(|v| Node {
                    span,
                    kind: Kind::Value(v),
                })
                .collect();
            visitor.visit_seq(Items {
                items: nodes.iter(),
                span,
            })
        }
        Value::Map(map) => {
            let node = |v: Value| Node {
                span,
                kind: Kind::Value(v),
            };
            let nodes: Vec<(Node, Node)> = map
                .into_iter()
                .map(|(k, v)| (node(Value::Str(k)), node(v)))
                .collect();
            visitor.visit_map(&mut Entries {
                entries: nodes.iter(),
                value: None,
            })
        }
        Value::Unknown(why) => Err(error(
            "unknown-value",
            format!("this is not known yet: {why}"),
        )),
    };
    result.map_err(|e| e.at(span))
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$to(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for De<'_> {
    type Error = Error;

    forward!(any: deserialize_any deserialize_unit deserialize_ignored_any);
    forward!(text: deserialize_str deserialize_string deserialize_char deserialize_bytes deserialize_byte_buf
        deserialize_identifier);
    forward!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let span = self.node.span;
        match as_text(self.node).as_deref().and_then(truth) {
            Some(found) => visitor.visit_bool(found).map_err(|e: Error| e.at(span)),
            None => self.any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if is_null(self.node) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let span = self.node.span;
        match &self.node.kind {
            Kind::Seq(_) | Kind::Value(Value::List(_) | Value::Unknown(_)) => self.any(visitor),
            _ if is_null(self.node) => self.any(visitor),
            _ => visitor
                .visit_seq(Items {
                    items: std::slice::from_ref(self.node).iter(),
                    span,
                })
                .map_err(|e| e.at(span)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let span = self.node.span;
        if let Some(text) = as_text(self.node) {
            return visitor
                .visit_enum(IntoDeserializer::<Error>::into_deserializer(text.as_str()))
                .map_err(|e| e.at(span));
        }
        let single = match &self.node.kind {
            Kind::Map(entries) if entries.len() == 1 => Some(entries[0].clone()),
            Kind::Value(Value::Map(map)) if map.len() == 1 => map.iter().next().map(|(k, v)| {
                (
                    Node {
                        span,
                        kind: Kind::Value(Value::Str(k.clone())),
                    },
                    Node {
                        span,
                        kind: Kind::Value(v.clone()),
                    },
                )
            }),
            _ => None,
        };
        match single {
            Some((key, value)) => visitor
                .visit_enum(Variant {
                    key: &key,
                    value: &value,
                })
                .map_err(|e| e.at(span)),
            None => self.any(visitor),
        }
    }

    serde::forward_to_deserialize_any! { i128 u128 }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    span: Span,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match self.items.next() {
            Some(node) => seed
                .deserialize(De { node })
                .map(Some)
                .map_err(|e| e.at(node.span).at(self.span)),
            None => Ok(None),
        }
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(De { node: key })
            .map(Some)
            .map_err(|e| e.at(key.span))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value.take() {
            Some(node) => seed.deserialize(De { node }).map_err(|e| e.at(node.span)),
            None => Err(de::Error::custom("a value without a key")),
        }
    }
}

struct Variant<'a> {
    key: &'a Node,
    value: &'a Node,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = De<'a>;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, De<'a>), Error> {
        let name = seed
            .deserialize(De { node: self.key })
            .map_err(|e| e.at(self.key.span))?;
        Ok((name, De { node: self.value }))
    }
}

impl<'de> de::VariantAccess<'de> for De<'_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        Err(error("wrong-type", "this value takes nothing below it".to_owned()).at(self.node.span))
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let span = self.node.span;
        seed.deserialize(self).map_err(|e| e.at(span))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_seq(self, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.any(visitor)
    }
}
