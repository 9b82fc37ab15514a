//! What a task sees of variables on one host, and what it makes of its keywords and arguments with them.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::local::Vaults;
use super::shared::Shared;
use super::state::States;
use super::walk::{Here, Walk};
use crate::compile::program::{Layer, Play, Task};
use crate::diag::place;
use crate::module::{LocalFile, LocalFiles};
use crate::registry::AnyModule;
use crate::source::{Kind, Node, truth_of, untyped};
use crate::template::{DynamicNames, ErrorKind, FileOptions, Scope, TemplateError, is_template};
use crate::value::Value;

/// Why something cannot be said.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// Only the run can tell.
    Unknown(String),
    /// It is wrong.
    Error(String),
}

impl Trouble {
    /// As a message.
    #[must_use]
    pub fn message(self) -> String {
        match self {
            Self::Unknown(why) | Self::Error(why) => why,
        }
    }
}

/// Variables of a host, as one task sees them.
pub struct Frame {
    shared: Arc<Shared>,
    scope: Scope,
    folder: PathBuf,
}

/// Registers and facts of a host within a walk.
struct Registers {
    states: States,
    host: String,
    /// It goes its own way, beside the host that asks: a prediction does not know how far it will have come.
    apart: Option<Arc<Play>>,
}

impl DynamicNames for Registers {
    fn get(&self, name: &str) -> Option<Value> {
        let apart = self.apart.as_ref();
        if apart.is_some_and(|play| play.gives.contains(name)) {
            return Some(Value::Unknown(format!(
                "how far {} has come by then",
                self.host
            )));
        }
        self.states.var(&self.host, name)
    }
    fn names(&self) -> Vec<String> {
        self.states.names(&self.host)
    }
}

/// `hostvars`: every host by name.
struct HostVars {
    shared: Arc<Shared>,
    states: States,
    play: Option<Arc<Play>>,
    asks: Asks,
}

/// Who looks at variables.
#[derive(Clone)]
struct Asks {
    host: String,
    /// Before the run.
    predicts: bool,
}

impl DynamicNames for HostVars {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
    fn names(&self) -> Vec<String> {
        self.shared.hosts.vars.keys().cloned().collect()
    }
    fn child(&self, name: &str) -> Option<Scope> {
        self.shared.hosts.vars.contains_key(name).then(|| {
            let play = self.play.as_ref();
            scope_of(&self.shared, &self.states, play, name, &[], &self.asks)
        })
    }
}

/// `hostvars` itself as a variable.
struct HostVarsName(Arc<HostVars>);

impl DynamicNames for HostVarsName {
    fn get(&self, _: &str) -> Option<Value> {
        None
    }
    fn names(&self) -> Vec<String> {
        vec!["hostvars".to_owned()]
    }
    fn child(&self, name: &str) -> Option<Scope> {
        (name == "hostvars").then(|| {
            let mut scope = Scope::default();
            scope.push_dynamic(self.0.clone());
            scope
        })
    }
}

/// Names that are always there.
pub const MAGIC: &[&str] = &[
    "inventory_hostname",
    "inventory_hostname_short",
    "groups",
    "group_names",
    "hostvars",
    "play_hosts",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_batch",
    "ansible_play_name",
    "ansible_check_mode",
    "ansible_version",
    "ansible_managed",
    "ansible_host",
    "omit",
    "site",
    "site_hosts",
    "playbook_dir",
    "inventory_dir",
    "ansible_facts",
    "ansible_failed_result",
    "ansible_failed_task",
    "ansible_loop_var",
    "runbook_run",
    "runbook_run_time",
    "environment",
];

