//! The kind `compose-project`: what compose makes of a project's files, which containers and networks it has, and which of
//! its containers it would make anew. Only read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::resource::{Kind as _, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::super::client::Reader;
use super::super::image::Image;
use super::super::kind::Container;
use super::super::network::Network;
use super::super::secret;
use super::call::{self, Call};
use super::config::{self, Config};
use super::listed::{self, label, name_of};
use super::{LABEL, OF_PROJECT, OF_SERVICE};
use crate::file::state::join;

/// Projects of compose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Project;

/// Which project, made of which contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectKey {
    /// The project. Without files only its containers and networks are asked for.
    pub call: Call,
    /// The contents of its files, in their order.
    pub contents: Vec<String>,
    /// The services that are meant; none: all.
    pub services: Vec<String>,
}

impl fmt::Display for ProjectKey {
    /// Another content is another question.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = crate::file::state::sha256(self.contents.join("\0").as_bytes());
        let sum = sum.get(..8).unwrap_or_default();
        let call = &self.call;
        let alone = if call.alone { " alone" } else { "" };
        let more = [
            &call.files[..],
            &call.env_files,
            &call.profiles,
            &self.services,
        ]
        .concat();
        write!(
            f,
            "{} {} {}{alone} {sum}",
            call.project,
            call.directory,
            more.join(" ")
        )
    }
}

/// What is known of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectState {
    /// Version of the compose that was asked: `1.29.2`, `2.26.1`.
    pub version: String,
    /// See [`Call::by_old`].
    pub by_old: bool,
    /// Text of `config`.
    pub config: String,
    /// Services whose container compose would make anew (`true`) or leave as it is.
    pub stale: BTreeMap<String, bool>,
    /// Its containers.
    pub containers: Vec<Member>,
    /// Names of its networks.
    pub networks: BTreeSet<String>,
}

/// A container of a project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its service.
    pub service: String,
    /// It was made to run a command once (`compose run`).
    pub once: bool,
}

impl ProjectState {
    /// What compose makes of the files.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn understood(&self, project: &str) -> Result<Config, String> {
        config::read(project, &self.config)
    }

    /// The containers of a service, without those that ran a command once.
    pub fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Member> {
        let own = move |m: &&Member| m.service == service && !m.once;
        self.containers.iter().filter(own)
    }

    /// Version 1 calls a container `PROJECT_SERVICE_1`, later ones `PROJECT-SERVICE-1`.
    #[must_use]
    pub fn is_old(&self) -> bool {
        self.version.trim_start_matches('v').starts_with("1.")
    }
}

/// What one question of [`call::asked`] was answered.
struct Answer {
    version: String,
    status: String,
    config: String,
    hashes: String,
    foreseen: String,
}

fn answer(stdout: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(stdout);
    let mut parts = text.split('\0').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Answer {
        version: next().trim().to_owned(),
        status: next(),
        config: next(),
        hashes: next(),
        foreseen: next(),
    }
}

/// Which services compose would make anew: version 1 by its hashes, later ones by what they say they would do.
fn stale(answer: &Answer, containers: &[Json]) -> BTreeMap<String, bool> {
    let mut stale = BTreeMap::new();
    for line in answer.hashes.lines() {
        let Some((service, wanted)) = line.split_once(' ') else {
            continue;
        };
        let mut own = containers.iter().filter(|c| label(c, "service") == service);
        let differs = own.any(|c| label(c, "config-hash") != wanted.trim());
        stale.insert(service.to_owned(), differs);
    }
    // ` DRY-RUN MODE -  Container cx-ldap  Recreate`
    for line in answer.foreseen.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|w| *w == "Container") else {
            continue;
        };
        let (Some(name), Some(status)) = (words.get(at + 1), words.get(at + 2)) else {
            continue;
        };
        let anew = match *status {
            "Recreate" => true,
            "Running" | "Created" => false,
            _ => continue,
        };
        if let Some(container) = containers.iter().find(|c| name_of(c) == *name) {
            stale.insert(label(container, "service").to_owned(), anew);
        }
    }
    stale
}

