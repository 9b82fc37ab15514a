//! A daemon on this machine, two small images, containers that go when a test ends, and a small loop in place of the
//! engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use runbook_engine::host::{Probe, Target, User};
use runbook_engine::module::{LocalFiles, Module, Stop, Wanted, WantedState, reference};
use runbook_engine::resource::{Change, Kept, KeyedChange, Kind, Ref, WriteError};
use runbook_engine::world::{Known, Lookup, View};
use runbook_modules::docker::archive::ImageArchive;
use runbook_modules::docker::compose::Project;
use runbook_modules::docker::container::DockerContainer;
use runbook_modules::docker::exec::ExecOutput;
use runbook_modules::docker::image::{Image, ImageFiles};
use runbook_modules::docker::network::Network;
use runbook_modules::docker::registry::RegistryImage;
use runbook_modules::docker::{Container, ContainerKey, ContainerState, ContainerWant};
use runbook_modules::file::FileKind;
use runbook_modules::file::place::PathKind;
use serde_json::{Value as Json, json};

/// Runs a program that is not ours and gives its output.
pub fn outside(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        Ok(text)
    } else {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{program} {args:?}: {said}"))
    }
}

/// `docker`, which has to succeed.
pub fn docker(args: &[&str]) -> String {
    outside("docker", args).unwrap()
}

/// What `docker inspect` says. The daemon lists mounts now in one order and now in another; here they are sorted.
pub fn inspect(name: &str) -> Json {
    let mut list: Json = serde_json::from_str(&docker(&["inspect", name])).unwrap();
    if let Some(mounts) = list[0]["Mounts"].as_array_mut() {
        mounts.sort_by_key(|mount| mount["Destination"].to_string());
    }
    list[0].clone()
}

pub const OLD: &str = "runbook-test/server:1";
pub const NEW: &str = "runbook-test/server:2";
pub const BROKEN: &str = "runbook-test/server:broken";

/// Which making of the images this is: images of another making are made anew.
const MAKING: &str = "org.runbook.test.making=2";

