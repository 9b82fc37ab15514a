//! The subcommands, one file each.

mod call;
mod close;
mod doc;
mod graph;
mod play;

use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Carry out a playbook, or with --check show what it would do.
    Play(play::Args),
    /// Carry out one module on some hosts.
    Call(call::Args),
    /// Draw the graph of a playbook.
    Graph(graph::Args),
    /// Describe the modules.
    Doc(doc::Args),
    /// Remove what runs have kept aside on the hosts; they cannot be taken back afterwards.
    Close(close::Args),
}

impl Command {
    /// Does it; gives the exit code.
    pub async fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Play(args) => play::run(args).await,
            Self::Call(args) => call::run(args).await,
            Self::Graph(args) => graph::run(args).await,
            Self::Doc(args) => doc::run(&args),
            Self::Close(args) => close::run(args).await,
        }
    }
}
