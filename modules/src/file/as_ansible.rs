//! What Ansible's modules make of the same files: `fixtures/*.jsonl` holds arguments, the file before, and what
//! ansible-core 2.19 made of it, and of that when it ran again.

use runbook_engine::module::Module;
use runbook_engine::resource::Kind as _;
use runbook_engine::world::Fixture;
use serde::Deserialize;

use super::FileKind;
use super::blockinfile::BlockInFile;
use super::lineinfile::LineInFile;
use super::replace::Replace;
use super::state::{FileKey, FileState, FileWant};

#[derive(Deserialize)]
struct Case {
    args: serde_json::Value,
    before: Option<String>,
    after: Option<String>,
    changed: bool,
    /// What Ansible made of `after` when it ran again, where that is something else.
    again: Option<String>,
    /// What Ansible's message is, where that is compared.
    msg: Option<String>,
}

/// The file and its message after the module, on a world that holds the file alone.
fn run<M: Module>(
    args: &serde_json::Value,
    before: Option<&str>,
) -> Result<(Option<String>, String), String> {
    let mut args = args.clone();
    args["path"] = "/f".into();
    let args: M::Args = serde_json::from_value(args).map_err(|e| e.to_string())?;
    M::validate(&args)?;
    let now = match before {
        Some(text) => FileState::file("/f", text),
        None => FileState::absent("/f"),
    };
    let world = Fixture::default().with::<FileKind>(&FileKey::following("/f"), &now);
    let wanted = M::want(&args, &world.view()).map_err(|e| format!("{e:?}"))?;
    let mut after = now;
    for resource in &wanted.resources {
        let want: FileWant = serde_json::from_value(resource.want.clone()).unwrap();
        after = FileKind.predict(&want, &after);
        assert_eq!(
            FileKind.differences(&want, &after),
            Vec::<String>::new(),
            "what was predicted is not wanted"
        );
    }
    let text = after
        .bytes()
        .map(|b| String::from_utf8(b.to_vec()).unwrap());
    let msg = wanted
        .facts
        .get("msg")
        .and_then(|m| m.as_str())
        .unwrap_or_default()
        .to_owned();
    Ok((text, msg))
}

fn table<M: Module>(lines: &str) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines.lines() {
        let case: Case = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        count += 1;
        match run::<M>(&case.args, case.before.as_deref()) {
            Ok((after, msg)) => {
                if after != case.after || (after != case.before) != case.changed {
                    wrong.push(format!("{line}\n   made {after:?}"));
                } else if case.msg.as_ref().is_some_and(|m| *m != msg) {
                    wrong.push(format!("{line}\n   said {msg:?}"));
                }
                // Some arguments never come to rest, in Ansible neither; all others do.
                let again = run::<M>(&case.args, after.as_deref()).map(|(text, _)| text);
                if again != Ok(case.again.clone().or(after)) {
                    wrong.push(format!("{line}\n   a second time made {again:?}"));
                }
            }
            Err(error) => wrong.push(format!("{line}\n   failed: {error}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 20, "the table is not all there");
}

#[test]
fn lineinfile_decides_as_ansible_does() {
    table::<LineInFile>(include_str!("fixtures/lineinfile.jsonl"));
}

#[test]
fn blockinfile_decides_as_ansible_does() {
    table::<BlockInFile>(include_str!("fixtures/blockinfile.jsonl"));
}

#[test]
fn replace_decides_as_ansible_does() {
    table::<Replace>(include_str!("fixtures/replace.jsonl"));
}
