//! The module `docker_compose`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, path_help, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::container::seconds;
use super::super::image::{Image, ImageKey, ImageState};
use super::super::kind::Container;
use super::super::network::Network;
use super::super::spec;
use super::super::state::{
    ContainerKey, ContainerState, ContainerWant, Healthy, Wanted as Doing, WantedImage,
};
use super::config::Config;
use super::file::{self, File};
use super::less::less;
use super::order::in_order;
use super::project::{Project, ProjectKey, ProjectState};
use super::{Call, Composed};
use crate::file::contents::{ContentKind, bytes_of};
use crate::file::edit::{Edited, Frame};
use crate::file::state::{FileKey, join, tidy};
use crate::file::target::backups;
use crate::file::{FileKind, account::AccountKind};

/// The module.
pub struct DockerCompose;

/// A project of Docker Compose, or some of its services.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// Folder of the project, an absolute path.
    pub project_src: String,
    /// Name of the project (`-p`). Without it what compose takes: `COMPOSE_PROJECT_NAME` in `.env`, `name` in the files, or
    /// what is made of the folder's name.
    #[serde(default)]
    pub project_name: Option<String>,
    /// Files of the project, relative to its folder or absolute; later ones are put over earlier ones. Without them
    /// what compose takes: `compose.yaml`, `compose.yml`, `docker-compose.yml` or `docker-compose.yaml`, and the
    /// `.override` that belongs to it.
    #[serde(default)]
    pub files: Option<Vec<String>>,
    /// Files with variables for the files (`--env-file`), in place of `.env`.
    #[serde(default)]
    pub env_files: Vec<String>,
    /// Profiles whose services count, too.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Services that are meant; all of them without it.
    #[serde(default)]
    pub services: Option<Vec<String>>,
    /// Services that these need (`depends_on`) are brought up to date with them (the default), or `false`: left alone
    /// (`--no-deps`).
    #[serde(default = "yes")]
    pub dependencies: bool,
    /// `present` (the default): containers are as the files say, and run. `stopped`: what there is of them does not run.
    /// `absent`: there are no containers, and once the project has none no networks of it either (`down`); volumes stay. Both
    /// are about the services that are named, else about those in `files`, else about all that the project has.
    #[serde(default)]
    pub state: State,
    /// Images to be written into the files first: service → `repository:tag`. Nothing else in them changes.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Keep the files as they were beside them (`NAME.TIME~`) where they are changed.
    #[serde(default)]
    pub backup: bool,
    /// When a service's container counts as healthy after a start, as for `docker_container`: service →
    /// `{ldap: 389, within: 2m}`. Others: when they have run for two seconds without being restarted.
    #[serde(default)]
    pub healthy: BTreeMap<String, Healthy>,
    /// Paths on the host that a service's container mounts for writing, of which a copy is kept when it is made anew, made while
    /// it is stopped: service → list.
    #[serde(default)]
    pub save: BTreeMap<String, Vec<String>>,
    /// Seconds that a container may take to stop before it is killed (Docker's default: 10).
    #[serde(default)]
    pub timeout: Option<i64>,
}

fn yes() -> bool {
    true
}

/// What shall be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There, up to date and running.
    #[default]
    Present,
    /// Not running.
    Stopped,
    /// Not there.
    Absent,
}

impl Module for DockerCompose {
    type Args = Args;

