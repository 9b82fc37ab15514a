//! Carry out a playbook, or with --check show what it would do.

use std::sync::Arc;

use runbook_engine::compile::program::Item;
use runbook_engine::run::{Plan, Runner, exit};
use runbook_engine::source::truth_of;

use crate::call::{ChoiceArgs, HostArgs, Ready};
use crate::conduct::{self, Going, Origin, RunArgs, Setting, conduct};
use crate::interrupt::Interrupts;
use crate::request::{Request, What};
use crate::{planned, prompts, report};

/// Carry out a playbook, or with --check show what it would do.
///
/// On a terminal the plan is shown and you are asked before anything is changed; -y does not ask.
#[derive(clap::Args)]
pub struct Args {
    /// Playbooks, in order; looked up in playbooks/ too
    #[arg(required = true)]
    playbooks: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    run: RunArgs,
    /// List the hosts that each play is for
    #[arg(long)]
    list_hosts: bool,
    /// List the tasks
    #[arg(long)]
    list_tasks: bool,
    /// List the tags
    #[arg(long)]
    list_tags: bool,
    /// Only look for mistakes
    #[arg(long)]
    syntax_check: bool,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    let request = Request::new(
        &args.hosts,
        args.choice.clone(),
        What::Play(args.playbooks.clone()),
    );
    if !(args.list_hosts || args.list_tasks || args.list_tags || args.syntax_check) {
        return carry_out(request, &args.run, None).await;
    }
    let ready = match request.compile()? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    if args.syntax_check {
        report::note("no mistakes found");
    } else {
        list(&args, &ready);
    }
    Ok(exit::DONE)
}

/// Plans, asks, and applies; shared with `call` and `resume`.
pub async fn carry_out(
    mut request: Request,
    run: &RunArgs,
    going: Option<Going>,
) -> anyhow::Result<u8> {
    let ready = match request.compile()? {
        Ok(ready) => ready,
        Err(code) => return Ok(code),
    };
    let held = match held(&request, run, going.as_ref()) {
        Ok(held) => held,
        Err(why) => {
            report::say_error(&why);
            return Ok(exit::WRONG);
        }
    };
    let setting = Setting {
        check: run.check,
        going,
        ..Setting::default()
    };
    let (runner, interrupts) = runner(ready, &mut request.hosts, setting)?;
    let origin = Origin {
        held,
        ..Origin::of(&request)?
    };
    let code = conduct(&runner, run, request.hosts.verbose, origin, &interrupts).await?;
    runner.shared.fleet.close().await;
    Ok(code)
}

/// The plan that a run is held to, if it was applied from one. Where its file is gone or has changed, a person who is asked
/// about what is left may go on without it. `Err`: what is to be said to everybody else.
fn held(request: &Request, run: &RunArgs, going: Option<&Going>) -> Result<Option<Plan>, String> {
    let Some(file) = &request.plan else {
        return Ok(None);
    };
    match planned::of_run(file, going.map(|g| g.run.as_str())) {
        Ok(plan) => Ok(Some(plan)),
        Err(why) if conduct::asks(run) || run.check => {
            report::note(&format!(
                "{why:#}: what is left is not held to it, but to what is shown now"
            ));
            Ok(None)
        }
        Err(why) => Err(format!(
            "{why:#}. The run is held to that plan: put it back; or go on from a terminal, where what is left is shown and \
             asked about"
        )),
    }
}

/// A runner of what was compiled; nobody is connected yet. What its plays want to be asked for is asked here, and kept in
/// `hosts` for whoever goes on. The users of `setting` are found in the program.
///
/// # Errors
/// Something was to be asked for, and there is no terminal.
pub fn runner(
    ready: Ready,
    hosts: &mut HostArgs,
    setting: Setting,
) -> anyhow::Result<(Runner, Interrupts)> {
    let Ready {
        inventory,
        mut compiled,
        tools,
    } = ready;
    prompts::ask(&mut compiled.program, &mut hosts.answers)?;
    let setting = Setting {
        warm: warm_users(&compiled.program, hosts),
        ..setting
    };
    let (shared, interrupts) = conduct::shared(&inventory, compiled.hosts, &tools, hosts, setting)?;
    let runner = Runner::new(shared, Arc::new(compiled.program));
    Ok((runner, interrupts))
}

/// Users whose shells will be needed: sudo is started while the host still tells of itself.
fn warm_users(
    program: &runbook_engine::compile::program::Program,
    hosts: &HostArgs,
) -> Vec<runbook_engine::host::User> {
    let mut becomes = hosts.become_;
    for play in &program.plays {
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                if let Item::Task(task) = item {
                    let plain_root = task.become_user.is_none();
                    becomes |= plain_root && task.become_.as_ref().and_then(truth_of) == Some(true);
                }
            });
        }
    }
    if becomes {
        vec![runbook_engine::host::User::Become("root".to_owned())]
    } else {
        Vec::new()
    }
}

fn list(args: &Args, ready: &Ready) {
    for play in &ready.compiled.program.plays {
        report::say(&format!("play: {}", play.name));
        if args.list_hosts {
            for host in play.groups.iter().flat_map(|g| &g.hosts) {
                report::say(&format!("  {host}"));
            }
        }
        let mut tags = std::collections::BTreeSet::new();
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                let common = item.common();
                tags.extend(common.tags.iter().cloned());
                let is_task = matches!(item, Item::Task(_) | Item::Include(_));
                if args.list_tasks && common.selected && is_task {
                    let name = common.name.as_ref().and_then(|n| n.text()).map_or_else(
                        || match item {
                            Item::Task(task) => task.module.name().to_owned(),
                            _ => "include_tasks".to_owned(),
                        },
                        str::to_owned,
                    );
                    let tags: Vec<&str> = common.tags.iter().map(String::as_str).collect();
                    let shown = if tags.is_empty() {
                        String::new()
                    } else {
                        format!("  [{}]", tags.join(", "))
                    };
                    report::say(&format!("  {name}{shown}"));
                }
            });
        }
        if args.list_tags {
            let tags: Vec<String> = tags.into_iter().collect();
            let tags = if tags.is_empty() {
                "none".to_owned()
            } else {
                tags.join(", ")
            };
            report::say(&format!("  tags: {tags}"));
        }
    }
}
