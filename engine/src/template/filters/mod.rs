//! Ansible's filters and functions, with its meaning.
//!
//! Filters whose result differs from call to call (`random`, `shuffle`, a password hash without salt) are refused:
//! with them no check could tell the truth and no second run would change nothing.

mod collections;
mod formats;
mod functions;
mod methods;
mod numbers;
mod paths;
mod regexes;
mod texts;
mod times;
mod versions;

use std::ops::Range;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::analyze::Names;

pub(super) use formats::json_text;
#[cfg(test)]
pub(super) use functions::LOOKUPS;
pub(super) use functions::unknown_lookup;
pub(super) use regexes::regex;
pub(super) use times::is_moment;
pub(super) use versions::compare as compare_versions;

/// Every function and global of the language.
pub(super) const FUNCTIONS: &[&str] = &[
    "range",
    "dict",
    "namespace",
    "lookup",
    "query",
    "q",
    "now",
    "cycler",
    "joiner",
    "undef",
];

/// Every filter, for suggestions.
pub(super) const FILTERS: &[&str] = &[
    "abs",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "center",
    "checksum",
    "combinations",
    "combine",
    "comment",
    "count",
    "d",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "e",
    "escape",
    "extract",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "from_yaml_all",
    "groupby",
    "hash",
    "human_readable",
    "human_to_bytes",
    "indent",
    "int",
    "intersect",
    "ipaddr",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "log",
    "lower",
    "mandatory",
    "map",
    "max",
    "md5",
    "min",
    "password_hash",
    "permutations",
    "pow",
    "product",
    "quote",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "rekey_on_member",
    "relpath",
    "replace",
    "reverse",
    "root",
    "round",
    "select",
    "selectattr",
    "sha1",
    "slice",
    "sort",
    "split",
    "splitext",
    "strftime",
    "string",
    "striptags",
    "subelements",
    "sum",
    "symmetric_difference",
    "ternary",
    "title",
    "to_datetime",
    "to_json",
    "to_nice_json",
    "to_nice_yaml",
    "to_uuid",
    "to_yaml",
    "tojson",
    "trim",
    "truncate",
    "type_debug",
    "union",
    "unique",
    "upper",
    "urldecode",
    "urlencode",
    "urlsplit",
    "version",
    "win_basename",
    "win_dirname",
    "win_splitdrive",
    "wordcount",
    "wordwrap",
    "zip",
    "zip_longest",
];

/// Names that are known from elsewhere and are not here, with what to do instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "random",
        "its result differs from run to run; give the value in a variable",
    ),
    ("shuffle", "its result differs from run to run; use `sort`"),
    (
        "random_mac",
        "its result differs from run to run; give the value in a variable",
    ),
    ("json_query", "use `selectattr`, `map` and `first`"),
    (
        "vault",
        "`runbook vault encrypt_string` makes an encrypted string",
    ),
    (
        "unvault",
        "files from Ansible Vault are decrypted where they are read",
    ),
    (
        "realpath",
        "a link of the controller is not resolved; use the path that is meant",
    ),
    (
        "expanduser",
        "write the whole path; `ansible_user_dir` is the home of the user on the host",
    ),
    (
        "expandvars",
        "use `lookup('env', 'NAME')`, or write the path itself",
    ),
    (
        "fileglob",
        "name the files in a list; `copy` takes a whole folder, too",
    ),
    (
        "exists",
        "use `stat` on the host and register its result: `found.stat.exists`",
    ),
    (
        "file",
        "use `stat` on the host and register its result: `found.stat.isreg`",
    ),
    (
        "directory",
        "use `stat` on the host and register its result: `found.stat.isdir`",
    ),
    (
        "link",
        "use `stat` on the host and register its result: `found.stat.islnk`",
    ),
    (
        "mount",
        "use `command: mountpoint -q FOLDER` with `reads_only: true`",
    ),
    ("ipv4", "use `ipaddr`"),
    ("ipv6", "use `ipaddr`"),
];

