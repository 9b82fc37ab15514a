//! What `file`, `copy`, `template`, `stat` and `command` decide, on machines that exist in memory only.

use std::collections::BTreeMap;

use bytes::Bytes;
use runbook_engine::host::FileType;
use runbook_engine::module::{LocalFile, LocalFiles, Module, Stop, Wanted};
use runbook_engine::resource::{Kind as _, Ref, Shadow};
use runbook_engine::value::Value;
use runbook_engine::world::{Known, Lookup, Predicted, PredictedChange, View};

use super::account::AccountKind;
use super::copy::Copy;
use super::file::File;
use super::kind::FileKind;
use super::listing::{Entry, ListingKind, entry};
use super::place::{PathKind, Standing};
use super::slurp::Slurp;
use super::stat::Stat;
use super::state::{FileKey, FileState, FileWant, join, parent};
use super::template::Template;
use crate::command::command::Command;
use crate::command::matches::GlobKind;
use crate::command::query::{CommandOutput, Said};
use crate::command::shell::Shell;

/// A machine: what stands at its paths. Everything else is absent.
#[derive(Default, Clone)]
struct Machine {
    files: BTreeMap<String, FileState>,
    /// What every command says.
    rc: i32,
}

impl Machine {
    /// `/a/` is a directory, `/a -> b` a link, `/a=text` a file; a trailing `@0600` its mode.
    fn new(things: &[&str]) -> Self {
        let mut files = BTreeMap::new();
        for thing in things {
            let (thing, mode) = match thing.rsplit_once('@') {
                Some((thing, mode)) => (thing, u32::from_str_radix(mode, 8).ok()),
                None => (*thing, None),
            };
            let mut state = if let Some((path, to)) = thing.split_once(" -> ") {
                FileState::link(path, to)
            } else if let Some((path, text)) = thing.split_once('=') {
                FileState::file(path, text)
            } else {
                FileState::directory(thing.trim_end_matches('/'))
            };
            state.mode = mode.or(state.mode);
            state.inode = Some(format!("1:{}", files.len() + 10));
            state.mtime = Some(1_700_000_000);
            files.insert(state.path.clone(), state);
        }
        Self { files, rc: 0 }
    }

    fn at(&self, path: &str, follow: bool) -> FileState {
        let mut path = path.to_owned();
        for _ in 0..8 {
            // Links among the directories above.
            let mut above = parent(&path).to_owned();
            while above != "/" {
                if let Some(link) = self.files.get(&above).and_then(|s| s.link.clone()) {
                    path = format!("{}{}", join(parent(&above), &link), &path[above.len()..]);
                    break;
                }
                above = parent(&above).to_owned();
            }
            match self.files.get(&path) {
                Some(state) if follow && state.is == FileType::Link => {
                    path = join(parent(&path), state.link.as_deref().unwrap_or_default());
                }
                Some(state) => return state.clone(),
                None if path == "/" => return FileState::directory("/"),
                None => {}
            }
        }
        FileState::absent(&path)
    }

    fn below(&self, path: &str) -> Vec<Entry> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        self.files
            .iter()
            .filter_map(|(at, state)| entry(at.strip_prefix(&prefix)?, state))
            .collect()
    }
}

impl Lookup for Machine {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        let state = |s: serde_json::Result<serde_json::Value>| Some(Known::State(s.unwrap()));
        match key.kind.as_str() {
            FileKind::NAME => {
                let key: FileKey = serde_json::from_value(key.data.clone()).unwrap();
                state(serde_json::to_value(self.at(&key.path, key.follow)))
            }
            AccountKind::NAME => {
                let there = !key.id.contains("nobody-knows");
                let name = key.id.split(' ').next_back().unwrap_or_default().to_owned();
                state(serde_json::to_value(
                    there.then_some(super::account::Named { name, id: 1234 }),
                ))
            }
            PathKind::NAME => {
                let key: FileKey = serde_json::from_value(key.data.clone()).unwrap();
                let FileState { path, is, .. } = self.at(&key.path, key.follow);
                state(serde_json::to_value(Standing { path, is }))
            }
            ListingKind::NAME => state(serde_json::to_value(self.below(&key.id))),
            GlobKind::NAME => {
                let head = key.id.split('*').next().unwrap_or_default();
                let found: Vec<&String> =
                    self.files.keys().filter(|p| p.starts_with(head)).collect();
                state(serde_json::to_value(found))
            }
            CommandOutput::NAME => state(serde_json::to_value(Said {
                rc: self.rc,
                stdout: "said\n".into(),
                stderr: "".into(),
            })),
            _ => None,
        }
    }
}

