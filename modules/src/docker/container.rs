//! The module `docker_container`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook_engine::action::Effects;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Mark, Module, Stop, Wanted as WantedAll, reference};
use runbook_engine::resource::{Kind, contains};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::image::{Image, ImageKey};
use super::kind::Container;
use super::network::{Network, NetworkKey};
use super::oneshot::{LABEL, Oneshot, OneshotCall, OneshotRun};
use super::restart::{Restart, RestartCall};
use super::state::{
    ContainerKey, ContainerState, ContainerWant, Healthy, Mount, Wanted, WantedImage, WantedNetwork,
};
use super::{desired, spec};
use crate::file::place::PathKind;
use crate::file::{FileKey, FileKind};

/// The module.
pub struct DockerContainer;

/// What a container shall be. What is left out stays as it is; a new container gets Docker's default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Name of the container.
    pub name: String,
    /// What it shall be doing: `started` (the default), `present`, `stopped`, `absent`, or `restarted`, which is an
    /// action for handlers, or `oneshot`: made, waited for until it has done its work, and removed.
    #[serde(default)]
    pub state: State,
    /// Its image, `repository:tag`. It has to be on the host (`docker_image` brings it). Images are compared by id, so
    /// another content under the same tag is seen.
    #[serde(default)]
    pub image: Option<String>,
    /// Variables to be set. Others that it has are kept; one that was set by the task before and is not named any more
    /// is taken away.
    #[serde(default)]
    pub env: Option<BTreeMap<String, String>>,
    /// Published ports, `[address:]port:port[/udp]`; all of them.
    #[serde(default, alias = "published_ports")]
    pub ports: Option<Vec<String>>,
    /// Mounts, `source:target[:ro]`; all of them, but for volumes without a name, which are kept.
    #[serde(default)]
    pub volumes: Option<Vec<String>>,
    /// Networks, the first one being its own: `[{name: dcm4chee_default, aliases: [ldap]}]`.
    #[serde(default)]
    pub networks: Option<Vec<NetworkArg>>,
    /// When Docker starts it again: `no`, `always`, `unless-stopped`, `on-failure[:n]`.
    #[serde(default)]
    pub restart_policy: Option<String>,
    /// Most memory: bytes, or with a unit as in `512M`, `2G`.
    #[serde(default)]
    pub memory: Option<String>,
    /// Further names that it knows: name → address.
    #[serde(default)]
    pub etc_hosts: Option<BTreeMap<String, String>>,
    /// Command, word by word (a text is taken apart at blanks).
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Entrypoint, word by word.
    #[serde(default)]
    pub entrypoint: Option<Vec<String>>,
    /// Its own host name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// User within it.
    #[serde(default)]
    pub user: Option<String>,
    /// Labels to be set.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Folder in which its command runs.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// The network that is its own, where `networks` is not given: `bridge`, `host`, `none`, `container:NAME`, or the
    /// name of a network.
    #[serde(default)]
    pub network_mode: Option<String>,
    /// Most processor time; 1.5 is one and a half processors.
    #[serde(default)]
    pub cpus: Option<f64>,
    /// Make it anew though nothing differs.
    #[serde(default)]
    pub recreate: bool,
    /// When it counts as healthy after a start; without it: when it has run for two seconds without being restarted.
    #[serde(default)]
    pub healthy: Option<Healthy>,
    /// Seconds that it may take to stop before it is killed (Docker's default: 10).
    #[serde(default)]
    pub stop_timeout: Option<i64>,
    /// Paths on the host that it mounts for writing, of which a copy is kept when it is replaced, made while it is
    /// stopped.
    #[serde(default)]
    pub save: Vec<String>,
    /// Directories on the host that it mounts, each with an archive on the host (`.tar.gz`, as `directory_dump` writes it) whose
    /// content takes the place of what is in the directory when the container is replaced, while none runs. They have to be
    /// among `save`, so that what is there now can come back.
    #[serde(default)]
    pub unpack: BTreeMap<String, String>,
    /// With `oneshot`: when it has done its work, and what that is.
    #[serde(default)]
    pub oneshot: Option<Oneshot>,
    /// With `absent`: remove the volumes without a name too (`docker rm -v`). What they hold is lost.
    #[serde(default)]
    pub remove_volumes: bool,
}