async fn read(host: &Probe, key: &ProjectKey) -> Result<ProjectState, HostError> {
    let daemon = Reader::new(host);
    let (containers, networks) = listed::of_project(&daemon, &key.call.project).await?;
    let mut state = ProjectState {
        containers: containers
            .iter()
            .map(|c| Member {
                name: name_of(c).to_owned(),
                service: label(c, "service").to_owned(),
                once: label(c, "oneoff").eq_ignore_ascii_case("true"),
            })
            .collect(),
        networks: networks
            .iter()
            .filter_map(|n| Some(n.get("Name")?.as_str()?.to_owned()))
            .collect(),
        ..ProjectState::default()
    };
    state.containers.sort();
    if key.call.files.is_empty() {
        return Ok(state);
    }
    let by_old = containers
        .iter()
        .any(|c| label(c, "version").starts_with("1."));
    let call = Call {
        by_old,
        ..key.call.clone()
    };
    let sizes: Vec<usize> = key.contents.iter().map(String::len).collect();
    let mut command = ReadCommand::new([
        "sh".to_owned(),
        "-c".to_owned(),
        call::asked(&call, &sizes, &key.services),
    ]);
    command.stdin = Some(key.contents.concat().into());
    let reply = host.command(&command).await?;
    match reply.status {
        0 => {}
        91 => {
            return Err(HostError::failed(
                "compose is not installed there: neither `docker compose` nor `docker-compose` answers",
            ));
        }
        other => {
            let said = String::from_utf8_lossy(&reply.stderr);
            return Err(HostError::failed(format!(
                "compose could not be asked ({other}): {}",
                said.trim()
            )));
        }
    }
    let answer = answer(&reply.stdout);
    if answer.status != "0" {
        return Err(HostError::failed(format!(
            "compose does not understand the project {}: {}",
            call.project,
            answer.config.trim()
        )));
    }
    state.stale = stale(&answer, &containers);
    state.version = answer.version;
    state.by_old = by_old;
    state.config = answer.config;
    Ok(state)
}

/// What a predicted container is to the project.
fn member(name: &str, labels: &BTreeMap<String, String>) -> Member {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    Member {
        name: name.to_owned(),
        service: label(OF_SERVICE),
        once: label(&format!("{LABEL}oneoff")).eq_ignore_ascii_case("true"),
    }
}

#[async_trait]
impl ReadKind for Project {
    type Key = ProjectKey;
    type State = ProjectState;

    const NAME: &'static str = "compose-project";
    /// What follows from it are containers, which are held to the plan themselves.
    const BINDS: bool = false;

    async fn read(
        &self,
        host: &Probe,
        keys: &[ProjectKey],
    ) -> Vec<Result<ProjectState, HostError>> {
        futures::future::join_all(keys.iter().map(|key| read(host, key))).await
    }

    fn secrets(&self, state: &ProjectState) -> Vec<String> {
        let services = state.understood("").unwrap_or_default().services;
        let mut found = Vec::new();
        for settings in services.values() {
            for section in ["environment", "labels"] {
                let Some(Json::Object(map)) = settings.get(section) else {
                    continue;
                };
                for (name, value) in map {
                    let value = value.as_str().unwrap_or_default();
                    found.extend(secret::of_setting(name, value));
                }
            }
        }
        found
    }

    /// Files that the project's own name: `.env`, what `env_file` and `extends` lead to.
    fn touched_by(&self, key: &ProjectKey, written: &Ref) -> bool {
        let call = &key.call;
        match written.kind.as_str() {
            kind if kind == Container::NAME || kind == Network::NAME || kind == Image::NAME => true,
            "file" => {
                let path = written.id.as_str();
                let named = call.files.iter().chain(&call.env_files);
                let mut named = named.map(|f| join(&call.directory, f));
                named.any(|f| f == path || contains(path, &f))
                    || path == join(&call.directory, ".env")
                    || contains(path, &call.directory)
                    || path == call.directory
                    || key.contents.iter().any(|text| {
                        let within = path.strip_prefix(&format!("{}/", call.directory));
                        text.contains(path) || within.is_some_and(|p| text.contains(p))
                    })
            }
            _ => false,
        }
    }

    fn predicted(
        &self,
        key: &ProjectKey,
        world: &Predicted<'_>,
    ) -> Shadow<ProjectKey, ProjectState> {
        let call = &key.call;
        // The contents of its own files stand in the key.
        let own: Vec<String> = call
            .files
            .iter()
            .map(|f| join(&call.directory, f))
            .collect();
        let mut over = false;
        for change in world.changes.iter().rev() {
            if change.key.kind == "file" {
                let path = &change.key.id;
                // Were its folder gone, so were its files, whose contents stand in the key.
                let around = *path == call.directory || contains(path, &call.directory);
                if !call.files.is_empty()
                    && !around
                    && !own.contains(path)
                    && ReadKind::touched_by(self, key, &change.key)
                {
                    return Shadow::Unknown(format!("until \"{}\"", change.task));
                }
            } else if ReadKind::touched_by(self, key, &change.key) {
                over = true;
            }
        }
        if over {
            Shadow::Over(None)
        } else {
            Shadow::AsRead
        }
    }

