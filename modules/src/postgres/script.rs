//! SQL scripts as they are shipped beside a server: split into statements, each with its place and its hash.
//!
//! The dialect is that of `psql -f` without psql itself: comments, dollar quotes and a missing last semicolon are
//! fine; meta-commands (`\connect`), data of `COPY … FROM stdin` and transaction control are refused with their line,
//! since it is not psql that runs the statements, and the transactions are not the script's to set.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use squawk_syntax::ast::AstNode;
use squawk_syntax::{SourceFile, SyntaxKind, SyntaxNode};

use super::operation::{Operation, recognise};

/// A script, split.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Name of the file, for messages.
    pub file: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Its statements in order.
    pub statements: Vec<Statement>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The text as written, without the semicolon and the comments around it.
    pub text: String,
    /// Offset of its first byte in the file.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
    /// Line of its first byte, from 1.
    pub line: u32,
    /// SHA-256 of [`normalised`] text, hex: the same for a statement that differs in comments, white space and the
    /// case of keywords and unquoted names only.
    pub hash: String,
    /// What it does, as far as it is understood; `alter table` may do several things.
    pub operations: Vec<Operation>,
}

/// What is wrong with a script, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct ScriptError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A token that is neither white space nor comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Unquoted names and keywords in lower case, all else as written.
    pub text: String,
    /// A name or keyword, quoted or not: then `name` gives it as the catalogue has it.
    pub word: bool,
    /// Offset of its first byte in the statement.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
}

impl Token {
    /// The name as the catalogue has it: unquoted folded to lower case, quoted as it is between the quotes.
    pub(super) fn name(&self) -> String {
        match self
            .text
            .strip_prefix('"')
            .and_then(|t| t.strip_suffix('"'))
        {
            Some(inner) => inner.replace("\"\"", "\""),
            None => self.text.clone(),
        }
    }
}

impl Script {
    /// Splits a script.
    ///
    /// # Errors
    /// Every mistake with its line: bytes that are no UTF-8, syntax that is no SQL, meta-commands of psql, data of
    /// `COPY`, transaction control.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<ScriptError>> {
        let fail = |line: u32, message: String| ScriptError {
            file: file.to_owned(),
            line,
            message,
        };
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let line = line_of(bytes, e.valid_up_to());
            vec![fail(line, "this is no UTF-8; convert the file".to_owned())]
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parse = SourceFile::parse(text);
        let root = parse.syntax_node();
        let line = |offset: usize| line_of(text.as_bytes(), offset);

        if let Some(error) = outside_sql(&root, &|offset, message| fail(line(offset), message)) {
            return Err(vec![error]);
        }
        let mut errors: Vec<ScriptError> = parse
            .errors()
            .iter()
            .map(|e| {
                fail(
                    line(usize::from(e.range().start())),
                    format!("this is no SQL: {}", e.message()),
                )
            })
            .collect();

        let mut statements = Vec::new();
        for stmt in parse.tree().stmts() {
            let tokens = tokens_of(stmt.syntax());
            let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
                continue;
            };
            let (start, end) = (first.start, last.end);
            let tokens: Vec<Token> = tokens
                .into_iter()
                .map(|t| Token {
                    start: t.start - start,
                    end: t.end - start,
                    ..t
                })
                .collect();
            if let Some(word) = transaction_control(&tokens) {
                errors.push(fail(
                    line(start),
                    format!("`{word}` is not for a script to say: which statements commit together follows from its part; remove it"),
                ));
                continue;
            }
            let operations = recognise(&tokens, &text[start..end]);
            statements.push(Statement {
                text: text[start..end].to_owned(),
                start,
                end,
                line: line(start),
                hash: hex::encode(Sha256::digest(normalised(&tokens))),
                operations,
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            file: file.to_owned(),
            sha256: hex::encode(Sha256::digest(bytes)),
            statements,
        })
    }
}

