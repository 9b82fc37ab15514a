//! A folder with a configuration, in which the modules are tried and the server itself judges.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runbook_engine::host::{FileType, Probe, User};
use runbook_engine::module::{LocalFiles, Module, Stop, Wanted};
use runbook_engine::resource::{Kind, Ref};
use runbook_engine::world::{Known, Lookup, View};
use serde_json::Value as Json;

use super::laws::load;
use super::program::Httpd;
use crate::command::matches::GlobKind;
use crate::file::FileKind;
use crate::file::account::AccountKind;
use crate::file::contents::ContentKind;
use crate::file::listing::ListingKind;
use crate::file::state::{FileKey, FileWant, Source};
use crate::skip::skip;

/// A server's folder, in which `$DIR` is the folder itself.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    probe: Probe,
    runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct World(BTreeMap<Ref, Known>);

impl Lookup for World {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.0.get(key).cloned()
    }
}

impl Scene {
    pub(super) fn new(test: &str, files: &[(&str, &str)]) -> Option<Self> {
        if !Path::new("/usr/sbin/apache2").exists() {
            skip(test, "no apache2");
            return None;
        }
        let connection = runbook_engine::transport::local::connect("localhost", None);
        let scene = Self {
            folder: tempfile::tempdir().unwrap(),
            probe: Probe::new(connection, User::Login),
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        for folder in ["logs", "www", "pacsone/php", "other"] {
            fs::create_dir_all(scene.at(folder)).unwrap();
        }
        for (name, text) in files {
            let path = scene.at(name);
            fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
            fs::write(path, scene.filled(text)).unwrap();
        }
        Some(scene)
    }

    /// One file, with modules that are usual.
    pub(super) fn one_file(test: &str, text: &str) -> Option<Self> {
        let head = load(&[
            "mpm_event",
            "authz_core",
            "authz_host",
            "access_compat",
            "alias",
            "dir",
        ]);
        let text = format!("ServerRoot $DIR\nListen 8080\nServerName x\n{head}{text}");
        Self::new(test, &[("httpd.conf", &text)])
    }

    pub(super) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn filled(&self, text: &str) -> String {
        text.replace("$DIR", &self.folder.path().display().to_string())
    }

    pub(super) fn text(&self, name: &str) -> String {
        let dir = self.folder.path().display().to_string();
        let text = fs::read_to_string(self.at(name)).unwrap_or_default();
        text.replace(&dir, "$DIR")
    }

    /// What stands behind the head of the one file.
    pub(super) fn tail(&self) -> String {
        let text = self.text("httpd.conf");
        text.split_once("mod_dir.so\n").unwrap().1.to_owned()
    }

    fn read<K: Kind>(&self, kind: &K, refs: &[Ref], world: &mut World) {
        for one in refs.iter().filter(|r| r.kind == K::NAME) {
            let key: K::Key = serde_json::from_value(one.data.clone()).unwrap();
            let state = self
                .runtime
                .block_on(kind.read(&self.probe, &[key]))
                .remove(0);
            let known = match state {
                Ok(state) => Known::State(serde_json::to_value(state).unwrap()),
                Err(error) => Known::Failed(error.to_string()),
            };
            world.0.insert(one.clone(), known);
        }
    }

    pub(super) fn wanted<M: Module>(&self, args: &Json) -> Result<Wanted, String> {
        let args = self.filled(&args.to_string());
        let args: M::Args = serde_json::from_str(&args).map_err(|e| e.to_string())?;
        M::validate(&args)?;
        let (mut world, none) = (World::default(), LocalFiles::new());
        for _ in 0..12 {
            match M::want(&args, &View::new(&world, &none)) {
                Ok(wanted) => return Ok(wanted),
                Err(Stop::Need(refs)) => {
                    self.read(&FileKind, &refs, &mut world);
                    self.read(&ListingKind, &refs, &mut world);
                    self.read(&ContentKind, &refs, &mut world);
                    self.read(&AccountKind, &refs, &mut world);
                    self.read(&GlobKind, &refs, &mut world);
                    self.read(&Httpd, &refs, &mut world);
                }
                Err(Stop::Refuse(why) | Stop::Unknown(why)) => return Err(why),
            }
        }
        panic!("it asks and asks");
    }

    /// Does it; gives the paths of what was changed.
    pub(super) fn run<M: Module>(&self, args: &Json) -> Result<Vec<String>, String> {
        let changed = self.once::<M>(args)?;
        assert_eq!(self.once::<M>(args)?, Vec::<String>::new(), "a second time");
        Ok(changed)
    }

    fn once<M: Module>(&self, args: &Json) -> Result<Vec<String>, String> {
        let wanted = self.wanted::<M>(args)?;
        let mut changed = Vec::new();
        for one in &wanted.resources {
            let key: FileKey = serde_json::from_value(one.key.data.clone()).unwrap();
            let want: FileWant = serde_json::from_value(one.want.clone()).unwrap();
            let path = &key.path;
            let is_so = match (&want.is, &want.content, &want.link) {
                (Some(FileType::Link), _, Some(to)) => {
                    fs::read_link(path).is_ok_and(|l| l == Path::new(to))
                }
                (Some(FileType::Absent), ..) => fs::symlink_metadata(path).is_err(),
                (_, None, _) => true,
                _ => false,
            };
            if is_so {
                continue;
            }
            changed.push(path.replace(&self.at(""), ""));
            match (&want.content, &want.link) {
                (Some(Source::Bytes(content)), _) => fs::write(path, &content.0).unwrap(),
                (None, Some(to)) => std::os::unix::fs::symlink(to, path).unwrap(),
                _ => fs::remove_file(path).unwrap(),
            }
        }
        Ok(changed)
    }
}
