//! Carry out one module on some hosts.

use std::sync::Arc;

use runbook_engine::source::Sources;

use super::play::carry_out;
use crate::call::{self, ChoiceArgs, HostArgs};
use crate::conduct::RunArgs;

/// Carry out one module on some hosts, as a play of one task.
#[derive(clap::Args)]
pub struct Args {
    /// Which hosts
    pattern: String,
    /// The module
    module: String,
    /// Its arguments: key=value …, a free form, or YAML in braces
    args: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let text = args.args.join(" ");
    let value = if text.trim_start().starts_with('{') {
        text
    } else {
        serde_json::to_string(&text)?
    };
    let name = serde_json::to_string(&args.module)?;
    let hosts = serde_json::to_string(&args.pattern)?;
    let playbook = format!(
        "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - name: {name}\n      {}: {value}\n",
        args.module
    );
    let sources = Arc::new(Sources::new());
    let path = std::path::PathBuf::from("(call)");
    sources.add(path.display().to_string(), playbook);
    let ready = match call::compile(&args.hosts, &ChoiceArgs::default(), &[path], sources)? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let mut hosts = args.hosts.clone();
    // What a module gives back is what is asked for here.
    hosts.verbose = hosts.verbose.max(1);
    let mut run = args.run;
    run.yes = true;
    carry_out(ready, &hosts, &run, vec![format!("call {}", args.module)]).await
}
