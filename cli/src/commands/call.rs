//! Carry out one module on some hosts.

use super::play::carry_out;
use crate::call::{ChoiceArgs, HostArgs};
use crate::conduct::RunArgs;
use crate::request::{Request, What};

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
    let mut hosts = args.hosts.clone();
    // What a module gives back is what is asked for here.
    hosts.verbose = hosts.verbose.max(1);
    let mut run = args.run;
    run.yes = true;
    let what = What::Call {
        pattern: args.pattern,
        module: args.module,
        args: args.args.join(" "),
    };
    let request = Request::new(&hosts, ChoiceArgs::default(), what);
    carry_out(request, &run, None).await
}
