//! The program with the prediction of one kind switched off: of the kind that it is called by (`ln -s` to this).

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let kind = Path::new(&called).file_name().unwrap_or_default();
    let modules = runbook_modules::registry();
    runbook::main(modules.without_prediction(&kind.to_string_lossy()))
}