/// What it shall be doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Exist and run.
    #[default]
    Started,
    /// Exist.
    Present,
    /// Exist and not run.
    Stopped,
    /// Not exist.
    Absent,
    /// Be stopped and started again, now.
    Restarted,
    /// Be made, do its work, and go.
    Oneshot,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkArg {
    /// Its name.
    pub name: String,
    /// Names of the container in it.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// A time: `30s`, `5m`, `1h`, or seconds.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..at].parse().ok()?;
    match text[at..].trim() {
        "" | "s" => Some(number),
        "m" | "min" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    }
}

/// A size: bytes, or with K, M, G.
fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: i64 = text[..at].parse().ok()?;
    let shift = match text[at..]
        .trim()
        .to_ascii_uppercase()
        .trim_end_matches('B')
        .trim_end_matches('I')
    {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn words(list: Option<&Vec<String>>) -> Option<Vec<String>> {
    list.map(|list| match list.as_slice() {
        [one] if one.contains(' ') => one.split_whitespace().map(str::to_owned).collect(),
        _ => list.clone(),
    })
}

impl Args {
    fn key(&self) -> ContainerKey {
        ContainerKey {
            name: self.name.clone(),
        }
    }

    /// Whether `oneshot` goes with the other arguments.
    fn can_go(&self) -> Result<(), String> {
        let work = self.oneshot.as_ref();
        if self.state != State::Oneshot {
            return match work {
                Some(_) => Err("`oneshot` goes with `state: oneshot`".to_owned()),
                None => Ok(()),
            };
        }
        if self.image.is_none() {
            return Err("`state: oneshot` makes a container: name its `image`".to_owned());
        }
        if self.restart_policy.as_deref().is_some_and(|p| p != "no") {
            return Err(
                "with `state: oneshot` Docker does not start it again: leave out `restart_policy`"
                    .to_owned(),
            );
        }
        if self.recreate || !self.save.is_empty() || !self.unpack.is_empty() {
            return Err(
                "`recreate`, `save` and `unpack` go with a container that is replaced".to_owned(),
            );
        }
        work.map_or(Ok(()), Oneshot::validate)
    }

    /// The action that makes it, waits for it and removes it.
    fn once(
        &self,
        state: &ContainerState,
        want: ContainerWant,
        world: &View<'_>,
    ) -> Result<WantedAll, Stop> {
        let name = &self.name;
        let work = self.oneshot.clone().unwrap_or_default();
        if let Some(path) = &work.creates
            && world.get::<PathKind>(&FileKey::following(path))?.is != FileType::Absent
        {
            return Ok(WantedAll {
                skipped: Some(format!("{path} exists")),
                ..WantedAll::default()
            });
        }
        // One of an attempt that failed or was cut off gives way.
        let left = state.exists && state.labels().contains_key(LABEL);
        if state.exists && !left {
            return Err(Stop::refuse(format!(
                "there is a container {name} already; `state: oneshot` makes one of its own and removes it"
            )));
        }
        let effects = work.effects();
        let call = OneshotCall {
            name: name.clone(),
            want,
            work,
        };
        let image = self.image.as_deref().unwrap_or_default();
        let summary = format!("{name} is made from {image}, does its work and goes");
        let mut wanted = WantedAll::action::<OneshotRun>(&call, effects, summary);
        wanted.notes.extend(left.then(|| {
            format!("a container {name} that an attempt before has left is removed first")
        }));
        Ok(wanted)
    }

    /// Whether what `unpack` names is what it should be, as far as that can be seen beforehand.
    fn can_unpack(&self, state: &ContainerState, world: &View<'_>) -> Result<(), Stop> {
        if !self.unpack.is_empty() && !state.exists {
            return Err(Stop::refuse(format!(
                "`unpack`: there is no container {} to be replaced; unpack the archives by hand",
                self.name
            )));
        }
        let keys = self.unpack.iter().flat_map(|(path, archive)| {
            [FileKey::new(path), FileKey::following(archive)].map(|key| reference::<PathKind>(&key))
        });
        world.need(&keys.collect::<Vec<_>>())?;
        for path in self.unpack.keys() {
            let path = path.trim_end_matches('/');
            let mounts = |m: &&Mount| {
                let source = m.source.trim_end_matches('/');
                !m.read_only && m.kind == "bind" && (source == path || contains(source, path))
            };
            if !state.mounts.iter().any(|m| mounts(&m)) {
                let there: Vec<&str> = state.mounts.iter().map(|m| m.source.as_str()).collect();
                return Err(Stop::refuse(format!(
                    "`unpack`: {path} is no directory that {} mounts for writing ({})",
                    self.name,
                    there.join(", ")
                )));
            }
        }
        // Before the directories: what is in these may be unknown, while it is known that there is nothing to be unpacked.
        for (path, archive) in &self.unpack {
            let path = path.trim_end_matches('/');
            if world.get::<PathKind>(&FileKey::following(archive))?.is != FileType::File {
                return Err(Stop::refuse(format!(
                    "`unpack`: there is no file {archive} to be unpacked into {path}; name one that `directory_dump` has written"
                )));
            }
        }
        for path in self.unpack.keys() {
            let path = path.trim_end_matches('/');
            if world.get::<PathKind>(&FileKey::new(path))?.is == FileType::Link {
                return Err(Stop::refuse(format!(
                    "`unpack`: {path} is a link; name what it leads to"
                )));
            }
        }
        Ok(())
    }

    fn want(&self, image: Option<WantedImage>) -> ContainerWant {
        let within = self
            .healthy
            .as_ref()
            .and_then(|h| h.within.as_deref())
            .and_then(seconds)
            .unwrap_or(60);
        ContainerWant {
            state: match self.state {
                State::Started | State::Restarted | State::Oneshot => Wanted::Started,
                State::Present => Wanted::Present,
                State::Stopped => Wanted::Stopped,
                State::Absent => Wanted::Absent,
            },
            image,
            env: self.env.clone(),
            ports: self.ports.clone(),
            volumes: self.volumes.clone(),
            networks: self.networks.as_ref().map(|list| {
                list.iter()
                    .map(|n| WantedNetwork {
                        name: n.name.clone(),
                        aliases: n.aliases.clone(),
                    })
                    .collect()
            }),
            restart_policy: self.restart_policy.clone(),
            memory: self.memory.as_deref().and_then(bytes),
            etc_hosts: self.etc_hosts.clone(),
            command: words(self.command.as_ref()),
            entrypoint: words(self.entrypoint.as_ref()),
            hostname: self.hostname.clone(),
            user: self.user.clone(),
            labels: self.labels.clone(),
            working_dir: self.working_dir.clone(),
            network_mode: self.network_mode.clone(),
            cpus: self.cpus,
            recreate: None,
            healthy: self.healthy.clone(),
            within,
            stop_timeout: self.stop_timeout,
            save: self.save.clone(),
            unpack: self.unpack.clone(),
            remove_volumes: self.remove_volumes,
            earlier: None,
            compose: None,
        }
    }
}

impl Module for DockerContainer {
    type Args = Args;

    const NAME: &'static str = "docker_container";
    const SUMMARY: &'static str = "Makes, replaces, starts, stops and removes a container.";
    const DOC: &'static str = include_str!("container.md");

    fn validate(args: &Args) -> Result<(), String> {
        if args.name.is_empty()
            || !args
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        {
            return Err(format!("`{}` is no name of a container", args.name));
        }
        if let Some(memory) = args.memory.as_deref().filter(|m| bytes(m).is_none()) {
            return Err(format!(
                "`memory: {memory}` is no size; write bytes, or 512M, 2G"
            ));
        }
        if let Some(within) = args
            .healthy
            .as_ref()
            .and_then(|h| h.within.as_deref())
            .filter(|w| seconds(w).is_none())
        {
            return Err(format!(
                "`within: {within}` is no time; write 30s, 5m or seconds"
            ));
        }
        if let Some(policy) = &args.restart_policy {
            let name = policy.split(':').next().unwrap_or_default();
            if !matches!(name, "no" | "always" | "unless-stopped" | "on-failure") {
                return Err(format!(
                    "`restart_policy: {policy}`: there are no, always, unless-stopped, on-failure[:n]"
                ));
            }
        }
        for volume in args.volumes.iter().flatten() {
            if !desired::mount_of(volume).target.starts_with('/') {
                return Err(format!(
                    "`{volume}` is no mount; write source:target[:ro] with an absolute target"
                ));
            }
        }
        if !args.unpack.is_empty() && matches!(args.state, State::Absent | State::Restarted) {
            return Err("`unpack` goes with a container that is made or replaced".to_owned());
        }
        for (path, archive) in &args.unpack {
            if !args.save.contains(path) {
                return Err(format!(
                    "`unpack`: {path} has to be among `save` too, so that what is there now can come back"
                ));
            }
            if contains(path, archive) {
                return Err(format!(
                    "`unpack`: {archive} lies in {path}, whose content goes; move it elsewhere"
                ));
            }
            for path in [path, archive] {
                if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                    return Err(format!("`unpack`: `{path}` is no absolute path"));
                }
            }
        }
        args.can_go()?;
        if args.remove_volumes && args.state != State::Absent {
            return Err("`remove_volumes` goes with `state: absent`".to_owned());
        }
        Ok(())
    }

    fn touches(args: &Args) -> Footprint {
        let mut footprint = Footprint::nothing().writes(Container::NAME, &args.name);
        if args.state == State::Oneshot {
            let work = args.oneshot.clone().unwrap_or_default();
            match work.effects() {
                Effects::Opaque => return Footprint::everything(),
                effects => footprint.writes.extend(effects.marks().iter().cloned()),
            }
        }
        if let Some(image) = &args.image {
            footprint = footprint.reads(Image::NAME, image);
        }
        for network in args.networks.iter().flatten() {
            footprint = footprint.reads(Network::NAME, &network.name);
        }
        for volume in args.volumes.iter().flatten() {
            let mount = desired::mount_of(volume);
            if mount.kind == "bind" {
                footprint = footprint.reads("file", mount.source);
            }
        }
        args.unpack.iter().fold(footprint, |f, (path, archive)| {
            f.reads(FileKind::NAME, archive)
                .writes(FileKind::NAME, path)
        })
    }

    fn want(args: &Args, world: &View<'_>) -> Result<WantedAll, Stop> {
        let key = args.key();
        let mut needed = vec![reference::<Container>(&key)];
        let image_key = args.image.as_ref().map(|i| ImageKey {
            reference: i.clone(),
        });
        needed.extend(image_key.iter().map(reference::<Image>));
        let network_keys: Vec<NetworkKey> = args
            .networks
            .iter()
            .flatten()
            .map(|n| NetworkKey {
                name: n.name.clone(),
            })
            .collect();
        needed.extend(network_keys.iter().map(reference::<Network>));
        world.need(&needed)?;
        let state = world.get::<Container>(&key)?;
        let name = &args.name;
        if args.state == State::Restarted {
            if !state.exists {
                return Err(Stop::refuse(format!(
                    "there is no container {name} to be restarted"
                )));
            }
            let call = RestartCall {
                name: name.clone(),
                want: args.want(None),
            };
            let effects = Effects::Changes(vec![Mark {
                kind: Container::NAME.to_owned(),
                id: name.clone(),
            }]);
            return Ok(WantedAll::action::<Restart>(
                &call,
                effects,
                format!("{name} restarted"),
            ));
        }
        let image = match &image_key {
            None => None,
            Some(key) => {
                let image = world.get::<Image>(key)?;
                let Some(id) = image.id else {
                    return Err(Stop::refuse(format!(
                        "image {key} is not on the host; bring it with `docker_image` (in the upgrade: tag `stage`)"
                    )));
                };
                if id.is_empty() {
                    return Err(Stop::Unknown(format!("until image {key} is on the host")));
                }
                Some(WantedImage {
                    reference: key.reference.clone(),
                    id,
                    config: image.config,
                })
            }
        };
        for network in &network_keys {
            if !world.get::<Network>(network)?.exists {
                let now: Vec<&str> = state.networks.keys().map(String::as_str).collect();
                let now = match now.as_slice() {
                    [] => String::new(),
                    networks => format!(" ({name} is in {} now)", networks.join(", ")),
                };
                return Err(Stop::refuse(format!(
                    "there is no network {network}{now}; make it with `docker_network`"
                )));
            }
        }
        if !state.exists && args.state != State::Absent && image.is_none() {
            return Err(Stop::refuse(format!(
                "there is no container {name}; to make it, name its `image`"
            )));
        }
        if !args.unpack.is_empty() && !state.exists {
            return Err(Stop::refuse(format!(
                "`unpack`: there is no container {name} to be replaced; unpack the archives by hand"
            )));
        }
        if args.state == State::Oneshot {
            return args.once(&state, args.want(image), world);
        }
        let compose = state.labels().get("com.docker.compose.project").cloned();
        let mut want = args.want(image);
        if args.recreate && state.exists {
            want.recreate = Some(state.id.clone());
        }
        let differences = spec::differences(&want, &state);
        let only_doing = differences.anew.is_empty() && differences.in_place.is_empty();
        if let Some(project) = compose.filter(|_| !only_doing || args.state == State::Absent) {
            return Err(Stop::refuse(format!(
                "container {name} belongs to the compose project {project}, which would make it anew from its own file: \
                 change it with `docker_compose`"
            )));
        }
        let mut wanted = WantedAll::one::<Container>(&key, &want);
        if differences.anew.is_empty() {
            wanted.notes.extend(args.unpack.keys().map(|path| {
                format!("{path} stays as it is, since {name} is not replaced; `recreate: true` replaces it")
            }));
        } else {
            args.can_unpack(&state, world)?;
        }
        if !differences.lines().is_empty() {
            let mut summary = format!("{name} {}", differences.lines().join("; "));
            if !differences.anew.is_empty() && state.exists {
                for (path, archive) in &args.unpack {
                    wanted.notes.push(format!(
                        "what is in {path} is replaced by what {archive} holds"
                    ));
                    wanted.stirs.push(Mark {
                        kind: FileKind::NAME.to_owned(),
                        id: path.clone(),
                    });
                }
                let kept = spec::kept(&want, &state);
                if !kept.is_empty() {
                    summary.push_str(&format!(" (kept: {kept})"));
                }
                let goes_on = |source: &str| match &args.volumes {
                    Some(volumes) => volumes.iter().any(|v| v.starts_with(&format!("{source}:"))),
                    None => true,
                };
                let writes = state
                    .mounts
                    .iter()
                    .filter(|m| !m.read_only && m.kind == "bind" && goes_on(&m.source));
                let unsaved: Vec<&str> = writes
                    .map(|m| m.source.as_str())
                    .filter(|s| !args.save.iter().any(|saved| s.starts_with(saved.as_str())))
                    .collect();
                if !unsaved.is_empty() && args.image.is_some() {
                    wanted.notes.push(format!(
                        "going back brings back the container, not what the new one writes to {}",
                        unsaved.join(", ")
                    ));
                }
            }
            if args.state == State::Absent {
                let anonymous = state.mounts.iter().filter(|m| m.anonymous).count();
                if anonymous > 0 {
                    let fate = if args.remove_volumes {
                        "are removed with it"
                    } else {
                        "stay"
                    };
                    wanted
                        .notes
                        .push(format!("{anonymous} volumes without a name {fate}"));
                }
            }
            wanted.summary = Some(summary);
        }
        Ok(wanted)
    }

    fn output(args: &Args, _: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        let Ok(state) = after.get::<Container>(&args.key()) else {
            return IndexMap::new();
        };
        let known = |text: String| {
            if text.is_empty() && state.exists {
                Value::Unknown("the daemon gives it".to_owned())
            } else {
                Value::Str(text)
            }
        };
        let fixed = |key: &str| Value::from_json(state.host.get(key).unwrap_or(&Json::Null));
        let named = state.mounts.iter().filter(|m| !m.anonymous);
        let volumes = named.map(|m| Value::Str(super::body::written(m))).collect();
        let container = IndexMap::from([
            ("exists".to_owned(), Value::Bool(state.exists)),
            ("running".to_owned(), Value::Bool(state.running)),
            ("image".to_owned(), Value::Str(state.image.clone())),
            ("image_id".to_owned(), Value::Str(state.image_id.clone())),
            ("id".to_owned(), known(state.id.clone())),
            ("started_at".to_owned(), known(state.started_at.clone())),
            ("ports".to_owned(), fixed("PortBindings")),
            ("volumes".to_owned(), Value::List(volumes)),
            (
                "mounts".to_owned(),
                Value::List(
                    state
                        .mounts
                        .iter()
                        .map(|m| {
                            Value::Map(IndexMap::from([
                                ("source".to_owned(), Value::Str(m.source.clone())),
                                ("target".to_owned(), Value::Str(m.target.clone())),
                                ("read_only".to_owned(), Value::Bool(m.read_only)),
                            ]))
                        })
                        .collect(),
                ),
            ),
        ]);
        IndexMap::from([("container".to_owned(), Value::Map(container))])
    }
}
