//! The keywords: their names, where each may stand, and those of Ansible that are not here.

use super::shapes::shaped;
use super::{Item, Keywords};
use crate::diag::{Diagnostic, nearest};
use crate::source::{Kind, Node};
use crate::value::Value;

/// Keywords of a play.
pub const PLAY: &[&str] = &[
    "name",
    "hosts",
    "vars",
    "vars_files",
    "defaults_files",
    "vars_prompt",
    "module_defaults",
    "pre_tasks",
    "tasks",
    "post_tasks",
    "handlers",
    "gather_facts",
    "strategy",
    "on_fail",
    "become",
    "become_user",
    "become_method",
    "environment",
    "tags",
    "when",
    "any_errors_fatal",
    "no_log",
    "ignore_errors",
    "ignore_unreachable",
    "check_mode",
    "id",
];

/// Keywords of a block.
pub const BLOCK: &[&str] = &[
    "name",
    "id",
    "block",
    "rescue",
    "always",
    "parallel",
    "collect_failures",
    "needs",
    "before",
    "hosts",
    "when",
    "vars",
    "tags",
    "become",
    "become_user",
    "become_method",
    "environment",
    "module_defaults",
    "no_log",
    "ignore_errors",
    "ignore_unreachable",
    "check_mode",
    "delegate_to",
    "run_once",
    "any_errors_fatal",
    "notify",
];

/// Keywords of a task, beside its module.
pub const TASK: &[&str] = &[
    "name",
    "id",
    "needs",
    "before",
    "when",
    "loop",
    "loop_control",
    "register",
    "until",
    "retries",
    "delay",
    "tags",
    "notify",
    "listen",
    "changed_when",
    "failed_when",
    "ignore_errors",
    "ignore_unreachable",
    "check_mode",
    "no_log",
    "become",
    "become_user",
    "become_method",
    "environment",
    "vars",
    "delegate_to",
    "run_once",
    "hosts",
    "module_defaults",
    "any_errors_fatal",
    "args",
    "diff",
];

/// May a task have this keyword?
pub fn is_task_keyword(name: &str) -> bool {
    TASK.contains(&name)
}

/// What to do instead of a keyword of Ansible that is not here.
pub fn not_here(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "with_items" | "with_list" | "with_flattened" => {
            "write `loop: [...]`, with `| flatten` where lists are nested"
        }
        "with_dict" => {
            "write `loop: \"{{ mapping | dict2items }}\"` and use `item.key`, `item.value`"
        }
        "with_sequence" => "write `loop: \"{{ range(1, 6) }}\"` for 1 to 5",
        "with_indexed_items" => {
            "write `loop:` and name the index with `loop_control: {index_var: i}`"
        }
        "with_fileglob" | "with_filetree" => {
            "name the files in a `loop`; `copy` takes a whole folder, too"
        }
        _ if keyword.starts_with("with_") => "write `loop:` with a list made by filters",
        "roles" => "roles are not read by this version; use `import_tasks`",
        "serial" | "max_fail_percentage" | "rollout" => {
            "waves of sites come with `rollout`, which this version does not carry out; use `--limit`"
        }
        "async" | "poll" => {
            "leave it out: a command goes on without its connection, and is waited for"
        }
        "connection" | "remote_user" | "port" => {
            "say it in the inventory: `ansible_connection`, `ansible_user`, `ansible_port`; a play for `localhost`, and a task with `delegate_to: localhost`, runs on this machine anyway"
        }
        "collections" => "leave it out: all modules are built in",
        "throttle" => "use `--forks`",
        "timeout" => "a task has no time limit of its own here; what waits has its own `timeout`",
        "debugger" | "order" | "fact_path" | "gather_subset" | "gather_timeout" | "become_exe"
        | "become_flags" => "this keyword has no meaning here; leave it out",
        "force_handlers" => "leave it out; `always` in a block says what must happen in any case",
        _ => return None,
    })
}