/// The text of a statement with comments and white space folded and unquoted names in lower case.
fn normalised(tokens: &[Token]) -> String {
    tokens
        .iter()
        .map(|t| t.text.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// All tokens below a node but trivia and semicolons, with offsets in the file.
fn tokens_of(node: &SyntaxNode) -> Vec<Token> {
    node.descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|t| !t.kind().is_trivia() && t.kind() != SyntaxKind::SEMICOLON)
        .map(|t| {
            let range = t.text_range();
            let text = t.text();
            let starts = text.chars().next().unwrap_or(' ');
            let literal = matches!(
                t.kind(),
                SyntaxKind::STRING
                    | SyntaxKind::ESC_STRING
                    | SyntaxKind::UNICODE_ESC_STRING
                    | SyntaxKind::NATIONAL_STRING
                    | SyntaxKind::BIT_STRING
                    | SyntaxKind::BYTE_STRING
                    | SyntaxKind::DOLLAR_QUOTED_STRING
            );
            let word = !literal && (starts.is_alphabetic() || starts == '_' || starts == '"');
            let folded = word && starts != '"';
            Token {
                text: if folded {
                    text.to_lowercase()
                } else {
                    text.to_owned()
                },
                word,
                start: usize::from(range.start()),
                end: usize::from(range.end()),
            }
        })
        .collect()
}

/// What psql understands and the server does not.
fn outside_sql(
    root: &SyntaxNode,
    fail: &dyn Fn(usize, String) -> ScriptError,
) -> Option<ScriptError> {
    let tokens = tokens_with_ends(root);
    let mut copy = None;
    for (i, (kind, text, at)) in tokens.iter().enumerate() {
        let quoted = matches!(text.chars().next(), Some('\'' | '"' | '$'));
        if !quoted && text.starts_with('\\') {
            let word: String = tokens.get(i + 1).map(|t| t.1.clone()).unwrap_or_default();
            return Some(fail(
                *at,
                format!("`\\{word}` is a command of psql, which does not run here; remove it"),
            ));
        }
        match (kind, text.to_ascii_lowercase().as_str()) {
            (_, "copy") if i == 0 || tokens[i - 1].0 == SyntaxKind::SEMICOLON => copy = Some(*at),
            (SyntaxKind::SEMICOLON, _) => copy = None,
            (_, "stdin") => {
                if let Some(at) = copy {
                    return Some(fail(
                        at,
                        "data of `copy … from stdin` cannot be brought by a script; write `insert`"
                            .to_owned(),
                    ));
                }
            }
            _ => {}
        }
    }
    None
}

fn tokens_with_ends(root: &SyntaxNode) -> Vec<(SyntaxKind, String, usize)> {
    root.descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|t| !t.kind().is_trivia())
        .map(|t| {
            (
                t.kind(),
                t.text().to_owned(),
                usize::from(t.text_range().start()),
            )
        })
        .collect()
}

fn transaction_control(tokens: &[Token]) -> Option<String> {
    let first = tokens.first()?.text.as_str();
    let second = tokens.get(1).map(|t| t.text.as_str());
    match (first, second) {
        ("begin" | "commit" | "rollback" | "abort" | "end" | "savepoint", _) => {
            Some(first.to_owned())
        }
        ("start" | "prepare", Some("transaction")) => Some(format!("{first} transaction")),
        ("release", _) => Some(first.to_owned()),
        _ => None,
    }
}

fn line_of(text: &[u8], offset: usize) -> u32 {
    let newlines = text[..offset.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count();
    u32::try_from(newlines + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<(String, u32)> {
        let script = Script::parse("f.sql", sql.as_bytes()).unwrap();
        script
            .statements
            .iter()
            .map(|s| (s.text.clone(), s.line))
            .collect()
    }

    fn hash(sql: &str) -> String {
        let script = Script::parse("f.sql", sql.as_bytes()).unwrap();
        assert_eq!(script.statements.len(), 1, "{sql}");
        script.statements[0].hash.clone()
    }

    #[test]
    fn splits_at_semicolons_that_end_statements() {
        let sql = "-- first; comment\nselect 1;\n\n/* ; */ do $$ begin perform 1; end $$;\nupdate t set a = ';'";
        assert_eq!(
            texts(sql),
            [
                ("select 1".to_owned(), 2),
                ("do $$ begin perform 1; end $$".to_owned(), 4),
                ("update t set a = ';'".to_owned(), 5),
            ]
        );
        assert!(texts("-- nothing\n;;\n").is_empty());
    }

    #[test]
    fn ranges_are_those_of_the_file() {
        let sql = "  select 1 ; -- x\nselect\n 2";
        let script = Script::parse("f", sql.as_bytes()).unwrap();
        for s in &script.statements {
            assert_eq!(&sql[s.start..s.end], s.text);
        }
        assert_eq!(script.statements.len(), 2);
    }

    #[test]
    fn hash_ignores_comments_blanks_and_case_of_unquoted_names() {
        let one = hash("alter table Study ADD study_deleting boolean");
        assert_eq!(
            one,
            hash("-- note\nALTER  TABLE study\n  add /* x */ study_deleting\tBOOLEAN;")
        );
        assert_ne!(
            one,
            hash("alter table \"Study\" add study_deleting boolean")
        );
        assert_ne!(hash("update t set a='X'"), hash("update t set a='x'"));
    }

    #[test]
    fn refuses_what_is_not_the_servers() {
        for (sql, line, part) in [
            ("select 1;\n\\connect pacsdb\nselect 2;", 2, "`\\connect`"),
            ("\n\ncopy t (a) from stdin;\n1\n\\.\n", 3, "copy"),
            ("select 1;\nbegin;\nselect 2;", 2, "`begin`"),
            ("select 1;\nselct 2;", 2, "no SQL"),
        ] {
            let errors = Script::parse("f.sql", sql.as_bytes()).unwrap_err();
            assert_eq!(errors[0].line, line, "{sql}: {errors:?}");
            assert!(errors[0].message.contains(part), "{sql}: {errors:?}");
        }
        let errors = Script::parse("f.sql", b"select 1;\nselect '\xe4';").unwrap_err();
        assert_eq!(errors[0].line, 2);
    }

    #[test]
    fn a_backslash_in_a_string_is_no_meta_command() {
        assert_eq!(texts(r"update t set a = E'\\x', b = '\d'").len(), 1);
    }
}
