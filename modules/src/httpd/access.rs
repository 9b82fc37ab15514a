//! Who may use a directory: the directives of Apache 2.4 (`Require`) and those of 2.2 (`Order`, `Allow`, `Deny`).
//!
//! Source: "Upgrading to 2.4 from 2.2", section "Access control", and mod_authz_host, mod_access_compat.

use super::conf::Directive;

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `Order`, `Allow`, `Deny`.
    Old,
    /// `Require`.
    New,
}

/// Who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Granted,
    /// Nobody.
    Denied,
    /// These addresses, networks and names of hosts.
    From(Vec<String>),
}

impl Access {
    /// As a playbook says it: `granted`, `denied`, or addresses.
    ///
    /// # Errors
    /// None of these.
    pub fn read(words: &[String]) -> Result<Self, String> {
        match words {
            [word] if word == "granted" => Ok(Self::Granted),
            [word] if word == "denied" => Ok(Self::Denied),
            [] => Err("`access` names nobody; write granted, denied, or addresses".to_owned()),
            list => match list.iter().find(|w| !is_origin(w)) {
                Some(wrong) => Err(format!(
                    "`access`: `{wrong}` is no address, network or name of a host; write granted, denied, or addresses"
                )),
                None => Ok(Self::From(list.to_vec())),
            },
        }
    }

    /// The lines that say it.
    #[must_use]
    pub fn lines(&self, form: Form) -> Vec<String> {
        let all = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect();
        match (self, form) {
            (Self::Granted, Form::New) => all(&["Require all granted"]),
            (Self::Denied, Form::New) => all(&["Require all denied"]),
            (Self::Granted, Form::Old) => all(&["Order allow,deny", "Allow from all"]),
            (Self::Denied, Form::Old) => all(&["Order deny,allow", "Deny from all"]),
            (Self::From(list), Form::New) => {
                let (addresses, names): (Vec<&String>, Vec<&String>) =
                    list.iter().partition(|w| is_address(w));
                let line = |sort: &str, words: Vec<&String>| {
                    let words: Vec<&str> = words.into_iter().map(String::as_str).collect();
                    (!words.is_empty()).then(|| format!("Require {sort} {}", words.join(" ")))
                };
                let lines = [line("ip", addresses), line("host", names)];
                lines.into_iter().flatten().collect()
            }
            (Self::From(list), Form::Old) => all(&[
                "Order allow,deny",
                &format!("Allow from {}", list.join(" ")),
            ]),
        }
    }

    /// What the lines of a section say, and in which form; `None` where they say nothing.
    ///
    /// # Errors
    /// They say it in both forms, or something that this does not know.
    pub fn of(lines: &[&Directive]) -> Result<Option<(Form, Self)>, String> {
        let new: Vec<&&Directive> = lines.iter().filter(|d| d.is("Require")).collect();
        let old: Vec<&&Directive> = lines.iter().filter(|d| !d.is("Require")).collect();
        match (new.is_empty(), old.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Err(
                "the directives of Apache 2.4 (Require) and of 2.2 (Order, Allow, Deny) stand side by side there, and what \
                 counts is hard to say; leave one of the two"
                    .to_owned(),
            ),
            (false, true) => required(&new).map(|access| Some((Form::New, access))),
            (true, false) => ordered(&old).map(|access| Some((Form::Old, access))),
        }
    }
}

/// The names of the directives that say who may.
pub const NAMES: [&str; 5] = ["Require", "Order", "Allow", "Deny", "Satisfy"];

/// `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`, `192.0.2`, `pacs.example`, `.example`.
fn is_origin(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".:/_-".contains(c);
    !word.is_empty() && word != "all" && word.chars().all(fits)
}

