//! The local rules of a policy: which label a path gets that an expression finds.
//!
//! Source: selabel_file(5), file_contexts(5), semanage-fcontext(8).

use serde::{Deserialize, Serialize};

/// What an expression is for: all files, or those of one sort.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
pub enum Sort {
    /// All files.
    #[default]
    #[serde(rename = "a")]
    All,
    /// Regular files.
    #[serde(rename = "f")]
    File,
    /// Directories.
    #[serde(rename = "d")]
    Directory,
    /// Character devices.
    #[serde(rename = "c")]
    Character,
    /// Block devices.
    #[serde(rename = "b")]
    Block,
    /// Sockets.
    #[serde(rename = "s")]
    Socket,
    /// Symbolic links.
    #[serde(rename = "l")]
    Link,
    /// Named pipes.
    #[serde(rename = "p")]
    Pipe,
}

const SORTS: [(Sort, &str, &str); 8] = [
    (Sort::All, "a", ""),
    (Sort::File, "f", "--"),
    (Sort::Directory, "d", "-d"),
    (Sort::Character, "c", "-c"),
    (Sort::Block, "b", "-b"),
    (Sort::Socket, "s", "-s"),
    (Sort::Link, "l", "-l"),
    (Sort::Pipe, "p", "-p"),
];

impl Sort {
    /// The letter that `semanage` has for it.
    #[must_use]
    pub fn letter(self) -> &'static str {
        SORTS.iter().find(|s| s.0 == self).map_or("a", |s| s.1)
    }

    /// How a file of rules writes it.
    fn mark(self) -> &'static str {
        SORTS.iter().find(|s| s.0 == self).map_or("", |s| s.2)
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The expression; it has to find the whole path.
    pub target: String,
    /// Of what sort the file has to be.
    pub sort: Sort,
    /// `user:role:type:level`, or `<<none>>`: the label is not touched.
    pub context: String,
}

impl Rule {
    fn line(&self) -> String {
        let mark = self.sort.mark();
        let blank = if mark.is_empty() { "" } else { " " };
        format!("{}    {mark}{blank}{}\n", self.target, self.context)
    }
}

/// The rules of a file, in its order.
#[must_use]
pub fn read(text: &str) -> Vec<Rule> {
    let rule = |line: &str| {
        let line = line.trim();
        let mut words = line.split_whitespace();
        let target = words.next().filter(|w| !w.starts_with('#'))?.to_owned();
        let next = words.next()?;
        let sort = SORTS.iter().find(|s| s.2 == next).map(|s| s.0);
        let context = match sort {
            Some(_) => words.next()?,
            None => next,
        };
        Some(Rule {
            target,
            sort: sort.unwrap_or_default(),
            context: context.to_owned(),
        })
    };
    text.lines().filter_map(rule).collect()
}

/// The rules as a file.
#[must_use]
pub fn written(rules: &[Rule]) -> String {
    rules.iter().map(Rule::line).collect()
}

/// Sets or takes away a rule as the policy's own tool does: one that is there is changed in its place, a new one comes behind
/// all others.
pub fn set(rules: &mut Vec<Rule>, target: &str, sort: Sort, context: Option<&str>) {
    let at = rules
        .iter()
        .position(|r| r.target == target && r.sort == sort);
    match (at, context) {
        (Some(at), Some(context)) => context.clone_into(&mut rules[at].context),
        (Some(at), None) => {
            rules.remove(at);
        }
        (None, Some(context)) => rules.push(Rule {
            target: target.to_owned(),
            sort,
            context: context.to_owned(),
        }),
        (None, None) => {}
    }
}

/// What stands in front of the first character of an expression that stands for something else than itself; escapes are
/// resolved.
#[must_use]
pub fn stem(target: &str) -> String {
    let mut out = String::new();
    let mut letters = target.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(next) if !next.is_ascii_alphanumeric() => out.push(next),
                _ => break,
            },
            '.' | '^' | '$' | '?' | '*' | '+' | '|' | '[' | '(' | '{' => {
                // What may be missing, or be there more than once, is no part of it.
                if matches!(letter, '?' | '*' | '{') {
                    out.pop();
                }
                break;
            }
            _ => out.push(letter),
        }
    }
    out
}

/// Does the expression stand for one path alone?
#[must_use]
pub fn is_exact(target: &str) -> bool {
    let plain: String = target.replace("\\.", "").replace("\\+", "");
    !plain.contains(['.', '^', '$', '?', '*', '+', '|', '[', '(', '{', '\\'])
}

/// A path, or an expression, as the policy's own rules have it: below the directory that another one stands for.
#[must_use]
pub fn canonical(target: &str, equivalences: &[(String, String)]) -> Option<String> {
    let below = |(other, own): &(String, String)| {
        let rest = target.strip_prefix(other.as_str())?;
        let whole = rest.is_empty() || rest.starts_with(['/', '(']);
        whole.then(|| format!("{own}{rest}"))
    };
    equivalences.iter().find_map(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_rules() {
        let text = "# made\n\n/srv/a(/.*)?    system_u:object_r:a_t:s0\n/srv/b -d system_u:object_r:b_t:s0\n/srv/c\t--\t<<none>>\n";
        let mut rules = read(text);
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[1].sort, Sort::Directory);
        assert_eq!(rules[2].context, "<<none>>");
        assert_eq!(read(&written(&rules)), rules);
        set(&mut rules, "/srv/a(/.*)?", Sort::All, Some("new"));
        set(&mut rules, "/srv/b", Sort::All, Some("all"));
        set(&mut rules, "/srv/c", Sort::File, None);
        let all: Vec<(&str, Sort)> = rules.iter().map(|r| (r.target.as_str(), r.sort)).collect();
        let expected = [
            ("/srv/a(/.*)?", Sort::All),
            ("/srv/b", Sort::Directory),
            ("/srv/b", Sort::All),
        ];
        assert_eq!(all, expected);
        assert_eq!(rules[0].context, "new");
    }

    #[test]
    fn stems() {
        for (target, is, exact) in [
            ("/home/pacsone(/.*)?", "/home/pacsone", false),
            ("/etc/php\\.ini", "/etc/php.ini", true),
            ("/srv/ab*", "/srv/a", false),
            ("/srv/ab+", "/srv/ab", false),
            ("/srv/[ab]", "/srv/", false),
            ("/srv/a\\d", "/srv/a", false),
            ("/srv/a", "/srv/a", true),
            (".*", "", false),
        ] {
            assert_eq!(stem(target), is, "{target}");
            assert_eq!(is_exact(target), exact, "{target}");
        }
    }

    #[test]
    fn equivalences() {
        let all = [
            ("/bin".to_owned(), "/usr/bin".to_owned()),
            ("/run".to_owned(), "/var/run".to_owned()),
        ];
        assert_eq!(canonical("/bin/x(/.*)?", &all).unwrap(), "/usr/bin/x(/.*)?");
        assert_eq!(canonical("/bin(/.*)?", &all).unwrap(), "/usr/bin(/.*)?");
        assert_eq!(canonical("/binary", &all), None);
    }
}
