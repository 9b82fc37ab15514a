//! This machine as a host, as far as the database modules need one, and a small loop in place of the engine.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use runbook_engine::host::{Probe, Target, User};
use runbook_engine::module::{LocalFile, LocalFiles, Module, Stop, Wanted};
use runbook_engine::resource::{Change, KeyedChange, Kind, Ref, WriteError};
use runbook_engine::world::{Known, Lookup, View};
use runbook_modules::postgres::database_kind::PgDatabase;
use runbook_modules::postgres::dump_file::PgDumpFile;
use runbook_modules::postgres::facts_kind::PgFacts;
use runbook_modules::postgres::pg_schema::PgSchemaModule;
use runbook_modules::postgres::rows_kind::PgRows;
use runbook_modules::postgres::schema_kind::PgSchema;
use serde_json::json;

use super::cluster::{Cluster, PASSWORD, USER};

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

    /// What a module wants, without writing: a check.
    pub async fn check<M: Module>(
        &self,
        args: &M::Args,
        local: &LocalFiles,
    ) -> Result<(Wanted, World), String> {
        M::validate(args)?;
        let mut world = World::default();
        for _ in 0..5 {
            match M::want(args, &View::new(&world, local)) {
                Ok(wanted) => return Ok((wanted, world)),
                Err(Stop::Need(refs)) => {
                    self.read(&PgSchema, &refs, &mut world).await;
                    self.read(&PgFacts, &refs, &mut world).await;
                    self.read(&PgDatabase, &refs, &mut world).await;
                    self.read(&PgDumpFile, &refs, &mut world).await;
                    self.read(&PgRows, &refs, &mut world).await;
                    for one in &refs {
                        assert!(world.lookup(one).is_some(), "no kind reads {one}");
                    }
                }
                Err(Stop::Refuse(why)) => return Err(why),
                Err(Stop::Unknown(why)) => panic!("unknown: {why}"),
            }
        }
        panic!("it asks and asks")
    }

    /// The change of a wanted schema; none where it agrees.
    pub fn change(wanted: &Wanted, world: &World) -> Option<KeyedChange<PgSchema>> {
        Self::changes(&PgSchema, wanted, world).pop()
    }

    /// The changes that are wanted of a kind.
    pub fn changes<K: Kind>(kind: &K, wanted: &Wanted, world: &World) -> Vec<KeyedChange<K>> {
        let mut changes = Vec::new();
        for one in &wanted.resources {
            let key: K::Key = serde_json::from_value(one.key.data.clone()).unwrap();
            let want: K::Want = serde_json::from_value(one.want.clone()).unwrap();
            let Some(Known::State(from)) = world.lookup(&one.key) else {
                panic!("{key} was not read")
            };
            let from: K::State = serde_json::from_value(from).unwrap();
            if kind.differences(&want, &from).is_empty() {
                continue;
            }
            let to = kind.predict(&want, &from);
            assert!(kind.differences(&want, &to).is_empty());
            let change = Change { from, to, want };
            changes.push(KeyedChange { key, change });
        }
        changes
    }

    pub async fn write(&self, change: KeyedChange<PgSchema>) -> Result<(), WriteError> {
        PgSchema.write(&self.target, &[change]).await.map(|_| ())
    }

    /// A run: reads, wants, writes, and reads again. What was predicted is what came.
    pub async fn run(&self, args: &Args) -> Result<Wanted, String> {
        let (wanted, world) = self
            .check::<PgSchemaModule>(&args.args(), &args.local)
            .await?;
        if let Some(change) = Self::change(&wanted, &world) {
            let (key, to, want) = (
                change.key.clone(),
                change.change.to.clone(),
                change.change.want.clone(),
            );
            self.write(change).await.map_err(|e| format!("{e:?}"))?;
            let read = PgSchema.read(&self.probe, &[key]).await.remove(0).unwrap();
            assert_eq!(PgSchema.differences(&want, &read), Vec::<String>::new());
            assert_eq!(read, to);
        }
        Ok(wanted)
    }
}

/// Arguments of `pg_schema` for a database of the cluster.
pub struct Args {
    json: serde_json::Value,
    pub local: LocalFiles,
}

impl Args {
    pub fn new(cluster: &Cluster, database: &str, files: &Path, to: &str, parts: &[u8]) -> Self {
        let mut json = json!({
            "server": format!("127.0.0.1:{}", cluster.port),
            "database": database,
            "user": USER,
            "password": PASSWORD,
            "files": {"path": "sql"},
            "to": to,
        });
        if !parts.is_empty() {
            json["parts"] = json!(parts);
        }
        Self {
            json,
            local: LocalFiles::from([("sql".to_owned(), local(files))]),
        }
    }

    pub fn with(mut self, name: &str, value: serde_json::Value) -> Self {
        self.json[name] = value;
        self
    }

    pub fn args(&self) -> <PgSchemaModule as Module>::Args {
        serde_json::from_value(self.json.clone()).unwrap()
    }
}

/// A folder of the controller, as the engine loads it.
pub fn local(path: &Path) -> LocalFile {
    let entries = path.is_dir().then(|| {
        let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
        entries
            .map(|e| {
                (
                    e.file_name().to_string_lossy().into_owned(),
                    local(&e.path()),
                )
            })
            .collect()
    });
    let content = if entries.is_some() {
        Bytes::new()
    } else {
        std::fs::read(path).unwrap().into()
    };
    LocalFile {
        path: path.to_owned(),
        content,
        mode: 0o644,
        entries,
        secret: false,
    }
}