    const NAME: &'static str = "docker_compose";
    const SUMMARY: &'static str =
        "Brings a project of Docker Compose up to date, stops it or takes it down.";
    const DOC: &'static str = include_str!("module.md");
    const PATHS: &'static [&'static str] = &["project_src"];

    fn validate(args: &Args) -> Result<(), String> {
        if !args.project_src.starts_with('/') {
            return Err(format!(
                "`project_src: {}` is no absolute path; {}",
                args.project_src,
                path_help(&args.project_src)
            ));
        }
        if args.files.as_ref().is_some_and(Vec::is_empty) {
            return Err("`files` names none; leave it out, or name them".to_owned());
        }
        let of_projects =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if let Some(name) = &args.project_name
            && (name.starts_with(['-', '_']) || name.is_empty() || !name.chars().all(of_projects))
        {
            return Err(format!(
                "`{name}` is no name of a project: lower case letters, digits, `-` and `_`, beginning with a letter or digit"
            ));
        }
        for (service, image) in &args.images {
            let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
            if !image.starts_with(|c: char| c.is_ascii_alphanumeric()) || !image.chars().all(fits) {
                return Err(format!(
                    "`images`: `{image}` of {service} is no reference of an image"
                ));
            }
        }
        for (service, healthy) in &args.healthy {
            if let Some(within) = healthy.within.as_deref().filter(|w| seconds(w).is_none()) {
                return Err(format!(
                    "`healthy`: `within: {within}` of {service} is no time; write 30s, 5m or seconds"
                ));
            }
        }
        let only_present =
            args.images.is_empty() && args.healthy.is_empty() && args.save.is_empty();
        if args.state != State::Present && !only_present {
            return Err("`images`, `healthy` and `save` go with `state: present`".to_owned());
        }
        if let Some(path) = args.save.values().flatten().find(|p| !p.starts_with('/')) {
            return Err(format!(
                "`save`: `{path}` is no absolute path; {}",
                path_help(path)
            ));
        }
        let names = args.services.iter().flatten();
        let mut all = names
            .chain(args.images.keys())
            .chain(args.healthy.keys())
            .chain(args.save.keys());
        match all.find(|n| n.is_empty() || n.starts_with('-')) {
            Some(name) => Err(format!("`{name}` is no name of a service")),
            None => Ok(()),
        }
    }

    fn touches(args: &Args) -> Footprint {
        let mut footprint = Footprint::nothing()
            .reads(Project::NAME, "*")
            .reads(Image::NAME, "*")
            .reads(AccountKind::NAME, "*")
            .writes(Container::NAME, "*")
            .writes(Network::NAME, "*")
            .reads(FileKind::NAME, tidy(&args.project_src))
            .reads(ContentKind::NAME, tidy(&args.project_src));
        for name in candidates(args) {
            let path = join(&args.project_src, &name);
            footprint = footprint
                .reads(FileKind::NAME, &path)
                .reads(ContentKind::NAME, &path);
            if !args.images.is_empty() {
                footprint = footprint.writes(FileKind::NAME, &path);
            }
            if args.backup {
                footprint = backups(footprint, &path);
            }
        }
        footprint
    }

    fn want(args: &Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let (files, env) = files(args, world)?;
        let project = match &args.project_name {
            Some(name) => name.clone(),
            None => file::variable(&env, "COMPOSE_PROJECT_NAME")
                .or_else(|| file::project_name(&files))
                .unwrap_or_else(|| file::name_of_folder(&args.project_src)),
        };
        let mut call = Call {
            project,
            directory: tidy(&args.project_src),
            alone: !args.dependencies,
            ..Call::default()
        };
        if args.state != State::Present {
            return less(args, world, call, &file::needs(&files));
        }
        let changed = file::with_images(&files, &args.images).map_err(Stop::Refuse)?;
        call.files = changed.iter().map(|f| f.name.clone()).collect();
        call.env_files.clone_from(&args.env_files);
        call.profiles.clone_from(&args.profiles);
        let key = ProjectKey {
            call: call.clone(),
            contents: changed.iter().map(|f| f.text.clone()).collect(),
            services: args.services.clone().unwrap_or_default(),
        };
        let state = world.get::<Project>(&key)?;
        call.by_old = state.by_old;
        call.one_by_one = state.is_old();
        let config = state.understood(&call.project).map_err(Stop::Refuse)?;
        let meant = Meant {
            env: &env,
            args,
            call: &call,
            state: &state,
            config: &config,
        };
        let (services, ending) = meant.services()?;
        let containers = meant.containers(&services)?;
        let keys: Vec<ContainerKey> = containers.iter().map(|name| key_of(name)).collect();
        let images: Vec<ImageKey> = services
            .iter()
            .map(|s| meant.image(s))
            .collect::<Result<_, _>>()?;
        let mut needed: Vec<_> = keys.iter().map(reference::<Container>).collect();
        needed.extend(images.iter().map(reference::<Image>));
        world.need(&needed)?;

        let mut wanted = Wanted::nothing();
        for (old, new) in files.iter().zip(&changed) {
            if old != new {
                wanted
                    .resources
                    .extend(written(args, world, old, new)?.resources);
            }
        }
        let mut lines = Vec::new();
        for ((service, key), image) in services.iter().zip(&keys).zip(&images) {
            let now = world.get::<Container>(key)?;
            let want = meant.want(service, key, &now, image, world.get::<Image>(image)?)?;
            let differs = spec::differences(&want, &now).lines();
            if !differs.is_empty() {
                lines.push(format!("{service} {}", differs.join("; ")));
            }
            wanted.set::<Container>(key, &want);
        }
        if !ending.is_empty() {
            wanted.notes.push(format!(
                "{}: compose runs it when one that waits for its end is made anew",
                ending.join(", ")
            ));
        }
        wanted.facts = told(&call, services.iter().zip(&containers));
        if !lines.is_empty() || files != changed {
            wanted.summary = Some(format!(
                "{}: {}",
                call.project,
                summary(&files, &changed, &lines)
            ));
        }
        Ok(wanted)
    }
}

