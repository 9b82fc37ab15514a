//! What is done with this project beside building it.

mod crash;
mod demo;
mod dist;
mod downtime;
mod fidelity;
mod lab;
mod needs;
mod part;
mod rows;
mod run;
mod skipped;
mod test;

use clap::{Parser, Subcommand};

/// What is done with this project beside building it.
#[derive(Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make the lab and show the product on it
    Demo(demo::Args),
    /// Kill the program, its connections and servers at every point, and resume
    Crash(crash::Args),
    /// Test everything: formatting, lints, tests; installs and starts what they need
    Test(test::Args),
    /// Measure how long the archive is down in an upgrade
    Downtime(downtime::Args),
    /// Name for each step of the guides the runs of the tests that have shown it
    Rows(rows::Args),
    /// Measure how far a check tells the truth
    Fidelity(fidelity::Args),
    /// The lab: up, down, shell, status
    #[command(subcommand)]
    Lab(lab::Args),
    /// Build the static binary into dist/
    Dist,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Demo(args) => demo::run(&args),
        Task::Crash(args) => crash::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Downtime(args) => downtime::run(&args),
        Task::Rows(args) => rows::run(&args),
        Task::Fidelity(args) => fidelity::run(&args),
        Task::Lab(args) => lab::run(&args),
        Task::Dist => dist::run(),
    }
}
