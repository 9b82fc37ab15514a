//! The subcommands, one file each.

mod adopt;
mod apply;
mod call;
mod close;
mod doc;
mod drift;
mod graph;
mod plan;
mod play;
mod resume;
mod rollback;
mod runs;
mod unlock;
mod vault;

use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Carry out a playbook, or with --check show what it would do.
    Play(play::Args),
    /// Show what a playbook would do, and keep it as a plan.
    Plan(plan::Args),
    /// Do exactly what a plan says, where the hosts are as it found them.
    Apply(apply::Args),
    /// Carry out one module on some hosts.
    Call(call::Args),
    /// Print the task that describes a container that was made by hand.
    Adopt(adopt::Args),
    /// Draw the graph of a playbook.
    ///
    /// An edge leads from what comes first to what waits for it, and is named by the reason: `order` (it is written
    /// so), `needs` (the keyword, in a parallel block), `data` (a variable that the first registers), `notify` (of a
    /// handler), `rescue` (of a block that fails; behind a rescue that does not end with `fail` it goes on as behind
    /// the block), `always` (of a block, however it ends). In pictures `order` is a plain line, the others are dashed.
    Graph(graph::Args),
    /// Show what is not as a playbook says, or what has changed since a run left.
    Drift(drift::Args),
    /// Describe the modules.
    Doc(doc::Args),
    /// List the runs of this project.
    Runs(runs::RunsArgs),
    /// Show what a run changed, or what a plan says.
    Show(runs::ShowArgs),
    /// Print the journal of a run.
    Log(runs::LogArgs),
    /// Go on with a run that was cut off, interrupted, or has failed.
    Resume(resume::Args),
    /// Take a run back: the states before, in reverse order, where nobody has changed them since.
    Rollback(rollback::Args),
    /// Remove what runs have kept aside on the hosts; they cannot be taken back afterwards.
    Close(close::Args),
    /// Remove the locks that a run has left on a site, here and on its hosts.
    Unlock(unlock::Args),
    /// Encrypt and decrypt files and strings in Ansible Vault's format.
    Vault(vault::Args),
}

impl Command {
    /// Does it; gives the exit code.
    pub async fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Play(args) => play::run(args).await,
            Self::Plan(args) => plan::run(args).await,
            Self::Adopt(args) => adopt::run(args).await,
            Self::Apply(args) => apply::run(args).await,
            Self::Call(args) => call::run(args).await,
            Self::Graph(args) => graph::run(args).await,
            Self::Drift(args) => drift::run(args).await,
            Self::Doc(args) => doc::run(&args),
            Self::Runs(args) => runs::runs(&args),
            Self::Show(args) => runs::show(&args),
            Self::Log(args) => runs::log(&args),
            Self::Resume(args) => resume::run(args).await,
            Self::Rollback(args) => rollback::run(args).await,
            Self::Close(args) => close::run(args).await,
            Self::Unlock(args) => unlock::run(args).await,
            Self::Vault(args) => vault::run(args).await,
        }
    }
}
