//! Permission bits as a playbook writes them: octal or symbolic.

use std::fmt;

use runbook_engine::host::FileType;
use serde::{Deserialize, Deserializer, Serialize, de};

/// Permission bits: octal (`0644`, `"644"`) or symbolic as chmod(1) takes them (`u=rw,g=r,o=`, `u+x`, `a+rX`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Mode(String);

impl Mode {
    /// From its text form, checked.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mode = Self(text.trim().to_owned());
        mode.over(0o644, FileType::File)?;
        Ok(mode)
    }

    /// The bits that it makes of `old`.
    pub fn over(&self, old: u32, is: FileType) -> Result<u32, String> {
        let wrong = || format!("`{}` is no mode; write 0644, or u=rw,g=r,o=r", self.0);
        if !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(&self.0, 8) {
                Ok(bits) if bits <= 0o7777 => Ok(bits),
                _ => Err(wrong()),
            };
        }
        self.0.split(',').try_fold(old, |bits, clause| {
            apply(clause, bits, is == FileType::Directory).ok_or_else(wrong)
        })
    }

    /// The bits for what stands or will stand somewhere, starting from what is there or from what it gets when new.
    pub fn bits(&self, old: Option<u32>, is: FileType) -> Result<u32, String> {
        self.over(
            old.unwrap_or(if is == FileType::Directory {
                0o755
            } else {
                0o644
            }),
            is,
        )
    }
}

/// One clause of a symbolic mode.
fn apply(clause: &str, mut bits: u32, directory: bool) -> Option<u32> {
    let who_end = clause.find(|c| !"ugoa".contains(c))?;
    let (who, mut rest) = clause.split_at(who_end);
    let who = if who.is_empty() { "a" } else { who };
    let shifts: Vec<u32> = [('u', 6), ('g', 3), ('o', 0)]
        .into_iter()
        .filter(|(w, _)| who.contains(*w) || who.contains('a'))
        .map(|(_, shift)| shift)
        .collect();
    while !rest.is_empty() {
        let operator = rest.chars().next().filter(|c| "+-=".contains(*c))?;
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (letters, after) = rest.split_at(end);
        rest = after;
        let mut mask = 0;
        for &shift in &shifts {
            let mut class = 0;
            for letter in letters.chars() {
                match letter {
                    'r' => class |= 4,
                    'w' => class |= 2,
                    'x' => class |= 1,
                    'X' if directory || bits & 0o111 != 0 => class |= 1,
                    'X' => {}
                    's' if shift == 6 => mask |= 0o4000,
                    's' if shift == 3 => mask |= 0o2000,
                    's' => {}
                    't' => mask |= 0o1000,
                    'u' => class |= bits >> 6 & 7,
                    'g' => class |= bits >> 3 & 7,
                    'o' => class |= bits & 7,
                    _ => return None,
                }
            }
            mask |= class << shift;
        }
        let whole: u32 = shifts.iter().map(|s| 7 << s).sum();
        bits = match operator {
            '+' => bits | mask,
            '-' => bits & !mask,
            _ => {
                let special = if shifts.contains(&6) { 0o4000 } else { 0 }
                    | if shifts.contains(&3) { 0o2000 } else { 0 }
                    | if shifts.contains(&0) { 0o1000 } else { 0 };
                // A directory keeps its set-id bits unless they are named, as chmod has it.
                let cleared = if directory { whole } else { whole | special };
                bits & !cleared | mask
            }
        };
    }
    (who_end < clause.len()).then_some(bits)
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Mode;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mode like 0644 or u=rw,g=r,o=r")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mode, E> {
                Mode::parse(text).map_err(E::custom)
            }
            // A number that a template yields is read as it was written: 644 means rw-r--r--.
            fn visit_u64<E: de::Error>(self, digits: u64) -> Result<Mode, E> {
                Mode::parse(&digits.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, digits: i64) -> Result<Mode, E> {
                Mode::parse(&digits.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_chmod_applies_them() {
        let cases = [
            ("0644", 0o777, false, 0o644),
            ("755", 0, false, 0o755),
            ("4755", 0, false, 0o4755),
            ("u=rw,g=r,o=r", 0o777, false, 0o644),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("go-rwx", 0o755, false, 0o700),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o744, false, 0o755),
            ("a+X", 0o644, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("o=", 0o777, false, 0o770),
            ("u+s,g-w", 0o775, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("u=rwX,g=rX,o=", 0o600, true, 0o750),
            ("g=rx", 0o2775, true, 0o2755),
            ("u=rwx", 0o4711, false, 0o711),
            ("u+r-w", 0o200, false, 0o400),
        ];
        for (text, old, directory, bits) in cases {
            let is = if directory {
                FileType::Directory
            } else {
                FileType::File
            };
            assert_eq!(
                Mode::parse(text).unwrap().over(old, is),
                Ok(bits),
                "{text} over {old:o}"
            );
        }
        for text in [
            "",
            "99",
            "0o644",
            "u",
            "u+q",
            "rw-r--r--",
            "77777",
            "u=rw g=r",
        ] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
