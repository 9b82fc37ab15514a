//! This machine as a host, as far as the directory modules need one, and a small loop in place of the engine.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use runbook_engine::host::{Probe, Target, User};
use runbook_engine::module::{LocalFile, LocalFiles, Module, Stop, Wanted, reference};
use runbook_engine::resource::{Change, KeyedChange, Kind, Ref, WriteError};
use runbook_engine::world::{Known, Lookup, View};
use runbook_modules::file::FileKind;
use runbook_modules::file::contents::ContentKind;
use runbook_modules::ldap::entry_kind::{EntryKey, LdapEntry};
use runbook_modules::ldap::listing::LdapListing;
use runbook_modules::ldap::schema_kind::LdapSchema;

/// What is known, as the engine would hold it.
#[derive(Default)]
pub struct World(BTreeMap<Ref, Known>);

impl Lookup for World {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.0.get(key).cloned()
    }
}

/// A host and the loop.
pub struct Host {
    pub probe: Probe,
    pub target: Target,
}

/// What a run of a module came to.
pub struct Run {
    pub wanted: Wanted,
    /// Rounds of reading.
    pub rounds: usize,
    /// States read.
    pub reads: usize,
    /// Entries written.
    pub written: usize,
}

impl Host {
    pub fn new() -> Self {
        let connection = runbook_engine::transport::local::connect("localhost", None);
        let probe = Probe::new(connection, User::Login);
        Self {
            target: runbook_engine::testkit::target(probe.clone()),
            probe,
        }
    }

    async fn read<K: Kind>(&self, kind: &K, refs: &[Ref], world: &mut World) {
        let refs: Vec<&Ref> = refs.iter().filter(|r| r.kind == K::NAME).collect();
        let keys: Vec<K::Key> = refs
            .iter()
            .map(|r| serde_json::from_value(r.data.clone()).unwrap())
            .collect();
        if keys.is_empty() {
            return;
        }
        for (key, state) in refs.iter().zip(kind.read(&self.probe, &keys).await) {
            let known = match state {
                Ok(state) => Known::State(serde_json::to_value(state).unwrap()),
                Err(error) => Known::Failed(error.to_string()),
            };
            world.0.insert((*key).clone(), known);
        }
    }

    /// What the module wants, without writing: a check.
    pub async fn check<M: Module>(
        &self,
        args: &M::Args,
        local: &LocalFiles,
    ) -> Result<(Run, World), String> {
        self.check_in::<M>(args, local, Vec::new()).await
    }

    /// The same in a world that knows something beforehand.
    pub async fn check_in<M: Module>(
        &self,
        args: &M::Args,
        local: &LocalFiles,
        known: Vec<(Ref, Known)>,
    ) -> Result<(Run, World), String> {
        M::validate(args)?;
        let mut world = World(known.into_iter().collect());
        let (mut rounds, mut reads) = (0, 0);
        loop {
            match M::want(args, &View::new(&world, local)) {
                Ok(Wanted {
                    failed: Some(why),
                    resources,
                    ..
                }) => {
                    assert!(resources.is_empty(), "it failed and wants something");
                    return Err(why);
                }
                Ok(wanted) => {
                    return Ok((
                        Run {
                            wanted,
                            rounds,
                            reads,
                            written: 0,
                        },
                        world,
                    ));
                }
                Err(Stop::Need(refs)) => {
                    rounds += 1;
                    reads += refs.len();
                    assert!(rounds < 10, "it asks and asks: {refs:?}");
                    self.read(&LdapEntry, &refs, &mut world).await;
                    self.read(&LdapSchema, &refs, &mut world).await;
                    self.read(&LdapListing, &refs, &mut world).await;
                    self.read(&FileKind, &refs, &mut world).await;
                    self.read(&ContentKind, &refs, &mut world).await;
                    for one in &refs {
                        assert!(world.lookup(one).is_some(), "no kind reads {one}");
                    }
                }
                Err(Stop::Refuse(why)) => return Err(why),
                Err(Stop::Unknown(why)) => panic!("unknown: {why}"),
            }
        }
    }

    /// A run: reads, wants, writes, and reads again until it agrees.
    pub async fn run<M: Module>(&self, args: &M::Args, local: &LocalFiles) -> Result<Run, String> {
        let (mut run, world) = self.check::<M>(args, local).await?;
        let changes = self.changes(&run.wanted, &world);
        run.written = changes.len();
        LdapEntry
            .write(&self.target, &changes)
            .await
            .map_err(|e| format!("{e:?}"))?;
        for change in &changes {
            let read = LdapEntry
                .read(&self.probe, std::slice::from_ref(&change.key))
                .await
                .remove(0)
                .unwrap();
            let left = LdapEntry.differences(&change.change.want, &read);
            assert!(left.is_empty(), "{}: {left:?}", change.key.dn);
            // What was predicted is what came.
            assert_eq!(read, change.change.to, "{}", change.key.dn);
        }
        Ok(run)
    }

    /// The changes of wanted entries.
    pub fn changes(&self, wanted: &Wanted, world: &World) -> Vec<KeyedChange<LdapEntry>> {
        let mut changes = Vec::new();
        for one in &wanted.resources {
            assert_eq!(one.key.kind, "ldap-entry");
            let key: EntryKey = serde_json::from_value(one.key.data.clone()).unwrap();
            let want = serde_json::from_value(one.want.clone()).unwrap();
            let Some(Known::State(from)) = world.lookup(&reference::<LdapEntry>(&key)) else {
                panic!("{key} was not read")
            };
            let from = serde_json::from_value(from).unwrap();
            if LdapEntry.differences(&want, &from).is_empty() {
                continue;
            }
            let to = LdapEntry.predict(&want, &from);
            assert!(LdapEntry.differences(&want, &to).is_empty());
            changes.push(KeyedChange {
                key,
                change: Change { from, to, want },
            });
        }
        changes
    }

    /// Writes changes as the engine would.
    pub async fn write(&self, changes: &[KeyedChange<LdapEntry>]) -> Result<(), WriteError> {
        LdapEntry.write(&self.target, changes).await.map(|_| ())
    }
}

/// A folder of the controller, as the engine loads it.
pub fn local(path: &Path) -> LocalFile {
    if path.is_dir() {
        let entries = std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| {
                (
                    e.file_name().to_string_lossy().into_owned(),
                    local(&e.path()),
                )
            })
            .collect();
        return LocalFile {
            path: path.to_owned(),
            content: Bytes::new(),
            mode: 0o755,
            entries: Some(entries),
            secret: false,
        };
    }
    LocalFile {
        path: path.to_owned(),
        content: std::fs::read(path).unwrap().into(),
        mode: 0o644,
        entries: None,
        secret: false,
    }
}