fn is_address(word: &str) -> bool {
    let bare = word.split('/').next().unwrap_or(word);
    bare.contains(':') || bare.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn unknown(directive: &Directive) -> String {
    format!(
        "`{} {}` there cannot be said in another form; say with `access` who may",
        directive.name,
        String::from_utf8_lossy(&directive.rest)
    )
}

fn required(lines: &[&&Directive]) -> Result<Access, String> {
    let mut from = Vec::new();
    for line in lines {
        let words: Vec<String> = line.words.iter().map(|w| w.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            // Any of them is enough.
            ["all", "granted"] => return Ok(Access::Granted),
            ["all", "denied"] => {}
            ["ip" | "host", ..] => from.extend(line.words[1..].iter().cloned()),
            _ => return Err(unknown(line)),
        }
    }
    Ok(if from.is_empty() {
        Access::Denied
    } else {
        Access::From(from)
    })
}

fn ordered(lines: &[&&Directive]) -> Result<Access, String> {
    // The order counts that is said last; without one it is deny,allow.
    let mut allow_first = false;
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for line in lines {
        let words: Vec<String> = line.words.iter().map(|w| w.to_ascii_lowercase()).collect();
        if line.is("Order") {
            allow_first = match words.concat().as_str() {
                "allow,deny" => true,
                "deny,allow" => false,
                _ => return Err(unknown(line)),
            };
            continue;
        }
        let into = if line.is("Allow") {
            &mut allowed
        } else if line.is("Deny") {
            &mut denied
        } else {
            return Err(unknown(line));
        };
        match words.split_first() {
            Some((from, rest))
                if from == "from" && rest.iter().all(|w| w == "all" || is_origin(w)) =>
            {
                into.extend(line.words[1..].iter().cloned());
            }
            _ => return Err(unknown(line)),
        }
    }
    let all = |list: &[String]| list.iter().any(|w| w.eq_ignore_ascii_case("all"));
    let access = match (allow_first, all(&allowed), all(&denied), denied.is_empty()) {
        // Allowed, unless denied; nobody else.
        (true, _, true, _) => Access::Denied,
        (true, true, _, true) | (false, true, ..) | (false, false, _, true) => Access::Granted,
        (true, false, _, true) if allowed.is_empty() => Access::Denied,
        (true, false, _, true) | (false, false, true, _) if !allowed.is_empty() => {
            Access::From(allowed)
        }
        (false, false, true, _) => Access::Denied,
        _ => {
            return Err(
                "some are denied and others allowed there, which cannot be said in another form; say with `access` who may"
                    .to_owned(),
            );
        }
    };
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::httpd::conf::{Conf, Says};

    fn said(text: &str) -> Result<Option<(Form, Access)>, String> {
        let conf = Conf::read(text.as_bytes());
        let lines: Vec<&Directive> = conf
            .lines
            .iter()
            .filter_map(|l| match &l.says {
                Says::Directive(d) => Some(d),
                _ => None,
            })
            .collect();
        Access::of(&lines)
    }

    #[test]
    fn what_lines_say() {
        let from = |list: &[&str]| Access::From(list.iter().map(|w| (*w).to_owned()).collect());
        for (text, form, access) in [
            ("Require all granted", Form::New, Access::Granted),
            ("require ALL denied", Form::New, Access::Denied),
            (
                "Require ip 192.0.2.1 192.0.2.2\nRequire host a.example",
                Form::New,
                from(&["192.0.2.1", "192.0.2.2", "a.example"]),
            ),
            (
                "Order allow,deny\nAllow from all",
                Form::Old,
                Access::Granted,
            ),
            ("Order Allow, Deny", Form::Old, Access::Denied),
            ("Order deny,allow\nDeny from all", Form::Old, Access::Denied),
            ("Order deny,allow", Form::Old, Access::Granted),
            (
                "Order deny,allow\nDeny from all\nAllow from 192.0.2",
                Form::Old,
                from(&["192.0.2"]),
            ),
            (
                "Order allow,deny\nAllow from .example",
                Form::Old,
                from(&[".example"]),
            ),
            (
                "Order deny,allow\nDeny from all\nAllow from all",
                Form::Old,
                Access::Granted,
            ),
        ] {
            assert_eq!(said(text), Ok(Some((form, access.clone()))), "{text}");
            // Said in the other form it is the same.
            for other in [Form::New, Form::Old] {
                assert_eq!(
                    said(&access.lines(other).join("\n")),
                    Ok(Some((other, access.clone()))),
                    "{text}"
                );
            }
        }
        assert_eq!(
            said("Options None"),
            Err(unknown(&Directive {
                name: "Options".to_owned(),
                rest: b"None".to_vec(),
                words: vec![]
            }))
        );
        for text in [
            "Require all granted\nOrder allow,deny",
            "Require user anna",
            "Order mutual-failure",
            "Order allow,deny\nAllow from all\nDeny from 192.0.2.1",
            "Satisfy any",
            "Allow from env=x",
        ] {
            assert!(said(text).is_err(), "{text}");
        }
    }
}
