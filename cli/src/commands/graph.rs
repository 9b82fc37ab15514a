//! Draw the graph of a playbook.

use std::path::PathBuf;
use std::sync::Arc;

use runbook_engine::graph::{self, Format};
use runbook_engine::run::exit;
use runbook_engine::source::Sources;

use crate::call::{self, ChoiceArgs, HostArgs};
use crate::{lookup, report};

/// Draw the graph of a playbook: its tasks on its hosts, and what waits for what.
#[derive(clap::Args)]
pub struct Args {
    /// The playbooks
    #[arg(required = true)]
    playbooks: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// The form
    #[arg(long, value_enum, default_value = "dot")]
    format: Form,
}

/// The form.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Form {
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
    /// A picture.
    Svg,
    /// Nodes and edges.
    Json,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let playbooks: Vec<PathBuf> = args.playbooks.iter().map(|p| lookup::playbook(p)).collect();
    let sources = Arc::new(Sources::new());
    let ready = match call::compile(&args.hosts, &args.choice, &playbooks, sources)? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let graph = graph::build(&ready.compiled.program);
    let format = match args.format {
        Form::Dot => Format::Dot,
        Form::Mermaid => Format::Mermaid,
        Form::Svg => Format::Svg,
        Form::Json => Format::Json,
    };
    report::say(graph::draw(&graph, format).trim_end());
    Ok(exit::DONE)
}
