//! The module `docker_compose`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted, path_help, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::container::seconds;
use super::super::image::{Image, ImageKey};
use super::super::kind::Container;
use super::super::network::Network;
use super::super::spec;
use super::super::state::{ContainerKey, Healthy};
use super::Call;
use super::file::{self, File};
use super::given::{candidates, files, written};
use super::less::less;
use super::meant::Meant;
use super::project::{Project, ProjectKey};
use crate::file::contents::ContentKind;
use crate::file::state::{join, tidy};
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
    /// Keep the files as they were beside them (`NAME.HASH~`, after their content) where they are changed.
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
