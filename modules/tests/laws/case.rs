//! Cases as data. To add one takes a minute: a module, its arguments, what a shell does beforehand.

use std::collections::BTreeMap;

use runbook_engine::module::{LocalFile, LocalFiles};

/// The server that a case needs beside the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Nothing,
    /// Something that answers HTTP at 127.0.0.1:$PORT.
    Http,
    Docker,
    /// Docker, and a registry at 127.0.0.1:$PORT.
    Registry,
    /// slapd at 127.0.0.1:$PORT.
    Directory,
    /// slapd, and Docker.
    DirectoryAndDocker,
    /// A SELinux policy of its own, $STORE.
    Policy,
    /// A database of its own, $DB at 127.0.0.1:$PORT.
    Database,
}

/// A case. `$DIR` is a folder of its own, `$NAME` a name of its own for Docker; for `$PORT` and `$DB` see [`Needs`].
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub module: &'static str,
    /// YAML.
    pub args: &'static str,
    pub needs: Needs,
    /// Shell, before anything else.
    pub before: &'static str,
    /// Shell: what somebody else does between reading and writing. Empty: nothing that could be seen.
    pub foreign: &'static str,
    /// Shell: what else to look at.
    pub look: &'static str,
    /// Texts that nothing may show.
    pub secrets: &'static [&'static str],
    /// Files of the controller, by path below the playbook, with their content; `@PATH`: the content of that file.
    pub files: &'static [(&'static str, &'static str)],
}

/// A case of files alone.
pub const PLAIN: Case = Case {
    module: "",
    args: "{}",
    needs: Needs::Nothing,
    before: "",
    foreign: "",
    look: "",
    secrets: &[],
    files: &[],
};

impl Case {
    /// The files as the engine loads them: a folder by the first part of its path.
    pub fn local(&self, fill: impl Fn(&str) -> String) -> LocalFiles {
        let mut files = LocalFiles::new();
        for (path, content) in self.files {
            let path = &fill(path);
            let content = match content.strip_prefix('@') {
                Some(file) => std::fs::read(fill(file)).unwrap(),
                None => content.as_bytes().to_vec(),
            };
            let file = |name: &str| LocalFile {
                path: name.into(),
                content: content.clone().into(),
                mode: 0o644,
                entries: None,
                secret: false,
            };
            match path
                .split_once('/')
                .filter(|(folder, _)| !folder.is_empty())
            {
                None => {
                    files.insert(path.clone(), file(path));
                }
                Some((folder, name)) => {
                    let folder = files.entry(folder.to_owned()).or_insert_with(|| LocalFile {
                        path: folder.into(),
                        content: Vec::new().into(),
                        mode: 0o755,
                        entries: Some(BTreeMap::new()),
                        secret: false,
                    });
                    if let Some(entries) = &mut folder.entries {
                        entries.insert(name.to_owned(), file(name));
                    }
                }
            }
        }
        files
    }
}