fn local_files() -> LocalFiles {
    let file = |text: &str, mode: u32| LocalFile {
        path: "/controller/x".into(),
        content: Bytes::copy_from_slice(text.as_bytes()),
        mode,
        entries: None,
        secret: false,
    };
    let tree = LocalFile {
        entries: Some(BTreeMap::from([
            ("a".to_owned(), file("A", 0o600)),
            ("sub/b".to_owned(), file("B", 0o755)),
        ])),
        ..file("", 0o755)
    };
    LocalFiles::from([
        ("php.ini".to_owned(), file("new", 0o640)),
        ("conf".to_owned(), tree.clone()),
        ("conf/".to_owned(), tree),
    ])
}

fn want<M: Module>(machine: &Machine, args: &str) -> Result<Wanted, Stop> {
    let json: serde_json::Value =
        serde_json::from_str(args).unwrap_or_else(|e| panic!("{args}: {e}"));
    let args: M::Args = serde_json::from_value(json).unwrap_or_else(|e| panic!("{args}: {e}"));
    M::validate(&args).map_err(Stop::Refuse)?;
    M::want(&args, &View::new(machine, &local_files()))
}

/// `PATH: difference, difference` for everything that would change; then the machine as it will be.
fn decide<M: Module>(machine: &Machine, args: &str) -> Result<(Vec<String>, Machine), Stop> {
    let mut after = machine.clone();
    let mut lines = Vec::new();
    for resource in want::<M>(machine, args)?.resources {
        let want: FileWant = serde_json::from_value(resource.want).unwrap();
        let now = after.at(&resource.key.id, false);
        let differences = FileKind.differences(&want, &now);
        if differences.is_empty() {
            continue;
        }
        lines.push(format!("{}: {}", resource.key.id, differences.join(", ")));
        let to = FileKind.predict(&want, &now);
        if to.is_absent() {
            let below = format!("{}/", resource.key.id);
            after
                .files
                .retain(|p, _| *p != resource.key.id && !p.starts_with(&below));
        } else {
            after.files.insert(resource.key.id, to);
        }
    }
    Ok((lines, after))
}

/// Decides, compares, and decides again on what came of it: nothing must be left to do.
fn check<M: Module>(things: &[&str], args: &str, expected: &[&str]) {
    let machine = Machine::new(things);
    let (lines, after) = decide::<M>(&machine, args).unwrap_or_else(|e| panic!("{args}: {e:?}"));
    assert_eq!(lines, expected, "{} {args} on {things:?}", M::NAME);
    let (again, _) = decide::<M>(&after, args).unwrap_or_else(|e| panic!("{args} again: {e:?}"));
    assert_eq!(again, Vec::<String>::new(), "{} {args} again", M::NAME);
}

fn refused<M: Module>(things: &[&str], args: &str, said: &str) {
    match want::<M>(&Machine::new(things), args) {
        Err(Stop::Refuse(message)) => assert!(message.contains(said), "{args}: {message}"),
        other => panic!("{args}: {other:?}"),
    }
}

#[test]
fn nothing_is_given_to_whom_nobody_knows() {
    let there = ["/etc/", "/etc/f=x"];
    let said = "there is no user nobody-knows on the host";
    refused::<File>(
        &there,
        r#"{"path": "/etc/f", "owner": "nobody-knows"}"#,
        said,
    );
    refused::<Copy>(
        &there,
        r#"{"dest": "/etc/f", "content": "y", "owner": "nobody-knows"}"#,
        said,
    );
    let said = "there is no group nobody-knows on the host";
    refused::<File>(
        &there,
        r#"{"path": "/etc/d", "state": "directory", "group": "nobody-knows"}"#,
        said,
    );
}