/// Makes the images, out of the machine's own busybox, where they are not there from an earlier test. Tests may be
/// processes of their own: one makes them and the others wait, since a name that moves to another image is a
/// difference. `Err`: why there are none.
fn images() -> Result<(), String> {
    static MADE: OnceLock<Result<(), String>> = OnceLock::new();
    MADE.get_or_init(|| {
        outside("docker", &["info"])?;
        let lock = std::env::temp_dir().join("runbook-test-images.lock");
        let lock = std::fs::File::create(lock).map_err(|e| e.to_string())?;
        lock.lock().map_err(|e| e.to_string())?;
        sweep(|name| maker(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        let filter = format!("label={MAKING}");
        let list = ["images", "-q", "--filter", &filter, "--filter"];
        let made = |name: &str| {
            let reference = format!("reference={name}");
            let args = [&list[..], &[reference.as_str()]].concat();
            outside("docker", &args).is_ok_and(|ids| !ids.is_empty())
        };
        if [OLD, NEW, BROKEN].into_iter().all(made) {
            return Ok(());
        }
        let busybox = outside("sh", &["-c", "command -v busybox"])
            .map_err(|_| "no busybox on this machine".to_owned())?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let root = folder.path().to_string_lossy().into_owned();
        let script = format!(
            "set -e; cd {root}; mkdir -p root/bin root/etc/data/deep root/data; cp -L {busybox} root/bin/busybox; \
             for l in $(ldd {busybox} 2>/dev/null | grep -o '/[^ ]*'); do mkdir -p root$(dirname $l); cp -L $l root$l; done; \
             for p in sh sleep nc httpd cat echo id env ls mkdir; do ln -s busybox root/bin/$p; done; \
             echo one > root/etc/data/a.ldif; echo two > root/etc/data/deep/b.ldif; ln -s a.ldif root/etc/data/link.ldif; \
             tar -C root -cf all.tar ."
        );
        outside("sh", &["-c", &script])?;
        let archive = format!("{root}/all.tar");
        let import = |reference: &str, changes: &[&str]| {
            let label = format!("LABEL {MAKING}");
            let mut args = vec!["import", "--change", &label];
            for change in changes {
                args.extend(["--change", change]);
            }
            args.extend([archive.as_str(), reference]);
            outside("docker", &args).map(drop)
        };
        import(
            OLD,
            &[
                "ENV PATH=/bin OF_IMAGE=old ONLY_OLD=1",
                "VOLUME /data",
                "EXPOSE 80",
                "LABEL version=1",
                "CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/etc\"]",
            ],
        )?;
        import(
            NEW,
            &[
                "ENV PATH=/bin OF_IMAGE=new",
                "VOLUME /data",
                "EXPOSE 80",
                "LABEL version=2",
                "CMD [\"sh\", \"-c\", \"httpd -f -p 80 -h /etc/data\"]",
            ],
        )?;
        import(
            BROKEN,
            &[
                "ENV PATH=/bin",
                "CMD [\"sh\", \"-c\", \"echo spoiled > /kept/file; echo the configuration is wrong; exit 3\"]",
            ],
        )
    })
    .clone()
}

/// The process whose test has given this name (see [`Host::name`]).
fn maker(name: &str) -> Option<u32> {
    let (pid, _) = name.split_once("rbt-")?.1.split_once('-')?;
    pid.parse().ok()
}

/// Removes the containers, networks and images of tests with these names: of this one at its end, and of those that
/// were killed before theirs, since a container that is left over uses an image that another test may want to remove.
fn sweep(chosen: impl Fn(&str) -> bool) {
    let image = "{{.Repository}}:{{.Tag}}";
    for (list, remove) in [
        (
            &["ps", "-a", "--format", "{{.Names}}"][..],
            &["rm", "-fv"][..],
        ),
        (
            &["network", "ls", "--format", "{{.Name}}"],
            &["network", "rm"],
        ),
        (&["images", "--format", image], &["rmi", "-f"]),
    ] {
        let names = outside("docker", list).unwrap_or_default();
        for name in names.lines().filter(|n| chosen(n)) {
            let _ = outside("docker", &[remove, &[name]].concat());
        }
    }
}

/// A test's own corner of the daemon.
pub struct Host {
    pub probe: Probe,
    pub target: Target,
    prefix: String,
}

/// What is known, as the engine would hold it.
#[derive(Default, Debug)]
pub struct World(BTreeMap<Ref, Known>);

impl Lookup for World {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        self.0.get(key).cloned()
    }
}

/// What a run of `docker_container` came to.
#[derive(Debug)]
pub struct Run {
    pub wanted: Wanted,
    pub changed: bool,
    pub kept: Vec<Kept>,
}

impl Host {
    /// `None`, said: there is no daemon to be tested with.
    pub fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if let Err(why) = images() {
            crate::skip::skip(test, &why);
            return None;
        }
        let connection = runbook_engine::transport::local::connect("localhost", None);
        let probe = Probe::new(connection, User::Login);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            target: runbook_engine::testkit::target(probe.clone()),
            probe,
            prefix: format!("rbt-{}-{number}", std::process::id()),
        })
    }

    /// A name that is this test's own.
    pub fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.prefix)
    }

    /// `docker run -d --name … ARGS`, as a person does it.
    pub fn by_hand(&self, of: &str, args: &[&str]) -> String {
        let name = self.name(of);
        let mut all = vec!["run", "-d", "--name", &name];
        all.extend(args);
        docker(&all);
        name
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

    pub async fn check<M: Module>(
        &self,
        args: &Json,
        local: &LocalFiles,
    ) -> Result<(Wanted, World), String> {
        let args: M::Args = serde_json::from_value(args.clone()).map_err(|e| e.to_string())?;
        M::validate(&args)?;
        let mut world = World::default();
        for _ in 0..6 {
            match M::want(&args, &View::new(&world, local)) {
                Ok(wanted) => {
                    let unread: Vec<Ref> = wanted.resources.iter().map(|r| r.key.clone()).collect();
                    let unread: Vec<Ref> = unread
                        .into_iter()
                        .filter(|r| world.lookup(r).is_none())
                        .collect();
                    self.read(&Network, &unread, &mut world).await;
                    self.read(&FileKind, &unread, &mut world).await;
                    return Ok((wanted, world));
                }
                Err(Stop::Need(refs)) => {
                    self.read(&Container, &refs, &mut world).await;
                    self.read(&Image, &refs, &mut world).await;
                    self.read(&ImageFiles, &refs, &mut world).await;
                    self.read(&ImageArchive, &refs, &mut world).await;
                    self.read(&RegistryImage, &refs, &mut world).await;
                    self.read(&Network, &refs, &mut world).await;
                    self.read(&ExecOutput, &refs, &mut world).await;
                    self.read(&Project, &refs, &mut world).await;
                    self.read(&FileKind, &refs, &mut world).await;
                    self.read(&PathKind, &refs, &mut world).await;
                    for one in &refs {
                        assert!(world.lookup(one).is_some(), "no kind reads {one}");
                    }
                }
                Err(Stop::Refuse(why)) => return Err(why),
                Err(Stop::Unknown(why)) => panic!("unknown: {why}"),
            }
        }
        panic!("it asks and asks");
    }

    /// The one change of a kind that is wanted, if it is one.
    pub fn change<K: Kind>(
        &self,
        kind: &K,
        wanted: &Wanted,
        world: &World,
    ) -> Option<KeyedChange<K>> {
        self.change_of(kind, wanted.resources.first()?, world)
    }

    /// The change of this resource, if it is one.
    fn change_of<K: Kind>(
        &self,
        kind: &K,
        one: &WantedState,
        world: &World,
    ) -> Option<KeyedChange<K>> {
        assert_eq!(one.key.kind, K::NAME);
        let key: K::Key = serde_json::from_value(one.key.data.clone()).unwrap();
        let want: K::Want = serde_json::from_value(one.want.clone()).unwrap();
        let Some(Known::State(from)) = world.lookup(&reference::<K>(&key)) else {
            panic!("{key} was not read")
        };
        let from: K::State = serde_json::from_value(from).unwrap();
        let to = kind.predict(&want, &from);
        assert_eq!(kind.differences(&want, &to), Vec::<String>::new(), "law 2");
        if kind.differences(&want, &from).is_empty() {
            return None;
        }
        Some(KeyedChange {
            key,
            change: Change { from, to, want },
        })
    }

    /// Reads, wants, writes, reads again until it agrees.
    pub async fn run_kind<M: Module, K: Kind>(
        &self,
        kind: &K,
        args: &Json,
        local: &LocalFiles,
    ) -> Result<Run, String> {
        let (wanted, world) = self.check::<M>(args, local).await?;
        let Some(change) = self.change(kind, &wanted, &world) else {
            return Ok(Run {
                wanted,
                changed: false,
                kept: Vec::new(),
            });
        };
        let (key, want) = (change.key.clone(), change.change.want.clone());
        let kept = kind
            .write(&self.target, &[change])
            .await
            .map_err(|e| match e {
                WriteError::Failed {
                    message,
                    left: Some(left),
                } => format!("{message}\nLEFT: {left}"),
                other => other.to_string(),
            })?;
        let now = kind.read(&self.probe, std::slice::from_ref(&key)).await;
        let now = now.into_iter().next().unwrap().unwrap();
        assert_eq!(kind.differences(&want, &now), Vec::<String>::new(), "law 3");
        Ok(Run {
            wanted,
            changed: true,
            kept,
        })
    }

    /// Writes what a module wants of one kind, and reads until it agrees. Gives the differences that there were.
    pub async fn write_all<K: Kind>(
        &self,
        kind: &K,
        wanted: &Wanted,
        world: &World,
    ) -> Result<Vec<String>, String> {
        let own = wanted.resources.iter().filter(|r| r.key.kind == K::NAME);
        let changes: Vec<KeyedChange<K>> = own
            .filter_map(|one| self.change_of(kind, one, world))
            .collect();
        let mut lines = Vec::new();
        for change in &changes {
            lines.extend(kind.differences(&change.change.want, &change.change.from));
        }
        let done = kind.write(&self.target, &changes).await;
        done.map_err(|e| e.to_string())?;
        let keys: Vec<K::Key> = changes.iter().map(|c| c.key.clone()).collect();
        for (change, now) in changes.iter().zip(kind.read(&self.probe, &keys).await) {
            let differs = kind.differences(&change.change.want, &now.unwrap());
            assert_eq!(differs, Vec::<String>::new(), "law 3 for {}", change.key);
        }
        Ok(lines)
    }

    /// `docker_container` with these arguments.
    pub async fn run(&self, args: &Json) -> Result<Run, String> {
        self.run_kind::<DockerContainer, _>(&Container, args, &LocalFiles::new())
            .await
    }

    /// The state of a container as the kind reads it.
    pub async fn state(&self, name: &str) -> ContainerState {
        let key = ContainerKey {
            name: name.to_owned(),
        };
        Container.read(&self.probe, &[key]).await.remove(0).unwrap()
    }

    /// The change that `docker_container` would make.
    pub async fn container_change(&self, args: &Json) -> KeyedChange<Container> {
        let (wanted, world) = self
            .check::<DockerContainer>(args, &LocalFiles::new())
            .await
            .unwrap();
        self.change(&Container, &wanted, &world).unwrap()
    }
}

/// Arguments for a container with the quick health check of these images.
pub fn healthy(name: &str, image: &str) -> Json {
    json!({"name": name, "image": image, "healthy": {"tcp": 80, "within": "20s"}, "stop_timeout": 1})
}

pub fn want_of(change: &KeyedChange<Container>) -> &ContainerWant {
    &change.change.want
}

impl Drop for Host {
    fn drop(&mut self) {
        let own = self.name("");
        sweep(|name| name.contains(&own));
    }
}
