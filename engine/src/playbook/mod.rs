//! Playbooks as they are written: plays, blocks, tasks and handlers, each value with its place.
//!
//! This stage knows the keywords and where they may stand. What names and templates mean is the compiler's business.

mod ansible_names;
mod keyvalue;
mod keywords;
mod prompts;
mod read;
mod shapes;

pub use ansible_names::other_name;
pub use keyvalue::{Free, split_key_values};
pub(crate) use keywords::is_task_keyword;
pub use prompts::Prompt;
pub use read::{ModuleNames, read_playbook, read_tasks};
pub(crate) use shapes::names;

use crate::source::{Node, Span};

/// One entry of a playbook.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A play.
    Play(Box<Play>),
    /// `import_playbook: FILE`.
    Import {
        /// The file.
        file: Node,
        /// Variables for it.
        vars: Option<Node>,
        /// The condition for all of its tasks.
        when: Vec<Node>,
        /// Tags for all of its tasks.
        tags: Vec<Node>,
        /// Where it stands.
        span: Span,
    },
}

/// A play.
#[derive(Debug, Clone)]
pub struct Play {
    /// Where it stands.
    pub span: Span,
    /// `name`.
    pub name: Option<Node>,
    /// `hosts`.
    pub hosts: Node,
    /// `pre_tasks`, `tasks`, `post_tasks`.
    pub sections: [Vec<Item>; 3],
    /// `handlers`.
    pub handlers: Vec<Item>,
    /// All other keywords of the play.
    pub keywords: Keywords,
    /// `vars_files`.
    pub vars_files: Vec<Node>,
    /// `defaults_files`.
    pub defaults_files: Vec<Node>,
    /// `vars_prompt`.
    pub prompts: Vec<Prompt>,
    /// `gather_facts`.
    pub gather_facts: Option<Node>,
    /// `strategy`.
    pub strategy: Option<Node>,
    /// `on_fail`: `stop` or `rollback`.
    pub on_fail: Option<Node>,
}

/// Something in a list of tasks.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task that calls a module.
    Task(Box<Task>),
    /// A block.
    Block(Box<Block>),
    /// `import_tasks` or `include_tasks`.
    Include(Box<Include>),
    /// `meta`.
    Meta(Box<Meta>),
    /// A task that could not be understood, which was told; the variables that it would have set.
    Lost(Vec<String>),
}

/// A block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it stands.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// `parallel`.
    pub parallel: Option<Node>,
    /// `collect_failures`.
    pub collect_failures: Option<Node>,
    /// `block`.
    pub items: Vec<Item>,
    /// `rescue`.
    pub rescue: Vec<Item>,
    /// `always`.
    pub always: Vec<Item>,
}

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Where it stands.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// Name of the module, without its collection.
    pub module: String,
    /// Where the module's name stands.
    pub module_span: Span,
    /// The arguments: a mapping; a text in the old `key=value` form is taken apart.
    pub args: Node,
    /// `listen`, of a handler.
    pub listen: Vec<Node>,
}

/// `import_tasks` or `include_tasks`.
#[derive(Debug, Clone)]
pub struct Include {
    /// Where it stands.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// Resolved before the run (`import_tasks`), or when it is reached.
    pub is_static: bool,
    /// The file.
    pub file: Node,
    /// `apply`: keywords for everything in it.
    pub apply: Option<Box<Keywords>>,
}

/// A `meta` task.
#[derive(Debug, Clone)]
pub struct Meta {
    /// Where it stands.
    pub span: Span,
    /// Its keywords.
    pub keywords: Keywords,
    /// What it asks for.
    pub action: Node,
}

/// The keywords that plays, blocks and tasks share, as written. Absent ones are inherited.
#[derive(Debug, Clone, Default)]
pub struct Keywords {
    /// `name`.
    pub name: Option<Node>,
    /// `id`.
    pub id: Option<Node>,
    /// `hosts`, of a task or block.
    pub hosts: Option<Node>,
    /// `needs`.
    pub needs: Vec<Node>,
    /// `before`.
    pub before: Vec<Node>,
    /// `when`, each a condition.
    pub when: Vec<Node>,
    /// `loop`.
    pub looped: Option<Node>,
    /// `loop_control`.
    pub loop_control: Option<Node>,
    /// `register`.
    pub register: Option<Node>,
    /// `until`.
    pub until: Vec<Node>,
    /// `retries`.
    pub retries: Option<Node>,
    /// `delay`.
    pub delay: Option<Node>,
    /// `tags`.
    pub tags: Vec<Node>,
    /// `notify`.
    pub notify: Vec<Node>,
    /// `changed_when`.
    pub changed_when: Option<Vec<Node>>,
    /// `failed_when`.
    pub failed_when: Option<Vec<Node>>,
    /// `ignore_errors`.
    pub ignore_errors: Option<Node>,
    /// `ignore_unreachable`.
    pub ignore_unreachable: Option<Node>,
    /// `check_mode`.
    pub check_mode: Option<Node>,
    /// `no_log`.
    pub no_log: Option<Node>,
    /// `become`.
    pub become_: Option<Node>,
    /// `become_user`.
    pub become_user: Option<Node>,
    /// `environment`.
    pub environment: Option<Node>,
    /// `vars`.
    pub vars: Option<Node>,
    /// `delegate_to`.
    pub delegate_to: Option<Node>,
    /// `run_once`.
    pub run_once: Option<Node>,
    /// `module_defaults`.
    pub module_defaults: Option<Node>,
    /// `any_errors_fatal`.
    pub any_errors_fatal: Option<Node>,
}

#[cfg(test)]
mod tests;
