//! What the compiler makes of playbooks and inventory: every task with all that it inherits, ready to be walked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::playbook::Prompt;
use crate::registry::AnyModule;
use crate::source::{Kind, Node, Span};
use crate::value::Value;

/// Variables of one precedence level, rendered when they are looked at.
pub type Layer = Arc<IndexMap<String, Arc<Node>>>;

/// All plays of a call.
#[derive(Default)]
pub struct Program {
    /// In the order in which they run.
    pub plays: Vec<Arc<Play>>,
}

impl Program {
    /// Puts the answers to what a play asks for into its variables; `answers` in the order of its prompts.
    pub fn answer(&mut self, play: usize, answers: Vec<Value>) {
        let Some(play) = self.plays.get_mut(play).map(Arc::make_mut) else {
            return;
        };
        let given = play.prompts.iter().zip(answers).map(|(prompt, value)| {
            let node = Node {
                span: prompt.span,
                kind: Kind::Value(value),
            };
            (prompt.name.clone(), Arc::new(node))
        });
        let layer = Arc::new(given.collect());
        if let Some(place) = play.layers.get_mut(play.prompts_at) {
            *place = layer;
        }
    }
}

/// A play on its hosts.
#[derive(Clone)]
pub struct Play {
    /// Its name, or its hosts pattern.
    pub name: String,
    /// Stable id: its place among the plays.
    pub path: String,
    /// Where it stands.
    pub span: Span,
    /// The folder that its relative paths are looked up in.
    pub folder: std::path::PathBuf,
    /// Groups of hosts that go together: one per site, or one of all hosts.
    pub groups: Vec<Group>,
    /// Each host goes through the list on its own.
    pub free: bool,
    /// A failure of one host stops the others of its group. Always so for sites.
    pub any_errors_fatal: bool,
    /// What the play has done on a host (or site) where it fails is taken back (`on_fail: rollback`).
    pub goes_back: bool,
    /// Variables that hold where the inventory does not say otherwise, lowest first (each of `defaults_files`).
    pub defaults: Vec<Layer>,
    /// Play variables, lowest first (`vars`, then each of `vars_files`).
    pub layers: Vec<Layer>,
    /// What is asked for when the run begins.
    pub prompts: Vec<Prompt>,
    /// Which of `layers` holds it.
    pub prompts_at: usize,
    /// Its templates look at facts, so they are gathered first.
    pub uses_facts: bool,
    /// pre_tasks, tasks, post_tasks; handlers run after each.
    pub sections: Vec<Vec<Item>>,
    /// Handlers, in order of definition.
    pub handlers: Vec<Arc<Task>>,
    /// Names that its tasks give to hosts (`register`, `set_fact`), but for those of files that are included in the run.
    pub gives: BTreeSet<String>,
}

impl Play {
    /// Does a host go its own way, beside this one: of another group, or in a play where each does?
    #[must_use]
    pub fn is_apart(&self, host: &str, other: &str) -> bool {
        let is_of = |name: &str| {
            self.groups
                .iter()
                .position(|g| g.hosts.iter().any(|h| h == name))
        };
        let (one, two) = (is_of(host), is_of(other));
        host != other && two.is_some() && (self.free || one != two)
    }
}

/// Hosts that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The site, where the play is for sites.
    pub site: Option<String>,
    /// Its hosts, in inventory order.
    pub hosts: Vec<String>,
}

/// Something in a list of tasks.
#[derive(Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A block.
    Block(Arc<Block>),
    /// Tasks included when they are reached.
    Include(Arc<Include>),
    /// A `meta` task.
    Meta(Arc<Meta>),
}

/// What every kind of item has, own and inherited.
#[derive(Clone)]
pub struct Common {
    /// Stable id: its place in the playbook, `0/tasks/3/block/1`.
    pub path: String,
    /// `id`, by which `needs` and `before` name it.
    pub id: Option<String>,
    /// Its name as written, perhaps a template.
    pub name: Option<Node>,
    /// Where it stands.
    pub span: Span,
    /// Only these hosts of the play (or site): every pattern must match; resolved for every host beforehand.
    pub hosts: Option<BTreeSet<String>>,
    /// Conditions, own and of the blocks around it, outermost first.
    pub when: Vec<Node>,
    /// Variables of the blocks around it and its own, outermost first.
    pub layers: Vec<Layer>,
    /// Siblings of a parallel block that come first.
    pub needs: Vec<String>,
    /// It runs only if one of these will change something.
    pub before: Vec<String>,
    /// Tags, own and inherited.
    pub tags: BTreeSet<String>,
    /// Selected by `--tags`, `--skip-tags` and `--start-at-task`.
    pub selected: bool,
    /// Only the first host does it, for all.
    pub run_once: bool,
    /// Places of `needs`.
    pub needs_at: Vec<Span>,
    /// Places of `before`.
    pub before_at: Vec<Span>,
}