/// Magic variables, the play's defaults, inventory, play variables, `over` (blocks and task), registers and facts, `-e`.
fn scope_of(
    shared: &Arc<Shared>,
    states: &States,
    play: Option<&Arc<Play>>,
    host: &str,
    over: &[Layer],
    asks: &Asks,
) -> Scope {
    let mut scope = Scope::default();
    scope.push_values(Arc::new(magic(shared, states, play, host)));
    for layer in play.iter().flat_map(|p| &p.defaults) {
        scope.push_nodes(layer.clone());
    }
    let vars = shared.hosts.vars.get(host).cloned().unwrap_or_default();
    for layer in &vars.inventory {
        scope.push_nodes(layer.clone());
    }
    for layer in play.iter().flat_map(|p| &p.layers).chain(over) {
        scope.push_nodes(layer.clone());
    }
    let host_vars = HostVars {
        shared: shared.clone(),
        states: states.clone(),
        play: play.cloned(),
        asks: asks.clone(),
    };
    scope.push_dynamic(Arc::new(HostVarsName(Arc::new(host_vars))));
    scope.push_dynamic(Arc::new(Registers {
        states: states.clone(),
        host: host.to_owned(),
        apart: play
            .filter(|play| asks.predicts && play.is_apart(&asks.host, host))
            .cloned(),
    }));
    scope.push_nodes(vars.extra);
    scope
}

/// From the root, without `.` and `..`; links stay. As a host would take it, and not as seen from where the program was
/// called.
fn absolute(folder: &Path) -> String {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let whole = std::path::absolute(here).unwrap_or_else(|_| here.to_owned());
    let mut plain = PathBuf::new();
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain.display().to_string()
}

fn magic(
    shared: &Shared,
    states: &States,
    play: Option<&Arc<Play>>,
    host: &str,
) -> IndexMap<String, Value> {
    let list =
        |names: &[String]| Value::List(names.iter().map(|n| Value::Str(n.clone())).collect());
    let groups: IndexMap<String, Value> = shared
        .hosts
        .groups
        .iter()
        .map(|(name, hosts)| (name.clone(), list(hosts)))
        .collect();
    let mut of_host: Vec<String> = shared
        .hosts
        .groups
        .iter()
        .filter(|(name, hosts)| *name != "all" && hosts.iter().any(|h| h == host))
        .map(|(name, _)| name.clone())
        .collect();
    of_host.sort();
    let site = shared.hosts.sites.get(host);
    let site_hosts = site
        .and_then(|s| shared.hosts.groups.get(s))
        .map(|h| list(h))
        .unwrap_or_default();
    let all_hosts: Vec<String> = play
        .map(|p| p.groups.iter().flat_map(|g| g.hosts.clone()).collect())
        .unwrap_or_default();
    // Hosts of other sites go their own way: when one of them fails, nobody here may depend on.
    let own_group = play
        .and_then(|p| p.groups.iter().find(|g| g.hosts.iter().any(|h| h == host)))
        .map(|g| g.hosts.as_slice())
        .unwrap_or_default();
    let play_hosts: Vec<String> = all_hosts
        .iter()
        .filter(|h| !own_group.contains(h) || !states.is_out(h))
        .cloned()
        .collect();
    let text = |s: &str| Value::Str(s.to_owned());
    IndexMap::from([
        ("inventory_hostname".to_owned(), text(host)),
        (
            "inventory_hostname_short".to_owned(),
            text(host.split('.').next().unwrap_or(host)),
        ),
        ("groups".to_owned(), Value::Map(groups)),
        ("group_names".to_owned(), list(&of_host)),
        ("play_hosts".to_owned(), list(&play_hosts)),
        ("ansible_play_hosts".to_owned(), list(&play_hosts)),
        ("ansible_play_batch".to_owned(), list(&play_hosts)),
        ("ansible_play_hosts_all".to_owned(), list(&all_hosts)),
        (
            "ansible_play_name".to_owned(),
            text(play.map_or("", |p| p.name.as_str())),
        ),
        (
            "ansible_check_mode".to_owned(),
            Value::Bool(shared.options.check),
        ),
        ("site".to_owned(), site.map_or(Value::Null, |s| text(s))),
        ("site_hosts".to_owned(), site_hosts),
        (
            "playbook_dir".to_owned(),
            play.map_or(Value::Null, |p| text(&absolute(&p.folder))),
        ),
        (
            "inventory_dir".to_owned(),
            // An inventory that was only named on the command line lies nowhere.
            shared
                .hosts
                .folder
                .as_deref()
                .map_or(Value::Null, |f| text(&absolute(f))),
        ),
        ("ansible_host".to_owned(), text(host)),
        ("ansible_managed".to_owned(), text("Ansible managed")),
        ("runbook_run".to_owned(), text(&shared.run)),
        ("runbook_run_time".to_owned(), text(&shared.started)),
        (
            "ansible_version".to_owned(),
            Value::Map(IndexMap::from([(
                "full".to_owned(),
                text(env!("CARGO_PKG_VERSION")),
            )])),
        ),
    ])
}