fn length(value: &Value) -> Result<usize, Error> {
    match value.kind() {
        ValueKind::Undefined => items(value).map(|none| none.len()),
        _ => minijinja::filters::length(value),
    }
}

/// The filter that conditions have behind what they ask whether it is true. No template can write it.
pub(super) const JUDGED: &str = "_judged";

/// A text that says no was asked whether it is true.
#[derive(Debug)]
struct TextAsTruth(String);

impl std::fmt::Display for TextAsTruth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for TextAsTruth {}

/// The text that [`JUDGED`] refused.
pub(super) fn text_as_truth(error: &Error) -> Option<&str> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<TextAsTruth>().map(|t| &*t.0)
}

/// What is asked for the result of a task, and is none: `a text`.
#[derive(Debug)]
struct NotRegistered(&'static str);

impl std::fmt::Display for NotRegistered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}
impl std::error::Error for NotRegistered {}

/// The error of a test that asks for the result of a task.
pub(super) fn asks_for_a_result(found: &'static str) -> Error {
    bad("no result of a task").with_source(NotRegistered(found))
}

/// What [`asks_for_a_result`] found.
pub(super) fn not_registered(error: &Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<NotRegistered>().map(|n| n.0)
}

/// To Jinja every text is true that is not empty, `no` and `false` too: who gives `-e flag=false` means the opposite.
fn judged(value: Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) if !text.is_empty() && super::truth(text) == Some(false) => {
            Err(bad("a text is true").with_source(TextAsTruth(text.to_owned())))
        }
        _ => Ok(value),
    }
}

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The items of a list; a text or a number is none.
pub(super) fn items(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            value.try_iter()?.map(valid).collect()
        }
        // Its absence is noted by whoever gave it; what is made of it is never seen.
        ValueKind::Plain => Ok(Vec::new()),
        ValueKind::Undefined if super::convert::is_nothing(value) => Ok(Vec::new()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        kind => Err(bad(format!("a list is expected here, not a {kind}"))),
    }
}

/// The value, or the error that it holds.
pub(super) fn valid(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Invalid => Err(super::convert::invalid(&value)),
        _ => Ok(value),
    }
}

/// A value as text, as Python's `str` gives it.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    super::convert::text(value)
}

/// Adds them.
pub(super) fn add(env: &mut Environment<'static>) {
    minijinja_contrib::add_to_environment(env);
    env.remove_global("debug");
    for refused in ["random", "lorem", "randrange"] {
        env.remove_filter(refused);
        env.remove_global(refused);
    }
    collections::add(env);
    texts::add(env);
    regexes::add(env);
    numbers::add(env);
    formats::add(env);
    paths::add(env);
    times::add(env);
    versions::add(env);
    functions::add(env);
    env.add_filter(JUDGED, judged);
    for name in ["length", "count"] {
        env.add_filter(name, length);
    }
    // Ansible names its own also by collection.
    for name in FILTERS {
        for prefix in ["ansible.builtin.", "ansible.utils."] {
            env.add_filter(
                format!("{prefix}{name}"),
                move |state: &mut State, value: Value, args: minijinja::value::Rest<minijinja::value::ValueOrKwargs>| {
                    let mut all = vec![value];
                    all.extend(args.into_values());
                    state.apply_filter(name, &all)
                },
            );
        }
    }
}

/// Methods of Python's texts, lists and mappings.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(result) = methods::method(value, name, args) {
        return result;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
}

/// What is wrong, what to do, and where.
type Unknown = (String, Option<String>, Range<usize>);

