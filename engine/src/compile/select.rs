//! What `--tags`, `--skip-tags` and `--start-at-task` leave out.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use super::Call;
use super::program::{Common, Item, Play, Program};
use crate::diag::Diagnostic;
use crate::inventory::pattern::glob;

/// Tags that mean something of their own.
const SPECIAL: [&str; 5] = ["all", "tagged", "untagged", "always", "never"];

/// Marks what is left out; what was asked for and is not there.
pub(super) fn select(program: &mut Program, call: &Call<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut waiting = call.start_at.as_deref().map(|name| Start {
        name,
        pattern: Regex::new(&glob(name)).ok(),
    });
    for play in &mut program.plays {
        let Some(play) = Arc::get_mut(play) else {
            continue;
        };
        for item in play.sections.iter_mut().flatten() {
            select_item(item, call, &mut waiting);
        }
        select_handlers(play, call);
    }
    let known = known(program);
    if let Some(start) = waiting {
        let none = Diagnostic::error(
            "unknown-task",
            format!("--start-at-task: there is no task `{}`", start.name),
        );
        let none = none
            .help("names and ids of tasks and blocks are taken; `--list-tasks` shows names; `*` stands for anything");
        found.push(none.suggest(start.name, known.tasks.iter().map(String::as_str)));
    }
    // Tasks that are only included in the run may have any tag.
    if !known.includes {
        let asked = call.tags.iter().map(|t| ("--tags", t));
        for (option, tag) in asked.chain(call.skip_tags.iter().map(|t| ("--skip-tags", t))) {
            if SPECIAL.contains(&tag.as_str()) || known.tags.contains(tag) {
                continue;
            }
            let none = Diagnostic::warning(
                "unknown-tag",
                format!("{option}: no task has the tag `{tag}`"),
            );
            let all: Vec<&str> = known.tags.iter().map(String::as_str).collect();
            let none = if all.is_empty() {
                none
            } else {
                none.help(format!("there are: {}", all.join(", ")))
            };
            found.push(none.suggest(tag, all));
        }
    }
    found
}

/// The task to start at, by its name, its id, or a pattern of names.
struct Start<'a> {
    name: &'a str,
    pattern: Option<Regex>,
}

impl Start<'_> {
    fn is(&self, common: &Common) -> bool {
        let name = common.name.as_ref().and_then(|n| n.text());
        let named = name.is_some_and(|name| {
            name == self.name || self.pattern.as_ref().is_some_and(|p| p.is_match(name))
        });
        named || common.id.as_deref() == Some(self.name)
    }
}

/// What could have been asked for.
#[derive(Default)]
struct KnownNames {
    tasks: Vec<String>,
    tags: BTreeSet<String>,
    includes: bool,
}

fn known(program: &Program) -> KnownNames {
    let mut known = KnownNames::default();
    for play in &program.plays {
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                let common = item.common();
                known.includes |= matches!(item, Item::Include(_));
                known.tags.extend(common.tags.iter().cloned());
                let name = common.name.as_ref().and_then(|n| n.text());
                known.tasks.extend(name.map(str::to_owned));
                known.tasks.extend(common.id.clone());
            });
        }
        for handler in &play.handlers {
            known.tags.extend(handler.common.tags.iter().cloned());
        }
    }
    known
}

fn select_handlers(play: &mut Play, call: &Call<'_>) {
    for handler in &mut play.handlers {
        if let Some(handler) = Arc::get_mut(handler) {
            handler.common.selected = !skipped(&handler.common.tags, call);
        }
    }
}

fn skipped(tags: &BTreeSet<String>, call: &Call<'_>) -> bool {
    call.skip_tags
        .iter()
        .any(|t| tags.contains(t) || t == "all" || (t == "tagged" && !tags.is_empty()))
}

fn select_item(item: &mut Item, call: &Call<'_>, waiting: &mut Option<Start<'_>>) {
    let mut decide = |common: &mut Common| {
        if waiting.as_ref().is_some_and(|start| start.is(common)) {
            *waiting = None;
        }
        let tags = &common.tags;
        let asked = |t: &String| {
            tags.contains(t)
                || (t == "all" && !tags.contains("never"))
                || (t == "tagged" && !tags.is_empty() && !tags.contains("never"))
                || (t == "untagged" && tags.is_empty())
        };
        let by_tags = if call.tags.is_empty() {
            !tags.contains("never")
        } else {
            tags.contains("always") || call.tags.iter().any(asked)
        };
        let untagged_skip = tags.is_empty() && call.skip_tags.iter().any(|t| t == "untagged");
        common.selected = by_tags && !skipped(tags, call) && !untagged_skip && waiting.is_none();
    };
    match item {
        Item::Task(task) => {
            if let Some(task) = Arc::get_mut(task) {
                decide(&mut task.common);
            }
        }
        Item::Include(include) => {
            if let Some(include) = Arc::get_mut(include) {
                decide(&mut include.common);
            }
        }
        Item::Meta(meta) => {
            if let Some(meta) = Arc::get_mut(meta) {
                // A `meta` without tags always counts, as in Ansible.
                decide(&mut meta.common);
                meta.common.selected |= meta.common.tags.is_empty() && waiting.is_none();
            }
        }
        Item::Block(block) => {
            if let Some(block) = Arc::get_mut(block) {
                if waiting
                    .as_ref()
                    .is_some_and(|start| start.is(&block.common))
                {
                    *waiting = None;
                }
                for inner in block
                    .items
                    .iter_mut()
                    .chain(&mut block.rescue)
                    .chain(&mut block.always)
                {
                    select_item(inner, call, waiting);
                }
            }
        }
    }
}