impl Walk {
    /// The variables of a task on a host: `layers` of its blocks and itself, `item` of its loop.
    #[must_use]
    pub fn frame(
        &self,
        host: &str,
        here: &Here,
        layers: &[Layer],
        item: &[(String, Value)],
    ) -> Frame {
        // As in Ansible: block and task variables stay below registers, facts and `-e`.
        let over: Vec<Layer> = here.layers.iter().chain(layers).cloned().collect();
        let asks = Asks {
            host: host.to_owned(),
            predicts: self.predicts(),
        };
        let play = self.play.as_ref();
        let mut scope = scope_of(&self.shared, &self.states, play, host, &over, &asks);
        scope.push_values(Arc::new(item.iter().cloned().collect()));
        let folder = self
            .play
            .as_ref()
            .map(|p| p.folder.clone())
            .unwrap_or_default();
        Frame {
            shared: self.shared.clone(),
            scope,
            folder,
        }
    }
}

impl Frame {
    fn trouble(&self, error: &TemplateError) -> Trouble {
        if error.kind == ErrorKind::Unknown {
            return Trouble::Unknown(error.message.clone());
        }
        let (file, line, column) =
            place(&self.shared.sources, error.exact_span(&self.shared.sources));
        let mut message = error.message.clone();
        if file != "?" {
            message = format!("{file}:{line}:{column}: {message}");
        }
        if let Some(help) = &error.help {
            message = format!("{message} ({help})");
        }
        Trouble::Error(message)
    }

    fn first(&self, errors: &[TemplateError]) -> Trouble {
        let messages: Vec<String> = errors.iter().map(|e| self.trouble(e).message()).collect();
        Trouble::Error(messages.join("\n"))
    }

    fn noted(&self, value: Value) -> Value {
        let redactor = &self.shared.redactor;
        redactor.add_from(&value);
        let used = self.shared.engine.used_secrets();
        used.iter().for_each(|secret| redactor.add(secret));
        value
    }

    /// The value of a node.
    pub fn value(&self, node: &Node) -> Result<Value, Trouble> {
        let value = self
            .shared
            .engine
            .value(&self.scope, node)
            .map_err(|e| self.first(&e))?;
        Ok(self.noted(value))
    }

    /// A node as text.
    pub fn text(&self, node: &Node) -> Result<String, Trouble> {
        match self.value(node)? {
            Value::Str(s) => Ok(s),
            Value::Unknown(why) => Err(Trouble::Unknown(why)),
            Value::Null => Ok(String::new()),
            other => Ok(other
                .as_str()
                .map_or_else(|| other.to_json(false).to_string(), str::to_owned)),
        }
    }

    /// A node as truth value.
    pub fn is_true(&self, node: &Node) -> Result<bool, Trouble> {
        match self.value(node)? {
            Value::Bool(b) => Ok(b),
            Value::Unknown(why) => Err(Trouble::Unknown(why)),
            Value::Str(s) => Ok(matches!(
                s.to_ascii_lowercase().as_str(),
                "yes" | "true" | "on" | "1"
            )),
            Value::Int(n) => Ok(n != 0),
            _ => Ok(false),
        }
    }

    /// A node as a list of texts.
    pub fn list(&self, node: &Node) -> Result<Vec<String>, Trouble> {
        match self.value(node)? {
            Value::List(items) => Ok(items
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect()),
            Value::Str(s) => Ok(vec![s]),
            Value::Unknown(why) => Err(Trouble::Unknown(why)),
            _ => Ok(Vec::new()),
        }
    }