fn summary(old: &[File], new: &[File], lines: &[String]) -> String {
    let changed = old.iter().zip(new).filter(|(old, new)| old != new);
    let mut all: Vec<String> = changed
        .map(|(old, _)| format!("{} edited", old.name))
        .collect();
    all.extend_from_slice(lines);
    all.join("; ")
}

/// What `register` gets: the project's name, and the containers' by service.
pub(super) fn told<'a>(
    call: &Call,
    containers: impl Iterator<Item = (&'a String, &'a String)>,
) -> IndexMap<String, Value> {
    let named = containers.map(|(service, name)| (service.clone(), Value::from(name.clone())));
    IndexMap::from([
        ("project_name".to_owned(), Value::from(call.project.clone())),
        ("containers".to_owned(), Value::Map(named.collect())),
    ])
}

pub(super) fn key_of(name: &str) -> ContainerKey {
    ContainerKey {
        name: name.to_owned(),
    }
}

/// The files that may count.
fn candidates(args: &Args) -> Vec<String> {
    match &args.files {
        Some(files) => files.clone(),
        None => {
            let names = file::NAMES.iter().map(|n| (*n).to_owned());
            names
                .chain(file::NAMES.iter().flat_map(|n| file::overrides(n)))
                .collect()
        }
    }
}

/// The project's files with their contents, and its variables (`.env`). Of a project that is to stop or to go they may be missing.
fn files(args: &Args, world: &View<'_>) -> Result<(Vec<File>, String), Stop> {
    let mut names = candidates(args);
    let of_variables = match args.env_files.as_slice() {
        [] => vec![".env".to_owned()],
        named => named.to_vec(),
    };
    let count = names.len();
    names.extend(of_variables);
    let keys: Vec<FileKey> = names
        .iter()
        .map(|n| FileKey::following(&join(&args.project_src, n)))
        .collect();
    let states = world.all::<FileKind>(&keys)?;
    let mut found = Vec::new();
    let mut env = String::new();
    for (at, (name, state)) in names.into_iter().zip(&states).enumerate() {
        match state.is {
            FileType::File => {
                let text = String::from_utf8(bytes_of(state, world)?)
                    .map_err(|_| Stop::refuse(format!("{} is no text", state.path)))?;
                if at < count {
                    found.push(File { name, text });
                } else {
                    env.push_str(&text);
                    env.push('\n');
                }
            }
            FileType::Absent => {}
            _ => return Err(Stop::refuse(format!("{} is no file", state.path))),
        }
    }
    if args.files.is_none()
        && let Some(named) = file::variable(&env, "COMPOSE_FILE")
    {
        return Err(Stop::refuse(format!(
            "the project's variables say that its files are {named} (COMPOSE_FILE); name them with `files`"
        )));
    }
    let directory = &args.project_src;
    if let Some(files) = &args.files {
        let missing = files
            .iter()
            .find(|f| found.iter().all(|have| have.name != **f));
        if let Some(missing) = missing {
            return Err(Stop::refuse(format!(
                "{} does not exist",
                join(directory, missing)
            )));
        }
        return Ok((found, env));
    }
    let mut bases: Vec<String> = Vec::new();
    let are = found.iter().map(|f| f.name.clone());
    bases.extend(are.filter(|n| file::NAMES.contains(&n.as_str())));
    match bases.as_slice() {
        [] if args.state != State::Present => Ok((Vec::new(), env)),
        [] => Err(Stop::refuse(format!(
            "there is no compose file in {directory}: none of {}; name it with `files`",
            file::NAMES.join(", ")
        ))),
        [one] => {
            let beside = file::overrides(one);
            let over = found.iter().filter(|f| beside.contains(&f.name)).cloned();
            let over: Vec<File> = over.take(1).collect();
            found.retain(|f| f.name == *one);
            found.extend(over);
            Ok((found, env))
        }
        several => Err(Stop::refuse(format!(
            "there are {} in {directory}, and versions of compose take different ones: say with `files` which is meant",
            several.join(" and ")
        ))),
    }
}

