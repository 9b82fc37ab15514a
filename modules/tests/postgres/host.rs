//! This machine as a host, as far as the database modules need one, and a small loop in place of the engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use runbook_engine::host::{
    Address, Command, Connection, Cost, Finished, HostError, Probe, Reply, Stream, Target, User,
};
use runbook_engine::module::{LocalFile, LocalFiles, Module, Stop, Wanted};
use runbook_engine::resource::{Change, KeyedChange, Kind, Ref, WriteError};
use runbook_engine::world::{Known, Lookup, View};
use runbook_modules::postgres::facts_kind::PgFacts;
use runbook_modules::postgres::ledger::SchemaState;
use runbook_modules::postgres::pg_schema::PgSchemaModule;
use runbook_modules::postgres::schema_kind::{PgSchema, SchemaKey, SchemaWant};
use serde_json::json;

use super::cluster::{Cluster, PASSWORD, USER};

/// Opens sockets of this machine and runs commands on it.
struct Here;

#[async_trait]
impl Connection for Here {
    async fn shell(
        &self,
        _: &User,
        script: &str,
        stdin: Option<Bytes>,
    ) -> Result<Reply, HostError> {
        let (status, stdout, stderr) = run(
            &["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
            stdin,
        )
        .await;
        Ok(Reply {
            status,
            stdout,
            stderr,
        })
    }
    async fn open(&self, _: &User, address: &Address) -> Result<Stream, HostError> {
        let failed = |e: std::io::Error| HostError::failed(e.to_string());
        Ok(match address {
            Address::Unix(path) => Box::new(
                tokio::net::UnixStream::connect(path)
                    .await
                    .map_err(failed)?,
            ),
            Address::Tcp(host, port) => {
                let stream = tokio::net::TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                Box::new(stream)
            }
        })
    }
    async fn upload(&self, _: &User, path: &str, _: Bytes) -> Result<(), HostError> {
        Err(HostError::failed(format!(
            "no uploads in this test: {path}"
        )))
    }
    async fn command(&self, _: &User, command: &Command, _: &str) -> Result<Finished, HostError> {
        let stdin = command.stdin.clone().map(Bytes::from);
        let (status, stdout, stderr) = run(&command.argv, stdin).await;
        Ok(Finished {
            status,
            stdout,
            stderr,
            started_ms: 0,
            ended_ms: 0,
            timed_out: false,
        })
    }
    fn cost(&self) -> Cost {
        Cost::default()
    }
    async fn close(&self) {}
}

async fn run(argv: &[String], stdin: Option<Bytes>) -> (i32, Bytes, Bytes) {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&stdin.unwrap_or_default()).await.unwrap();
    drop(pipe);
    let out = child.wait_with_output().await.unwrap();
    (
        out.status.code().unwrap_or(255),
        out.stdout.into(),
        out.stderr.into(),
    )
}

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
        let probe = Probe::new(Arc::new(Here), User::Login);
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
        let one = wanted.resources.first()?;
        let key: SchemaKey = serde_json::from_value(one.key.data.clone()).unwrap();
        let want: SchemaWant = serde_json::from_value(one.want.clone()).unwrap();
        let Some(Known::State(from)) = world.lookup(&one.key) else {
            panic!("{key} was not read")
        };
        let from: SchemaState = serde_json::from_value(from).unwrap();
        if PgSchema.differences(&want, &from).is_empty() {
            return None;
        }
        let to = PgSchema.predict(&want, &from);
        assert!(PgSchema.differences(&want, &to).is_empty());
        Some(KeyedChange {
            key,
            change: Change { from, to, want },
        })
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
    }
}