    /// Containers and networks that are predicted; whether they are made anew once more is told by their states.
    fn over(
        &self,
        key: &ProjectKey,
        mut read: ProjectState,
        world: &Predicted<'_>,
    ) -> Result<ProjectState, String> {
        for (container, _, to, task) in world.of::<Container>() {
            let name = container.name;
            read.containers.retain(|m| m.name != name);
            let Some(to) = to else {
                return Err(format!("until \"{task}\""));
            };
            let labels = to.labels();
            if to.exists && labels.get(OF_PROJECT) == Some(&key.call.project) {
                read.containers.push(member(&name, &labels));
                // Compose makes the networks of a project with the first container in them.
                let own = format!("{}_", key.call.project);
                let networks = to.networks.keys().filter(|n| n.starts_with(&own));
                read.networks.extend(networks.cloned());
            }
        }
        read.containers.sort();
        for (network, _, to, _) in world.of::<Network>() {
            if to.is_some_and(|to| !to.exists) {
                read.networks.remove(&network.name);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_compose_would_do_is_read_from_its_hashes_or_its_words() {
        let container = |name: &str, service: &str, hash: &str| {
            json!({"Names": [format!("/{name}")], "Labels": {
                "com.docker.compose.service": service, "com.docker.compose.config-hash": hash}})
        };
        let containers = [
            container("cx-ldap", "ldap", "aa"),
            container("cx_db_1", "db", "bb"),
        ];
        let one = answer(b"1.29.2\n\x000\0services: {}\n\0ldap aa\ndb cc\narc dd\n\0\0");
        assert_eq!(one.version, "1.29.2");
        let expected = [("arc", false), ("db", true), ("ldap", false)];
        let expected: BTreeMap<String, bool> = expected
            .iter()
            .map(|(s, b)| ((*s).to_owned(), *b))
            .collect();
        assert_eq!(stale(&one, &containers), expected);

        let two = answer(
            b"2.26.1-4\n\x000\0services: {}\n\0\0 DRY-RUN MODE -  Container cx-ldap  Running \n DRY-RUN MODE -  Container cx_db_1  \
              Recreate \n DRY-RUN MODE -  Container 15abc900d06e_cx-db-1  Started \n\0",
        );
        let expected = [("db", true), ("ldap", false)];
        let expected: BTreeMap<String, bool> = expected
            .iter()
            .map(|(s, b)| ((*s).to_owned(), *b))
            .collect();
        assert_eq!(stale(&two, &containers), expected);
    }

    #[test]
    fn a_question_shows_no_content() {
        let key = ProjectKey {
            call: Call {
                project: "arc".to_owned(),
                directory: "/srv/arc".to_owned(),
                files: vec!["docker-compose.yml".to_owned()],
                ..Call::default()
            },
            contents: vec!["services: {db: {environment: {POSTGRES_PASSWORD: geheim}}}".to_owned()],
            services: Vec::new(),
        };
        let shown = key.to_string();
        assert!(
            shown.starts_with("arc /srv/arc docker-compose.yml "),
            "{shown}"
        );
        assert!(!shown.contains("geheim"), "{shown}");
        let alone = ProjectKey {
            call: Call {
                alone: true,
                ..key.call.clone()
            },
            ..key.clone()
        };
        assert_ne!(
            alone.to_string(),
            shown,
            "another question has another name"
        );
        let state = ProjectState {
            config: key.contents[0].clone(),
            ..ProjectState::default()
        };
        assert_eq!(ReadKind::secrets(&Project, &state), ["geheim"]);
    }

    #[test]
    fn only_what_the_files_name_makes_it_unknown() {
        let key = ProjectKey {
            call: Call {
                directory: "/srv/arc".to_owned(),
                files: vec!["docker-compose.yml".to_owned()],
                ..Call::default()
            },
            contents: vec![
                "services: {db: {env_file: docker-compose.env, volumes: [./db:/d]}}".to_owned(),
            ],
            services: Vec::new(),
        };
        let touched = |path: &str| {
            let written = Ref {
                kind: "file".to_owned(),
                id: path.to_owned(),
                data: Json::Null,
            };
            ReadKind::touched_by(&Project, &key, &written)
        };
        for path in [
            "/srv/arc/.env",
            "/srv/arc/docker-compose.env",
            "/srv/arc",
            "/srv",
        ] {
            assert!(touched(path), "{path}");
        }
        for path in ["/srv/arc/README", "/srv/other", "/etc/hosts"] {
            assert!(!touched(path), "{path}");
        }
    }
}
