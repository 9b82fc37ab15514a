//! The `runbook` command.
//!
//! It is a library so that it can be called with other modules than those that it comes with.

mod call;
mod commands;
mod conduct;
mod connect;
mod history;
mod interrupt;
mod locks;
mod lookup;
mod passwords;
mod planned;
mod prompts;
mod question;
mod report;
mod request;
mod settings;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::Parser;
use runbook_engine::registry::Registry;

/// Carries out upgrade guides: shows beforehand exactly what would change, changes only that, can be stopped anywhere.
#[derive(Parser)]
#[command(name = "runbook", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// The modules that the command was called with.
fn registry() -> Registry {
    REGISTRY.get_or_init(runbook_modules::registry).clone()
}

/// Reads the command line, and does what it asks for with these modules.
#[must_use]
pub fn main(modules: Registry) -> ExitCode {
    // Only the first call of a process says what it is; there is one.
    let _ = REGISTRY.set(modules);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A wrong call is a mistake like one in a playbook; the code 2 means that a task has failed.
            let wrong = error.use_stderr();
            let _ = error.print();
            let code = if wrong {
                runbook_engine::run::exit::WRONG
            } else {
                runbook_engine::run::exit::DONE
            };
            return ExitCode::from(code);
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RUNBOOK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            report::say_error(&format!("the runtime could not be started: {error}"));
            return ExitCode::from(runbook_engine::run::exit::WRONG);
        }
    };
    let code = runtime.block_on(cli.command.run());
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report::say_error(&format!("{error:#}"));
            ExitCode::from(runbook_engine::run::exit::WRONG)
        }
    }
}