/// The first filter, test or function that does not exist.
pub(super) fn unknown_name(env: &Environment<'_>, found: &Names) -> Option<Unknown> {
    let mut state = env.empty_state();
    for (name, range) in &found.filters {
        if name == JUDGED {
            return Some(report("filter", name, FILTERS, range));
        }
        let missing = state
            .apply_filter(name, &[])
            .is_err_and(|e| e.kind() == ErrorKind::UnknownFilter);
        if missing {
            return Some(report("filter", name, FILTERS, range));
        }
    }
    for (name, range) in &found.tests {
        let missing = state
            .perform_test(name, &[])
            .is_err_and(|e| e.kind() == ErrorKind::UnknownTest);
        if missing {
            return Some(report("test", name, super::tests_of::TESTS, range));
        }
    }
    if let Some(range) = found.formats.first() {
        let (message, help) = no_formatting();
        return Some((message, Some(help), range.clone()));
    }
    for (name, range) in &found.lookups {
        if let Some((message, help)) = unknown_lookup(name) {
            return Some((message, help, range.clone()));
        }
    }
    found
        .functions
        .iter()
        .find(|(name, _)| !FUNCTIONS.contains(&name.as_str()) && !found.all.contains(name))
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "super" | "loop" | "caller" | "varargs" | "kwargs"
            )
        })
        .map(|(name, range)| report("function", name, FUNCTIONS, range))
}

/// What to say of `%` behind a text.
pub(super) fn no_formatting() -> (String, String) {
    let message = "`%` is the remainder of numbers, and does not format a text";
    (
        message.to_owned(),
        "use `format`: `'%s' | format(x)`".to_owned(),
    )
}

fn report(what: &str, name: &str, known: &[&str], range: &Range<usize>) -> Unknown {
    let short = name.rsplit('.').next().unwrap_or(name);
    let help = match ELSEWHERE.iter().find(|(known, _)| *known == short) {
        Some((_, instead)) => Some((*instead).to_owned()),
        None => crate::diag::nearest(name, known.iter().copied())
            .map(|near| format!("did you mean `{near}`?")),
    };
    (format!("there is no {what} `{name}`"), help, range.clone())
}

/// Arguments that may be given by place or by name, as in Python.
struct Given {
    rest: Vec<Value>,
    kwargs: Kwargs,
}

impl Given {
    fn new(rest: minijinja::value::Rest<Value>, kwargs: Kwargs) -> Self {
        Self {
            rest: rest.0,
            kwargs,
        }
    }

    /// The argument at a place or of a name; null counts as not given.
    fn value(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        let named = self.kwargs.get::<Option<Value>>(name)?;
        Ok(self
            .rest
            .get(at)
            .cloned()
            .or(named)
            .filter(|v| !v.is_none()))
    }

    fn text(&self, at: usize, name: &str) -> Result<Option<String>, Error> {
        self.value(at, name)?.map(|v| text(&v)).transpose()
    }

    fn int(&self, at: usize, name: &str) -> Result<Option<i64>, Error> {
        self.value(at, name)?
            .map(|v| i64::try_from(v).map_err(|_| bad(format!("`{name}` is a whole number"))))
            .transpose()
    }

    fn truth(&self, at: usize, name: &str) -> Result<bool, Error> {
        Ok(match self.value(at, name)? {
            Some(value) => match value.as_str() {
                Some(text) => super::truth(text).unwrap_or(true),
                None => value.is_true(),
            },
            None => false,
        })
    }

    /// Nothing was given that is not known, and at most `places` by place.
    fn only(&self, places: usize) -> Result<(), Error> {
        if self.rest.len() > places {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        self.kwargs.assert_all_used()
    }
}

/// Adds a filter that takes its arguments by place or by name.
fn filter(
    env: &mut Environment<'static>,
    name: &'static str,
    f: impl Fn(Value, &Given) -> Result<Value, Error> + Send + Sync + 'static,
) {
    env.add_filter(
        name,
        move |value: Value, rest: minijinja::value::Rest<Value>, kwargs: Kwargs| {
            f(value, &Given::new(rest, kwargs))
        },
    );
}