#[test]
fn file_sets_what_stands_at_a_path() {
    let etc = ["/etc/", "/etc/f=x", "/etc/l -> f", "/etc/d/", "/etc/d/x=1"];
    let cases: &[(&str, &[&str])] = &[
        (
            r#"{"path": "/etc/f", "mode": "0600"}"#,
            &["/etc/f: mode 0644 → 0600"],
        ),
        (
            r#"{"path": "/etc/f", "mode": "u+x", "owner": "app"}"#,
            &["/etc/f: mode 0644 → 0744, owner root → app"],
        ),
        (r#"{"path": "/etc/f", "owner": "0", "group": "root"}"#, &[]),
        (
            r#"{"path": "/etc/l", "mode": "0600"}"#,
            &["/etc/f: mode 0644 → 0600"],
        ),
        (
            r#"{"path": "/etc/l", "owner": "app", "follow": false}"#,
            &["/etc/l: owner root → app"],
        ),
        (
            r#"{"path": "/etc/n", "state": "touch"}"#,
            &["/etc/n: absent → file"],
        ),
        (
            r#"{"path": "/etc/f", "state": "absent"}"#,
            &["/etc/f: file → absent"],
        ),
        (
            r#"{"path": "/etc/l", "state": "absent"}"#,
            &["/etc/l: link → absent"],
        ),
        (
            r#"{"path": "/etc/d", "state": "absent"}"#,
            &["/etc/d: directory → absent"],
        ),
        (r#"{"path": "/etc/n", "state": "absent"}"#, &[]),
        (r#"{"path": "/etc/d", "state": "directory"}"#, &[]),
        (
            r#"{"path": "/srv/a/b/", "state": "directory", "mode": "0750"}"#,
            &[
                "/srv: absent → directory, mode 0750",
                "/srv/a: absent → directory, mode 0750",
                "/srv/a/b: absent → directory, mode 0750",
            ],
        ),
        (
            r#"{"path": "/etc/d", "state": "directory", "recurse": true, "mode": "u=rwX,g=rX,o="}"#,
            &["/etc/d: mode 0755 → 0750", "/etc/d/x: mode 0644 → 0640"],
        ),
        (
            r#"{"dest": "/etc/m", "src": "f", "state": "link"}"#,
            &["/etc/m: absent → link, link to f"],
        ),
        (
            r#"{"dest": "/etc/l", "src": "d", "state": "link"}"#,
            &["/etc/l: link to f → d"],
        ),
        (
            r#"{"dest": "/etc/l", "src": "f", "state": "link", "mode": "0600"}"#,
            &["/etc/f: mode 0644 → 0600"],
        ),
        (
            r#"{"dest": "/etc/f", "src": "/no", "state": "link", "force": true}"#,
            &["/etc/f: file → link, link to /no"],
        ),
        (
            r#"{"dest": "/etc/h", "src": "/etc/f", "state": "hard"}"#,
            &["/etc/h: absent → file, content 1 bytes, hard link to /etc/f, mode 0644"],
        ),
        (
            r#"{"dest": "/etc/h", "src": "/etc/f", "state": "hard", "mode": "0600"}"#,
            &[
                "/etc/f: mode 0644 → 0600",
                "/etc/h: absent → file, content 1 bytes, hard link to /etc/f, mode 0600",
            ],
        ),
    ];
    for (args, expected) in cases {
        check::<File>(&etc, args, expected);
    }
    for (args, said) in [
        (r#"{"path": "etc/f", "mode": "0600"}"#, "no absolute path"),
        (r#"{"path": "/etc/n", "mode": "0600"}"#, "does not exist"),
        (r#"{"path": "/etc/n", "state": "file"}"#, "does not exist"),
        (r#"{"path": "/etc/d", "state": "file"}"#, "not a file"),
        (
            r#"{"path": "/etc/f", "state": "directory"}"#,
            "already there as a file",
        ),
        (
            r#"{"path": "/etc/f/x/y", "state": "directory"}"#,
            "/etc/f is a file",
        ),
        (
            r#"{"dest": "/etc/m", "src": "no", "state": "link"}"#,
            "force: true",
        ),
        (
            r#"{"dest": "/etc/f", "src": "d", "state": "link"}"#,
            "already there as a file",
        ),
        (
            r#"{"dest": "/etc/d", "src": "f", "state": "link", "force": true}"#,
            "not empty",
        ),
        (
            r#"{"dest": "/no/m", "src": "/etc/f", "state": "link"}"#,
            "the directory /no does not exist",
        ),
        (r#"{"dest": "/etc/m", "state": "hard"}"#, "needs `src`"),
        (
            r#"{"path": "/etc/f", "src": "x", "state": "file"}"#,
            "goes with",
        ),
    ] {
        refused::<File>(&etc, args, said);
    }
}

#[test]
fn copy_puts_files_where_they_belong() {
    let etc = [
        "/etc/",
        "/etc/php.ini=old",
        "/etc/l -> php.ini",
        "/etc/d/",
        "/etc/big/",
        "/etc/big/x=X@0600",
    ];
    let cases: &[(&str, &[&str])] = &[
        (
            r#"{"src": "php.ini", "dest": "/etc/php.ini"}"#,
            &["/etc/php.ini: content 3 bytes → 3 bytes"],
        ),
        (r#"{"content": "old", "dest": "/etc/php.ini"}"#, &[]),
        (
            r#"{"content": {"a": [1]}, "dest": "/etc/n", "mode": "0600"}"#,
            &["/etc/n: absent → file, content 10 bytes, mode 0600"],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/d"}"#,
            &["/etc/d/php.ini: absent → file, content 3 bytes"],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/d/"}"#,
            &["/etc/d/php.ini: absent → file, content 3 bytes"],
        ),
        (
            r#"{"src": "php.ini", "dest": "/srv/new/", "directory_mode": "0700"}"#,
            &[
                "/srv: absent → directory, mode 0700",
                "/srv/new: absent → directory, mode 0700",
                "/srv/new/php.ini: absent → file, content 3 bytes",
            ],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/n", "mode": "preserve"}"#,
            &["/etc/n: absent → file, content 3 bytes, mode 0640"],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/php.ini", "force": false}"#,
            &[],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/l"}"#,
            &["/etc/l: link → file, content 3 bytes"],
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/l", "follow": true}"#,
            &["/etc/php.ini: content 3 bytes → 3 bytes"],
        ),
        (
            r#"{"src": "conf", "dest": "/etc/d", "mode": "0644"}"#,
            &[
                "/etc/d/conf: absent → directory",
                "/etc/d/conf/sub: absent → directory",
                "/etc/d/conf/a: absent → file, content 1 bytes, mode 0644",
                "/etc/d/conf/sub/b: absent → file, content 1 bytes, mode 0644",
            ],
        ),
        (
            r#"{"src": "conf/", "dest": "/etc/d", "mode": "preserve"}"#,
            &[
                "/etc/d/sub: absent → directory",
                "/etc/d/a: absent → file, content 1 bytes, mode 0600",
                "/etc/d/sub/b: absent → file, content 1 bytes, mode 0755",
            ],
        ),
        (
            r#"{"src": "/etc/php.ini", "dest": "/etc/old", "remote_src": true}"#,
            &["/etc/old: absent → file, content 3 bytes"],
        ),
        (
            r#"{"src": "/etc/big/", "dest": "/etc/d", "remote_src": true, "mode": "preserve"}"#,
            &["/etc/d/x: absent → file, content 1 bytes, mode 0600"],
        ),
    ];
    for (args, expected) in cases {
        check::<Copy>(&etc, args, expected);
    }
    for (args, said) in [
        (
            r#"{"src": "php.ini", "dest": "/no/where"}"#,
            "the directory /no does not exist",
        ),
        (
            r#"{"src": "php.ini", "dest": "/etc/php.ini/"}"#,
            "not a directory",
        ),
        (r#"{"content": "x", "dest": "/etc/d"}"#, "is a directory"),
        (r#"{"content": "x", "dest": "/etc/d/"}"#, "must name a file"),
        (
            r#"{"content": "x", "src": "php.ini", "dest": "/etc/n"}"#,
            "exclude each other",
        ),
        (
            r#"{"src": "none", "dest": "/etc/n"}"#,
            "not found on the controller",
        ),
        (
            r#"{"src": "/none", "dest": "/etc/n", "remote_src": true}"#,
            "does not exist on the host",
        ),
        (
            r#"{"content": "x", "dest": "/etc/n", "validate": "true"}"#,
            "must contain %s",
        ),
    ] {
        refused::<Copy>(&etc, args, said);
    }
    check::<Template>(
        &etc,
        r#"{"src": "php.ini", "dest": "/etc/php.ini", "mode": "0600"}"#,
        &["/etc/php.ini: content 3 bytes → 3 bytes, mode 0644 → 0600"],
    );
}

#[test]
fn a_backup_is_named_by_what_it_holds() {
    let machine = Machine::new(&["/etc/", "/etc/f=old@0600"]);
    let args = r#"{"content": "new", "dest": "/etc/f", "backup": true}"#;
    let place = "/etc/f.cba06b5736fa~".to_owned();
    let wanted = want::<Copy>(&machine, args).unwrap();
    assert_eq!(wanted.facts["backup_file"], Value::from(place.clone()));
    let (lines, after) = decide::<Copy>(&machine, args).unwrap();
    assert_eq!(
        lines[0],
        format!("{place}: absent → file, content 3 bytes, mode 0600, owner 0, group 0")
    );
    assert_eq!(after.at(&place, false).bytes(), Some(&b"old"[..]));
}

#[test]
fn stat_and_slurp_say_what_is_there() {
    let machine = Machine::new(&["/etc/", "/etc/f=hello@4755", "/etc/l -> f"]);
    let stat = |args: &str| {
        let facts = want::<Stat>(&machine, args).unwrap().facts;
        Value::Map(facts).to_json(false)["stat"].clone()
    };
    let f = stat(r#"{"path": "/etc/f"}"#);
    for (name, value) in [
        ("exists", serde_json::json!(true)),
        ("isreg", true.into()),
        ("islnk", false.into()),
        ("mode", "4755".into()),
        ("isuid", true.into()),
        ("xoth", true.into()),
        ("woth", false.into()),
        ("size", 5.into()),
        ("pw_name", "root".into()),
        ("mtime", 1_700_000_000.into()),
        (
            "checksum",
            "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".into(),
        ),
    ] {
        assert_eq!(f[name], value, "{name}");
    }
    let l = stat(r#"{"path": "/etc/l"}"#);
    assert_eq!(
        (&l["islnk"], &l["lnk_target"], &l["lnk_source"]),
        (&true.into(), &"f".into(), &"/etc/f".into())
    );
    assert_eq!(stat(r#"{"path": "/etc/l", "follow": true}"#)["isreg"], true);
    let md5 = stat(r#"{"path": "/etc/f", "checksum_algorithm": "md5"}"#);
    assert_eq!(md5["checksum"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(
        stat(r#"{"path": "/none"}"#),
        serde_json::json!({"exists": false})
    );

    let slurped = want::<Slurp>(&machine, r#"{"src": "/etc/l"}"#).unwrap();
    assert_eq!(slurped.facts["content"], Value::from("aGVsbG8="));
    refused::<Slurp>(&["/etc/"], r#"{"src": "/etc"}"#, "not a file");
}

#[test]
fn commands_run_where_they_must() {
    let machine = Machine::new(&["/etc/", "/etc/done=x"]);
    let skipped = |args: &str| want::<Command>(&machine, args).unwrap().skipped;
    for (args, reason) in [
        (
            r#"{"cmd": "x", "creates": "/etc/done"}"#,
            Some("/etc/done exists"),
        ),
        (
            r#"{"cmd": "x", "creates": "done", "chdir": "/etc"}"#,
            Some("/etc/done exists"),
        ),
        (
            r#"{"cmd": "x", "creates": "/etc/do*"}"#,
            Some("/etc/do* exists"),
        ),
        (r#"{"cmd": "x", "creates": "/etc/no"}"#, None),
        (
            r#"{"cmd": "x", "removes": "/etc/no"}"#,
            Some("/etc/no does not exist"),
        ),
        (r#"{"cmd": "x", "removes": "/etc/done"}"#, None),
        (r#"{"cmd": "x", "unless": "true"}"#, Some("`true` says so")),
        (r#"{"cmd": "x", "only_if": "true"}"#, None),
    ] {
        assert_eq!(skipped(args).as_deref(), reason, "{args}");
    }
    use runbook_engine::action::Effects;
    let effects = |args: &str| {
        want::<Command>(&machine, args)
            .unwrap()
            .action
            .map(|a| a.effects)
    };
    assert_eq!(effects(r#"{"cmd": "x"}"#), Some(Effects::Opaque));
    assert!(
        matches!(effects(r#"{"cmd": "x", "creates": "/n"}"#), Some(Effects::Creates(m)) if m[0].id == "/n")
    );
    assert!(matches!(
        effects(r#"{"cmd": "x", "changes": ["container:arc", "/etc/f"]}"#),
        Some(Effects::Changes(m)) if (m[0].kind.as_str(), m[1].id.as_str()) == ("container", "/etc/f")
    ));

    let read = |machine: &Machine| {
        want::<Shell>(machine, r#"{"cmd": "x | y", "reads_only": true}"#).unwrap()
    };
    let wanted = read(&machine);
    assert_eq!((wanted.failed, wanted.action), (None, None));
    assert_eq!(wanted.facts["stdout"], Value::from("said"));
    let failing = Machine {
        rc: 3,
        ..machine.clone()
    };
    let wanted = read(&failing);
    assert_eq!(wanted.failed.as_deref(), Some("status 3: said"));
    assert_eq!(wanted.facts["rc"], Value::Int(3));

    for (args, said) in [
        (r#"{}"#, "what shall run"),
        (r#"{"cmd": "a", "argv": ["a"]}"#, "twice"),
        (r#"{"cmd": "echo 'a"}"#, "not closed"),
        (r#"{"cmd": "  "}"#, "no command"),
        (
            r#"{"cmd": "a", "reads_only": true, "changes": ["/x"]}"#,
            "contradict",
        ),
        (
            r#"{"cmd": "a", "changes": ["php.ini"]}"#,
            "names no resource",
        ),
        (r#"{"cmd": "a", "creates": "rel"}"#, "no absolute path"),
    ] {
        refused::<Command>(&[], args, said);
    }
}

fn predicted(path: &str, from: FileState, to: Option<FileState>) -> PredictedChange {
    PredictedChange {
        key: runbook_engine::module::reference::<FileKind>(&FileKey::new(path)),
        from: Some(serde_json::to_value(from).unwrap()),
        to: to.map(|t| serde_json::to_value(t).unwrap()),
        task: "T".to_owned(),
    }
}

#[test]
fn the_predicted_world_answers_as_the_host_would() {
    let absent = FileState::absent;
    let gone = predicted("/a", FileState::directory("/a"), Some(absent("/a")));
    let made = predicted("/a", absent("/a"), Some(FileState::directory("/a")));
    let child = predicted("/a/f", absent("/a/f"), Some(FileState::file("/a/f", "x")));
    let mode = predicted(
        "/a",
        FileState::directory("/a"),
        Some(FileState {
            mode: Some(0o700),
            ..FileState::directory("/a")
        }),
    );
    let linked = predicted("/a", absent("/a"), Some(FileState::link("/a", "b/c")));
    let unsure = predicted("/a", FileState::directory("/a"), None);
    let known = |path: &str| Shadow::Known(absent(path));
    let unknown = || Shadow::Unknown("until \"T\"".to_owned());
    let key = FileKey::new;
    let cases: Vec<(Vec<&PredictedChange>, FileKey, Shadow<FileKey, FileState>)> = vec![
        (vec![], key("/a/f"), Shadow::AsRead),
        (vec![&gone], key("/a/f"), known("/a/f")),
        (vec![&gone], key("/ab"), Shadow::AsRead),
        (vec![&gone], key("/"), Shadow::AsRead),
        (vec![&made], key("/a/f"), known("/a/f")),
        (vec![&mode], key("/a/f"), Shadow::AsRead),
        (
            vec![&made, &child],
            key("/a/f"),
            Shadow::Known(FileState::file("/a/f", "x")),
        ),
        (vec![&made, &child], key("/a/g"), known("/a/g")),
        (vec![&made, &child, &gone], key("/a/f"), known("/a/f")),
        (
            vec![&child, &mode],
            key("/a/f"),
            Shadow::Known(FileState::file("/a/f", "x")),
        ),
        (vec![&linked], key("/a/f"), Shadow::At(key("/b/c/f"))),
        (
            vec![&linked],
            FileKey::following("/a"),
            Shadow::At(FileKey::following("/b/c")),
        ),
        (
            vec![&linked],
            key("/a"),
            Shadow::Known(FileState::link("/a", "b/c")),
        ),
        (vec![&unsure], key("/a/f"), unknown()),
        (vec![&unsure, &gone], key("/a/f"), known("/a/f")),
    ];
    for (changes, key, expected) in cases {
        let changes: Vec<PredictedChange> = changes.into_iter().cloned().collect();
        let world = Predicted { changes: &changes };
        assert_eq!(
            FileKind.predicted(&key, &world),
            expected,
            "{key} after {changes:?}"
        );
    }
}

#[test]
fn no_text_or_difference_shows_a_private_key() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n";
    let state = FileState::file("/k", pem);
    let text = FileKind.text(&FileKey::new("/k"), &state).unwrap();
    assert!(
        !text.contains("MIIE") && text.contains("********"),
        "{text}"
    );
    assert_eq!(FileKind.secrets(&state), ["MIIEvQIBADANBgkqhkiG9w0B"]);
    assert!(!format!("{state:?}").contains("MIIE"));
    let binary = FileState::file("/b", vec![0, 159, 146]);
    let text = FileKind.text(&FileKey::new("/b"), &binary).unwrap();
    assert!(text.starts_with("binary, 3 bytes, sha256 "), "{text}");
}