/// One of the files is written anew.
fn written(args: &Args, world: &View<'_>, old: &File, new: &File) -> Result<Wanted, Stop> {
    let frame = Frame {
        path: &join(&args.project_src, &old.name),
        create: false,
        absent_is_fine: false,
        made: None,
        backup: args.backup,
        validate: None,
        mode: None,
        owner: None,
        group: None,
    };
    frame.want(world, |_| {
        Ok(Edited {
            content: new.text.clone().into_bytes(),
            msg: String::new(),
            found: None,
        })
    })
}

/// What the task is about, once compose has been asked.
struct Meant<'a> {
    args: &'a Args,
    env: &'a str,
    call: &'a Call,
    state: &'a ProjectState,
    config: &'a Config,
}

impl Meant<'_> {
    /// The services, each behind those that it needs, and of these those that only have to have ended.
    fn services(&self) -> Result<(Vec<String>, Vec<String>), Stop> {
        let all: Vec<String> = self.config.services.keys().cloned().collect();
        let asked = match &self.args.services {
            Some(asked) => asked.clone(),
            None => all.iter().filter(|s| self.is_enabled(s)).cloned().collect(),
        };
        if let Some(service) = asked.iter().find(|s| !all.contains(s)) {
            return Err(Stop::refuse(format!(
                "project {} has no service {service}; it has {}",
                self.call.project,
                all.join(", ")
            )));
        }
        let mut order = in_order(&asked, &self.config.needs());
        order.retain(|s| self.args.dependencies || asked.contains(s));
        let args = self.args;
        let mut named = args
            .images
            .keys()
            .chain(args.healthy.keys())
            .chain(args.save.keys());
        if let Some(service) = named.find(|s| !order.contains(s)) {
            return Err(Stop::refuse(format!(
                "{service} is none of the services that this task is about: {}",
                order.join(", ")
            )));
        }
        let ending = self.config.ending();
        Ok(order.into_iter().partition(|s| !ending.contains(s)))
    }

    /// Belongs it to no profile, or to one that counts?
    fn is_enabled(&self, service: &str) -> bool {
        let profiles = self.config.services[service].get("profiles");
        let mut own = profiles
            .and_then(|p| p.as_array())
            .into_iter()
            .flatten()
            .peekable();
        let more = file::variable(self.env, "COMPOSE_PROFILES").unwrap_or_default();
        let counts = |profile: &str| {
            let mut named = self
                .args
                .profiles
                .iter()
                .map(String::as_str)
                .chain(more.split(','));
            named.any(|p| p.trim() == profile)
        };
        own.peek().is_none() || own.filter_map(|p| p.as_str()).any(counts)
    }

    /// The names of their containers.
    fn containers(&self, services: &[String]) -> Result<Vec<String>, Stop> {
        services.iter().map(|s| self.container(s)).collect()
    }

    fn container(&self, service: &str) -> Result<String, Stop> {
        let settings = &self.config.services[service];
        let number = |path: &str| settings.pointer(path).and_then(serde_json::Value::as_u64);
        let copies = number("/scale").or_else(|| number("/deploy/replicas"));
        let present: Vec<&str> = self.state.of(service).map(|m| m.name.as_str()).collect();
        if copies.is_some_and(|n| n != 1) || present.len() > 1 {
            return Err(Stop::refuse(format!(
                "service {service} of project {} has several containers, which this module does not keep up",
                self.call.project
            )));
        }
        let given = settings.get("container_name").and_then(|n| n.as_str());
        let divider = if self.state.is_old() { '_' } else { '-' };
        let made = match given {
            Some(name) => name.to_owned(),
            None => [self.call.project.as_str(), service, "1"].join(&divider.to_string()),
        };
        match present.first() {
            Some(name) if *name != made => Err(Stop::refuse(format!(
                "the container of service {service} is called {name}, and this compose ({}) would make one called {made}: \
                 give the service `container_name: {name}`, or bring it there by hand once",
                self.state.version
            ))),
            _ => Ok(made),
        }
    }

    fn image(&self, service: &str) -> Result<ImageKey, Stop> {
        let image = self.config.services[service].get("image");
        match image.and_then(|i| i.as_str()) {
            Some(reference) => Ok(ImageKey {
                reference: reference.to_owned(),
            }),
            None => Err(Stop::refuse(format!(
                "service {service} of project {} has no `image`: runbook builds none",
                self.call.project
            ))),
        }
    }

    fn want(
        &self,
        service: &str,
        key: &ContainerKey,
        now: &ContainerState,
        reference: &ImageKey,
        image: ImageState,
    ) -> Result<ContainerWant, Stop> {
        let Some(id) = image.id else {
            return Err(Stop::refuse(format!(
                "image {reference} of service {service} is not on the host; bring it with `docker_image` (in the upgrade: tag \
                 `stage`)"
            )));
        };
        if id.is_empty() {
            return Err(Stop::Unknown(format!(
                "until image {reference} is on the host"
            )));
        }
        let healthy = self.args.healthy.get(service).cloned();
        let within = healthy.as_ref().and_then(|h| h.within.as_deref());
        let own_name = (!self.state.is_old()).then_some(key.name.as_str());
        let image = WantedImage {
            reference: reference.reference.clone(),
            id,
            config: image.config,
        };
        let rest = ContainerWant {
            state: Doing::Started,
            within: within.and_then(seconds).unwrap_or(60),
            healthy,
            stop_timeout: self.args.timeout,
            save: self.args.save.get(service).cloned().unwrap_or_default(),
            ..ContainerWant::default()
        };
        let composed = |anew| {
            Some(Composed {
                call: self.call.clone(),
                service: service.to_owned(),
                anew,
            })
        };
        let anew = ContainerWant {
            state: rest.state,
            image: Some(image.clone()),
            recreate: now.exists.then(|| now.id.clone()),
            within: rest.within,
            healthy: rest.healthy.clone(),
            stop_timeout: rest.stop_timeout,
            save: rest.save.clone(),
            compose: composed(true),
            ..self.config.wanted(&self.call.project, service, own_name)
        };
        let left = ContainerWant {
            compose: composed(false),
            ..rest
        };
        let other = now.image_id != image.id || now.image != image.reference;
        if !now.exists || other {
            return Ok(anew);
        }
        // What an earlier task has made (as predicted) no compose can be asked about: it is compared as far as it is told.
        if now.id.is_empty() {
            let same = spec::alike(&super::super::desired::desired(&anew, now), now);
            return Ok(if same { left } else { anew });
        }
        match self.state.stale.get(service) {
            Some(true) => Ok(anew),
            Some(false) => Ok(left),
            None => Err(Stop::refuse(format!(
                "compose {} does not tell whether it would make the container of service {service} anew; version 1, or 2.15 \
                 and later do",
                self.state.version
            ))),
        }
    }
}
