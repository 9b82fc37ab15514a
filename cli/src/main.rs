//! The `runbook` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    runbook::main(runbook_modules::registry())
}