    /// Do all conditions hold? `Some`: the first that does not. One that is known to be false decides, whatever is
    /// unknown before it.
    pub fn truth(&self, conditions: &[Node]) -> Result<Option<String>, Trouble> {
        let mut unknown = None;
        for condition in conditions {
            match self.shared.engine.holds(&self.scope, condition) {
                Ok(true) => {}
                Ok(false) => return Ok(Some(condition.text().unwrap_or("false").to_owned())),
                Err(error) => match self.trouble(&error) {
                    Trouble::Unknown(why) => {
                        unknown.get_or_insert(why);
                    }
                    trouble @ Trouble::Error(_) if unknown.is_none() => return Err(trouble),
                    Trouble::Error(_) => {}
                },
            }
        }
        match unknown {
            Some(why) => Err(Trouble::Unknown(why)),
            None => Ok(None),
        }
    }

    /// The arguments of a task, rendered; expressions evaluated; `environment` where the module takes it.
    pub fn arguments(&self, task: &Task) -> Result<Node, Trouble> {
        let expressions = task.module.expressions();
        let Kind::Map(entries) = &task.args.kind else {
            return self.rendered(&task.args);
        };
        let mut out = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            if expressions.contains(&name) {
                let judged = task.module.conditions().contains(&name);
                out.push((key.clone(), self.evaluated(value, judged)?));
            } else {
                let one = Node {
                    span: task.args.span,
                    kind: Kind::Map(vec![(key.clone(), value.clone())]),
                };
                if let Kind::Map(rendered) = self.rendered(&one)?.kind {
                    out.extend(rendered);
                }
            }
        }
        if !task.environment.is_empty() && task.takes_environment {
            let mut environment = IndexMap::new();
            for node in &task.environment {
                if let Value::Map(map) = self.value(node)? {
                    environment.extend(map);
                }
            }
            let span = task.args.span;
            let key = Node {
                span,
                kind: Kind::Scalar {
                    text: "environment".to_owned(),
                    plain: true,
                },
            };
            out.push((
                key,
                Node {
                    span,
                    kind: Kind::Value(Value::Map(environment)),
                },
            ));
        }
        Ok(Node {
            span: task.args.span,
            kind: Kind::Map(out),
        })
    }

    fn rendered(&self, node: &Node) -> Result<Node, Trouble> {
        let rendered = self
            .shared
            .engine
            .render(&self.scope, node)
            .map_err(|e| self.first(&e))?;
        self.shared.redactor.add_from(&untyped(&rendered));
        Ok(rendered)
    }

    /// `judged`: whether it holds, and not what it comes to.
    fn evaluated(&self, node: &Node, judged: bool) -> Result<Node, Trouble> {
        if let Kind::Seq(items) = &node.kind {
            let items = items
                .iter()
                .map(|i| self.evaluated(i, judged))
                .collect::<Result<_, _>>()?;
            return Ok(Node {
                span: node.span,
                kind: Kind::Seq(items),
            });
        }
        let text = match &node.kind {
            Kind::Scalar { text, .. } => text.clone(),
            _ => String::new(),
        };
        let engine = &self.shared.engine;
        let found = if judged {
            engine.holds(&self.scope, node).map(Value::Bool)
        } else {
            engine.eval(&self.scope, node)
        };
        let value = match found {
            Ok(value) => self.noted(value),
            Err(error) => match self.trouble(&error) {
                Trouble::Unknown(why) => Value::Unknown(why),
                trouble @ Trouble::Error(_) => return Err(trouble),
            },
        };
        let map = IndexMap::from([
            ("expr".to_owned(), Value::Str(text)),
            ("value".to_owned(), value),
        ]);
        Ok(Node {
            span: node.span,
            kind: Kind::Value(Value::Map(map)),
        })
    }

    /// The user that the task asks to become.
    pub fn become_user(&self, task: &Task) -> Result<Option<String>, Trouble> {
        let variable = |name: &str| {
            let node = Node {
                span: task.common.span,
                kind: Kind::Scalar {
                    text: name.to_owned(),
                    plain: true,
                },
            };
            self.shared.engine.eval(&self.scope, &node).ok()
        };
        let asked = match &task.become_ {
            Some(node) => self.is_true(node)?,
            None => match variable("ansible_become") {
                Some(Value::Bool(b)) => b,
                Some(Value::Str(s)) => {
                    matches!(s.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1")
                }
                _ => self.shared.options.become_,
            },
        };
        if !asked {
            return Ok(None);
        }
        if let Some(user) = &task.become_user {
            return self.text(user).map(Some);
        }
        let given = variable("ansible_become_user").and_then(|v| v.as_str().map(str::to_owned));
        Ok(given
            .or_else(|| self.shared.options.become_user.clone())
            .or_else(|| Some("root".to_owned())))
    }

    /// The controller's files that the arguments name; templates are rendered.
    pub fn local_files(&self, task: &Task, args: &Node) -> Result<LocalFiles, Trouble> {
        let mut files = LocalFiles::new();
        for argument in on_controller(task.module.as_ref(), args) {
            let Some(node) = argument.split('.').try_fold(args, |at, part| at.get(part)) else {
                continue;
            };
            for name in untyped_texts(node) {
                let template = task.module.name() == "template";
                let subfolder = if template { "templates" } else { "files" };
                let folders = [self.folder.clone()];
                let path = self
                    .shared
                    .local
                    .find(&name, subfolder, &folders)
                    .map_err(Trouble::Error)?;
                let vaults = vaults_of(task.module.name(), args);
                let load = self.shared.local.load(&path, vaults);
                let found = load.map_err(Trouble::Error)?;
                found.secrets(&mut |content| {
                    if let Ok(text) = std::str::from_utf8(content) {
                        self.shared.redactor.add_lines(text);
                    }
                });
                let file = if template {
                    self.template(&found, args)?
                } else {
                    (*found).clone()
                };
                files.insert(name, file);
            }
        }
        Ok(files)
    }

    fn template(&self, file: &LocalFile, args: &Node) -> Result<LocalFile, Trouble> {
        let text = std::str::from_utf8(&file.content).map_err(|_| {
            Trouble::Error(format!(
                "{} is not UTF-8 and cannot be a template",
                file.path.display()
            ))
        })?;
        let usual = FileOptions::default();
        let asked = |name: &str, usual| args.get(name).and_then(truth_of).unwrap_or(usual);
        let options = FileOptions {
            trim_blocks: asked("trim_blocks", usual.trim_blocks),
            lstrip_blocks: asked("lstrip_blocks", usual.lstrip_blocks),
        };
        let rendered = self
            .shared
            .engine
            .file_value(&self.scope, &file.path, text, options)
            .map_err(|e| self.trouble(&e))?;
        let rendered = rendered.as_str().unwrap_or_default().to_owned();
        if file.secret {
            self.shared.redactor.add_lines(&rendered);
        }
        Ok(LocalFile {
            content: rendered.into_bytes().into(),
            ..file.clone()
        })
    }

    /// The scope, for what has to look further.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// The arguments that name files on the controller: some name files on the host where `remote_src` is true.
pub fn on_controller(module: &dyn AnyModule, args: &Node) -> Vec<&'static str> {
    let remote: &[&str] = match is_true_in(args, "remote_src") {
        true => module.remote_files(),
        false => &[],
    };
    let all = module.local_files().iter().copied();
    all.filter(|argument| !remote.contains(argument)).collect()
}

