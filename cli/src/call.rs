//! What `play`, `call` and `graph` have in common: the inventory, what is chosen from it, variables, and the compiler.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use runbook_engine::compile::{self, Compiled, Tools};
use runbook_engine::diag;
use runbook_engine::inventory::{self, Inventory};
use runbook_engine::run::redact::Redactor;
use runbook_engine::source::Sources;
use runbook_engine::template::Engine;
use serde::{Deserialize, Serialize};

use crate::passwords::VaultArgs;
use crate::{lookup, report};

/// Which hosts, and how to reach them.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostArgs {
    /// Inventory: a file, a folder, or hosts with a comma (`-i localhost,`). Looked up in inventories/ too
    #[arg(short, long, value_name = "FILE|DIR|HOST,")]
    pub inventory: Vec<String>,
    /// Only these hosts of the play (a pattern, or @FILE with one a line)
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Let --limit take some hosts of a site and leave others, in a play that works on whole sites
    #[arg(long)]
    pub part_of_site: bool,
    /// Variables: name=value, @FILE, or YAML; they win over all others
    #[arg(short = 'e', long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// What plays have asked for, and what was answered.
    #[arg(skip)]
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// Log in as this user where the inventory does not say
    #[arg(short = 'u', long, value_name = "USER")]
    pub user: Option<String>,
    /// Become another user (root) where a task does not say
    #[arg(short = 'b', long = "become")]
    pub become_: bool,
    /// The user to become
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// Ask for the password to log in with
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// Ask for the password that sudo wants
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    #[command(flatten)]
    #[serde(default)]
    pub vault: VaultArgs,
    /// Log in with this key
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Accept and remember the key of a host that is not known yet (never one that has changed)
    #[arg(long)]
    pub accept_new: bool,
    /// How many hosts at most work at the same time
    #[arg(short, long, default_value_t = 25, value_name = "N", value_parser = at_least_one)]
    pub forks: usize,
    /// Say more: what tasks give back (-v), and what each host has cost
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one host has to work".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("a whole number is wanted".to_owned()),
    }
}

/// Which tasks.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChoiceArgs {
    /// Only tasks with these tags
    #[arg(short, long, value_delimiter = ',', value_name = "TAGS")]
    pub tags: Vec<String>,
    /// All but tasks with these tags
    #[arg(long, value_delimiter = ',', value_name = "TAGS")]
    pub skip_tags: Vec<String>,
    /// Begin at the task of this name or id
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
}

impl HostArgs {
    /// For commands that work on what a run did, or on locks: an option that they would not follow is a mistake.
    ///
    /// # Errors
    /// `--limit` or `--part-of-site` was given. `instead`: what to say in place of it.
    pub fn without_limit(&self, instead: &str) -> anyhow::Result<()> {
        if self.limit.is_some() || self.part_of_site {
            anyhow::bail!("`--limit` chooses hosts of plays, and this command has none: {instead}");
        }
        Ok(())
    }
}

/// A compiled call.
pub struct Ready {
    /// The inventory.
    pub inventory: Inventory,
    /// Program and hosts.
    pub compiled: Compiled,
    /// Sources, templates and modules.
    pub tools: Arc<Tools>,
}

/// Reads and compiles everything. `Ok(Err)`: it is wrong; everything was said, nothing was touched.
pub fn compile(
    hosts: &HostArgs,
    choice: &ChoiceArgs,
    playbooks: &[PathBuf],
    sources: Arc<Sources>,
) -> anyhow::Result<Result<Ready, u8>> {
    let wrong = Ok(Err(runbook_engine::run::exit::WRONG));
    sources.set_keyring(Arc::new(hosts.vault.keyring()?));
    let given: Vec<String> = hosts
        .inventory
        .iter()
        .map(|i| lookup::inventory(i))
        .collect();
    let (mut inventory, mut errors) = inventory::read(&given, &sources);
    let mut folders: Vec<PathBuf> = playbooks
        .iter()
        .filter_map(|p| p.parent().map(PathBuf::from))
        .collect();
    folders.dedup();
    // A folder that was read beside an inventory is not read again.
    for folder in folders {
        inventory::load_beside(&folder, &sources, &mut inventory, &mut errors);
    }
    let extra = match compile::extra_vars(&hosts.extra_vars, &sources) {
        Ok(extra) => extra,
        Err(found) => {
            errors.extend(found);
            Arc::default()
        }
    };
    let tools = Arc::new(Tools {
        registry: Arc::new(crate::registry()),
        sources: sources.clone(),
        engine: Arc::new(Engine::new()),
    });
    let call = compile::Call {
        playbooks,
        inventory: &inventory,
        extra,
        limit: hosts.limit.as_deref(),
        part_of_site: hosts.part_of_site,
        tags: choice.tags.clone(),
        skip_tags: choice.skip_tags.clone(),
        start_at: choice.start_at_task.clone(),
    };
    // Of an inventory that could not be read, hosts and variables are missing that are there.
    let whole = !errors.iter().any(|e| e.severity == diag::Severity::Error);
    // What is wrong with the inventory and with the playbook is told at once.
    let compiled = match compile::compile(&call, &tools) {
        Ok(compiled) => {
            errors.extend(compiled.warnings.iter().cloned());
            Some(compiled)
        }
        Err(found) => {
            let follows = ["unknown-host", "no-sites", "undefined-variable"];
            errors.extend(
                found
                    .into_iter()
                    .filter(|d| whole || !follows.contains(&d.id)),
            );
            None
        }
    };
    // What a value is refused for may hold it.
    let redactor = Redactor::default();
    tools
        .engine
        .used_secrets()
        .iter()
        .for_each(|s| redactor.add(s));
    for wrong in &mut errors {
        wrong.message = redactor.clean(&wrong.message);
        wrong.help = wrong.help.as_deref().map(|help| redactor.clean(help));
    }
    let stops = errors.iter().any(|e| e.severity == diag::Severity::Error);
    report::diagnostics(&diag::in_order(errors), &sources);
    match compiled {
        Some(compiled) if !stops => Ok(Ok(Ready {
            inventory,
            compiled,
            tools,
        })),
        _ => wrong,
    }
}