/// A task with all that it inherits.
pub struct Task {
    /// What all items have.
    pub common: Common,
    /// The module.
    pub module: Arc<dyn AnyModule>,
    /// Its arguments, laid over the defaults that hold for the module.
    pub args: Node,
    /// The loop.
    pub looped: Option<Loop>,
    /// The variable that gets the result.
    pub register: Option<String>,
    /// Conditions to be reached by repeating.
    pub until: Vec<Node>,
    /// How often it is repeated (Ansible: 3 where `until` is given).
    pub retries: Option<Node>,
    /// Seconds between tries (5).
    pub delay: Option<Node>,
    /// Handlers told of a change.
    pub notify: Vec<Node>,
    /// Topics that a handler listens to.
    pub listen: Vec<String>,
    /// It is a handler.
    pub handler: bool,
    /// When it counts as changed.
    pub changed_when: Option<Vec<Node>>,
    /// When it counts as failed.
    pub failed_when: Option<Vec<Node>>,
    /// A failure does not stop the host.
    pub ignore_errors: Option<Node>,
    /// An unreachable host is not out.
    pub ignore_unreachable: Option<Node>,
    /// `true`: only checked, also in a run.
    pub check_mode: Option<Node>,
    /// Nothing of it is shown.
    pub no_log: Option<Node>,
    /// Privilege.
    pub become_: Option<Node>,
    /// As whom (root).
    pub become_user: Option<Node>,
    /// Environment, outermost first.
    pub environment: Vec<Node>,
    /// The module has an argument `environment`.
    pub takes_environment: bool,
    /// Another host does it.
    pub delegate_to: Option<Node>,
}

impl Task {
    /// The names that it gives to its host: by `register`, or by being a `set_fact`.
    pub fn gives(&self) -> impl Iterator<Item = String> {
        let facts = match (self.module.name(), &self.args.kind) {
            ("set_fact", crate::source::Kind::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        let facts = facts.iter().filter_map(|(name, _)| name.text());
        facts.map(str::to_owned).chain(self.register.clone())
    }
}

/// A loop.
#[derive(Clone)]
pub struct Loop {
    /// The list.
    pub items: Node,
    /// Name of the variable that holds the item (`item`).
    pub var: String,
    /// Name of the variable that counts from 0.
    pub index_var: Option<String>,
    /// What is shown in place of the item.
    pub label: Option<Node>,
    /// Seconds between items.
    pub pause: Option<Node>,
}

impl Loop {
    /// The variables of an item, counted from 0.
    #[must_use]
    pub fn vars(&self, index: usize, item: Value) -> Vec<(String, Value)> {
        let mut vars = vec![(self.var.clone(), item)];
        if let Some(name) = &self.index_var {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            vars.push((name.clone(), Value::Int(index)));
        }
        let name = Value::Str(self.var.clone());
        vars.push(("ansible_loop_var".to_owned(), name));
        vars
    }
}

/// A block. What its tasks inherit is in the tasks.
pub struct Block {
    /// What all items have.
    pub common: Common,
    /// Its tasks go side by side.
    pub parallel: bool,
    /// Each is tried though others have failed; the block fails at its end.
    pub collect_failures: bool,
    /// Its tasks.
    pub items: Vec<Item>,
    /// Run on hosts on which one of them failed.
    pub rescue: Vec<Item>,
    /// Run on all hosts in the end.
    pub always: Vec<Item>,
}

/// `include_tasks`, resolved when it is reached.
pub struct Include {
    /// What all items have.
    pub common: Common,
    /// The file, perhaps a template.
    pub file: Node,
    /// The folder that it is looked up in.
    pub folder: std::path::PathBuf,
    /// The loop.
    pub looped: Option<Loop>,
    /// Makes items of a file's text for one host (and item). Its ids go on from `common.path`.
    pub compile: Arc<IncludeFn>,
}

/// What a program is, in numbers, for `--check`'s word on what could not be checked beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Later {
    /// Includes whose file is known only in the run.
    pub includes: usize,
}

/// Compiles an included file: path, extra variables, number of the loop item. All its mistakes come back at once,
/// rendered.
pub type IncludeFn =
    dyn Fn(&std::path::Path, Option<Layer>, usize) -> Result<Vec<Item>, String> + Send + Sync;

/// A `meta` task.
pub struct Meta {
    /// What all items have.
    pub common: Common,
    /// What it asks for.
    pub action: MetaAction,
}

/// What a `meta` task asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaAction {
    /// Run notified handlers now.
    FlushHandlers,
    /// This host is done with the play.
    EndHost,
    /// All hosts are done with the play.
    EndPlay,
    /// Forget failures of hosts; unreachable ones are tried again.
    ClearHostErrors,
    /// Take the connection up anew.
    ResetConnection,
    /// Nothing.
    Noop,
}

impl Item {
    /// What all items have.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Task(task) => &task.common,
            Self::Block(block) => &block.common,
            Self::Include(include) => &include.common,
            Self::Meta(meta) => &meta.common,
        }
    }

    /// The names that its tasks give to their hosts, but for those of files that are included in the run.
    pub fn gives(&self, names: &mut BTreeSet<String>) {
        self.each(&mut |item| {
            if let Self::Task(task) = item {
                names.extend(task.gives());
            }
        });
    }

    /// Calls `found` for this item and everything within it.
    pub fn each(&self, found: &mut dyn FnMut(&Item)) {
        found(self);
        if let Self::Block(block) = self {
            for item in block.items.iter().chain(&block.rescue).chain(&block.always) {
                item.each(found);
            }
        }
    }
}

/// Variables of a host from the inventory and the call, lowest precedence first.
#[derive(Default, Clone)]
pub struct HostVars {
    /// Group and host variables.
    pub inventory: Vec<Layer>,
    /// `-e`.
    pub extra: Layer,
}

/// Everything about hosts that a walk needs to know beforehand.
#[derive(Default)]
pub struct Hosts {
    /// Variables by host.
    pub vars: BTreeMap<String, HostVars>,
    /// Hosts by group, in inventory order.
    pub groups: IndexMap<String, Vec<String>>,
    /// The site of a host.
    pub sites: BTreeMap<String, String>,
    /// Folder of the first inventory that is a file or a folder.
    pub folder: Option<std::path::PathBuf>,
}