/// What becomes of vaults among the files that the arguments name: `copy` has `decrypt` for it.
pub fn vaults_of(module: &str, args: &Node) -> Vaults {
    match args.get("decrypt").and_then(truth_of) {
        Some(false) if module == "copy" => Vaults::AsTheyAre,
        _ => Vaults::Decrypted,
    }
}

fn is_true_in(args: &Node, name: &str) -> bool {
    args.get(name).is_some_and(|n| match untyped(n) {
        Value::Bool(b) => b,
        Value::Str(s) => matches!(s.as_str(), "yes" | "true" | "on" | "True"),
        _ => false,
    })
}

fn untyped_texts(node: &Node) -> Vec<String> {
    match untyped(node) {
        Value::List(items) => items
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        other => other
            .as_str()
            .map(|s| vec![s.to_owned()])
            .unwrap_or_default(),
    }
}

/// The first unknown value in rendered arguments, and why.
#[must_use]
pub fn unknown_within(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Value(value) => value.unknown().map(str::to_owned),
        Kind::Seq(items) => items.iter().find_map(unknown_within),
        Kind::Map(entries) => entries.iter().find_map(|(_, v)| unknown_within(v)),
        Kind::Scalar { text, .. } if is_template(text) => None,
        Kind::Scalar { .. } | Kind::Encrypted(_) => None,
    }
}