/// Takes a keyword into the shared set. `false`: it is not a shared keyword.
pub fn take(
    keywords: &mut Keywords,
    key: &str,
    value: &Node,
    errors: &mut Vec<Diagnostic>,
) -> bool {
    let value = &shaped(key, value, errors);
    let one = || Some(value.clone());
    match key {
        "name" => keywords.name = one(),
        "id" => keywords.id = one(),
        "hosts" => keywords.hosts = one(),
        "needs" => keywords.needs = texts(value, key, errors),
        "before" => keywords.before = texts(value, key, errors),
        "when" => keywords.when = conditions(value, key, errors),
        "loop" => keywords.looped = one(),
        "loop_control" => keywords.loop_control = one(),
        "register" => keywords.register = one(),
        "until" => keywords.until = conditions(value, key, errors),
        "retries" => keywords.retries = one(),
        "delay" => keywords.delay = one(),
        "tags" => keywords.tags = tags(value, errors),
        "notify" => keywords.notify = texts(value, key, errors),
        "changed_when" => keywords.changed_when = some(conditions(value, key, errors)),
        "failed_when" => keywords.failed_when = some(conditions(value, key, errors)),
        "ignore_errors" => keywords.ignore_errors = one(),
        "ignore_unreachable" => keywords.ignore_unreachable = one(),
        "check_mode" => keywords.check_mode = one(),
        "no_log" => keywords.no_log = one(),
        "become" => keywords.become_ = one(),
        "become_user" => keywords.become_user = one(),
        "become_method" => {
            if value.text() != Some("sudo") {
                let wrong =
                    Diagnostic::error("bad-value", "the only way to become another user is `sudo`");
                errors.push(
                    wrong
                        .at(value.span, "")
                        .help("leave `become_method` out, or write `sudo`"),
                );
            }
        }
        "environment" => keywords.environment = one(),
        "vars" => keywords.vars = one().filter(|n| matches!(n.kind, Kind::Map(_))),
        "delegate_to" => keywords.delegate_to = one(),
        "run_once" => keywords.run_once = one(),
        "module_defaults" => keywords.module_defaults = one(),
        "any_errors_fatal" => keywords.any_errors_fatal = one(),
        // Diffs are always computed and shown when `--diff` asks.
        "diff" => {}
        _ => return false,
    }
    true
}

impl Keywords {
    /// What a key that was refused would have set is not undefined, too: `item`, of Ansible's old loops.
    pub(super) fn refused(&mut self, key: &Node) {
        if self.looped.is_none() && key.text().is_some_and(|k| k.starts_with("with_")) {
            let why = "the loop was refused".to_owned();
            self.looped = Some(Node {
                span: key.span,
                kind: Kind::Value(Value::Unknown(why)),
            });
        }
    }

    /// What stands in place of a task that could not be understood.
    pub(super) fn lost(&self) -> Option<Item> {
        let register = self.register.as_ref()?.text()?;
        Some(Item::Lost(vec![register.to_owned()]))
    }
}

/// The mistake of a key that is not a keyword where it stands.
pub fn unknown(key: &Node, known: &[&str], of: &str) -> Diagnostic {
    let name = key.text().unwrap_or_default();
    let id = "unknown-keyword";
    if let Some(instead) = not_here(name) {
        return Diagnostic::error(id, format!("`{name}` is not a keyword here"))
            .at(key.span, "")
            .help(instead);
    }
    let misplaced = [(PLAY, "a play"), (BLOCK, "a block"), (TASK, "a task")]
        .into_iter()
        .filter(|(list, place)| *place != of && list.contains(&name))
        .map(|(_, place)| place)
        .next();
    let unknown = match misplaced {
        Some(place) => {
            Diagnostic::error(id, format!("`{name}` is a keyword of {place}, not of {of}"))
        }
        None => Diagnostic::error(id, format!("unknown keyword `{name}` of {of}")),
    };
    let unknown = unknown.at(key.span, "");
    match nearest(name, known.iter().copied()) {
        Some(near) if misplaced.is_none() => unknown.help(format!("did you mean `{near}`?")),
        _ => unknown,
    }
}

/// A condition, or a list of them that all have to hold. Nothing is no condition.
fn conditions(value: &Node, key: &str, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
    let mut found = Vec::new();
    for item in items(value) {
        match &item.kind {
            Kind::Scalar { text, .. } if text.trim().is_empty() => {}
            Kind::Scalar { .. } | Kind::Value(_) => found.push(item.clone()),
            _ => {
                let message = format!("`{key}` takes an expression or a list of them");
                let wrong = Diagnostic::error("wrong-type", message).at(item.span, "");
                errors.push(match item.kind {
                    Kind::Map(_) => wrong
                        .help("an expression that holds `: ` or begins with `{` has to be quoted"),
                    _ => wrong,
                });
            }
        }
    }
    found
}

fn some(conditions: Vec<Node>) -> Option<Vec<Node>> {
    (!conditions.is_empty()).then_some(conditions)
}

fn items(value: &Node) -> &[Node] {
    match &value.kind {
        Kind::Seq(items) => items,
        _ => std::slice::from_ref(value),
    }
}

/// A text or a list of texts.
pub fn texts(value: &Node, key: &str, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
    for item in items(value).iter().filter(|i| i.text().is_none()) {
        let message = format!("`{key}` takes a text or a list of texts");
        errors.push(Diagnostic::error("wrong-type", message).at(item.span, ""));
    }
    let named = |n: &&Node| n.text().is_some_and(|t| !t.is_empty());
    items(value).iter().filter(named).cloned().collect()
}

/// Tags, also in one text with commas.
fn tags(value: &Node, errors: &mut Vec<Diagnostic>) -> Vec<Node> {
    let mut all = Vec::new();
    for item in texts(value, "tags", errors) {
        for tag in item.text().unwrap_or_default().split(',') {
            let text = tag.trim().to_owned();
            if !text.is_empty() {
                all.push(Node {
                    span: item.span,
                    kind: Kind::Scalar { text, plain: false },
                });
            }
        }
    }
    all
}
