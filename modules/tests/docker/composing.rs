//! Projects of compose: of version 1 (`docker-compose`) and of a later one (`docker compose`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use runbook_engine::module::{LocalFiles, reference};
use runbook_engine::resource::{Change, KeyedChange, Kind};
use runbook_engine::world::{Known, Lookup as _};
use runbook_modules::docker::compose::module::DockerCompose;
use runbook_modules::docker::network::Network;
use runbook_modules::docker::{Container, ContainerKey};
use runbook_modules::file::FileKind;
use serde_json::{Value as Json, json};

use super::daemon::{BROKEN, Host, NEW, OLD, docker, inspect, outside};

/// Which compose makes the containers by hand, and so goes on with them.
#[derive(Clone, Copy)]
enum By {
    Program,
    Plugin,
}

/// A project in a folder of its own.
struct Scene {
    host: Host,
    by: By,
    folder: tempfile::TempDir,
    project: String,
}

const FILE: &str = "\
services:
  web:            # the one that all need
    image: OLD    # by hand
    container_name: NAME-web
    environment:
      SITE: \"St. Anna\"
      DB_PASSWORD: 'geheim-$$1'
    ports: [\"127.0.0.1::80\"]
    volumes:
      - ./kept:/kept
      - named:/named
      - data:/data
    restart: unless-stopped
    logging: {driver: json-file, options: {max-size: \"1m\"}}
    stop_grace_period: 1s
  job:
    image: OLD
    command: httpd -f -p 80 -h /etc/data
    env_file: job.env
    depends_on: [web]
    volumes: [jobdata:/data]
    labels: {owner: radiology}
    extra_hosts: [\"pacs.example:192.0.2.7\"]
    stop_grace_period: 1s
volumes: {named: {}, data: {}, jobdata: {}}
";

impl Scene {
    fn new(test: &str, by: By) -> Option<Self> {
        let host = Host::new(test)?;
        let (program, args): (&str, &[&str]) = match by {
            By::Program => ("docker-compose", &["version"]),
            By::Plugin => ("docker", &["compose", "version"]),
        };
        if let Err(why) = outside(program, args) {
            crate::skip::skip(test, &why);
            return None;
        }
        let scene = Self {
            project: host.name("p"),
            host,
            by,
            folder: tempfile::tempdir().unwrap(),
        };
        scene.write("docker-compose.yml", &scene.file());
        scene.write("job.env", "STORAGE_DIR=/storage\n");
        Some(scene)
    }

    fn file(&self) -> String {
        let version = match self.by {
            By::Program => "version: \"3\"\n",
            By::Plugin => "",
        };
        let text = FILE.replace("OLD", OLD).replace("NAME", &self.project);
        format!("{version}{text}")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// As a person does it.
    fn by_hand(&self, args: &[&str]) -> String {
        let mut command = match self.by {
            By::Program => Command::new("docker-compose"),
            By::Plugin => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
        };
        command.args(["-p", &self.project]).args(args);
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    }

    fn web(&self) -> String {
        format!("{}-web", self.project)
    }

    fn job(&self) -> String {
        match self.by {
            By::Program => format!("{}_job_1", self.project),
            By::Plugin => format!("{}-job-1", self.project),
        }
    }

    fn args(&self, more: &Json) -> Json {
        let mut args =
            json!({"project_src": self.folder.path(), "project_name": self.project, "timeout": 1});
        let more = more.as_object().unwrap().clone();
        args.as_object_mut().unwrap().extend(more);
        args
    }

    /// Reads, wants, writes, reads again; what differed.
    async fn run(&self, more: &Json) -> Result<Vec<String>, String> {
        let args = self.args(more);
        let checked = self
            .host
            .check::<DockerCompose>(&args, &LocalFiles::new())
            .await;
        let (wanted, world) = checked?;
        let mut lines = self.host.write_all(&FileKind, &wanted, &world).await?;
        lines.extend(self.host.write_all(&Container, &wanted, &world).await?);
        lines.extend(self.host.write_all(&Network, &wanted, &world).await?);
        Ok(lines)
    }

    /// The changes of containers that the task would make.
    async fn changes(&self, more: &Json) -> Vec<KeyedChange<Container>> {
        let args = self.args(more);
        let checked = self
            .host
            .check::<DockerCompose>(&args, &LocalFiles::new())
            .await;
        let (wanted, world) = checked.unwrap();
        let own = wanted
            .resources
            .iter()
            .filter(|r| r.key.kind == Container::NAME);
        own.map(|one| {
            let key: ContainerKey = serde_json::from_value(one.key.data.clone()).unwrap();
            let want = serde_json::from_value(one.want.clone()).unwrap();
            let Some(Known::State(from)) = world.lookup(&reference::<Container>(&key)) else {
                panic!("{key} was not read")
            };
            let from = serde_json::from_value(from).unwrap();
            let to = Container.predict(&want, &from);
            KeyedChange {
                key,
                change: Change { from, to, want },
            }
        })
        .collect()
    }

    /// What is predicted is what it then is, as it is shown.
    async fn as_predicted(&self, changes: &[KeyedChange<Container>]) {
        for change in changes {
            let now = self.host.state(&change.key.name).await;
            assert_eq!(
                Container.text(&change.key, &change.change.to),
                Container.text(&change.key, &now)
            );
        }
    }

    async fn back(&self, made: &KeyedChange<Container>) {
        let want = Container.back(&made.key, &made.change).unwrap();
        let from = self.host.state(&made.key.name).await;
        let to = Container.predict(&want, &from);
        let change = KeyedChange::<Container> {
            key: made.key.clone(),
            change: Change { from, to, want },
        };
        let want = change.change.want.clone();
        Container.write(&self.host.target, &[change]).await.unwrap();
        let now = self.host.state(&made.key.name).await;
        assert_eq!(Container.differences(&want, &now), Vec::<String>::new());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let volumes = ["named", "data", "jobdata"].map(|v| format!("{}_{v}", self.project));
        let [one, two, three] = &volumes;
        let _ = outside("docker", &["rm", "-fv", &self.web(), &self.job()]);
        let _ = outside("docker", &["volume", "rm", "-f", one, two, three]);
    }
}

/// Mounts apart, which are looked at through what lies in them.
fn same_settings(one: &Json, other: &Json) {
    assert_eq!(one["Image"], other["Image"]);
    assert_eq!(one["Config"]["Cmd"], other["Config"]["Cmd"]);
    let env = |of: &Json| {
        let list = of["Config"]["Env"].as_array().cloned().unwrap_or_default();
        list.iter()
            .map(Json::to_string)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(env(one), env(other));
    for key in ["LogConfig", "PortBindings", "RestartPolicy", "NetworkMode"] {
        assert_eq!(one["HostConfig"][key], other["HostConfig"][key], "{key}");
    }
}

async fn a_new_tag_and_back(by: By) {
    let Some(scene) = Scene::new("a_new_tag_and_back", by) else {
        return;
    };
    scene.by_hand(&["up", "-d"]);
    let (web, job) = (scene.web(), scene.job());
    docker(&[
        "exec",
        &web,
        "sh",
        "-c",
        "echo precious > /data/file; echo x > /named/file",
    ]);
    let (before, untouched) = (inspect(&web), inspect(&job));
    assert_eq!(scene.run(&json!({})).await.unwrap(), Vec::<String>::new());

    let to_new = json!({"services": ["web"], "images": {"web": NEW}, "healthy": {"web": {"tcp": 80, "within": "20s"}}});
    let changes = scene.changes(&to_new).await;
    let lines = scene.run(&to_new).await.unwrap();
    assert!(lines.contains(&"image 1 → 2".to_owned()), "{lines:?}");
    assert_eq!(
        scene.read("docker-compose.yml"),
        scene.file().replacen(OLD, NEW, 1)
    );
    scene.as_predicted(&changes).await;
    let after = inspect(&web);
    assert_eq!(after["Config"]["Image"], NEW);
    assert_eq!(
        after["HostConfig"]["LogConfig"],
        before["HostConfig"]["LogConfig"]
    );
    assert_eq!(
        docker(&["exec", &web, "cat", "/data/file", "/named/file"]),
        "precious\nx"
    );
    assert_eq!(inspect(&job)["Id"], untouched["Id"]);
    assert_eq!(scene.run(&to_new).await.unwrap(), Vec::<String>::new());
    // Whoever calls compose afterwards finds everything done.
    scene.by_hand(&["up", "-d"]);
    assert_eq!(inspect(&web)["Id"], after["Id"]);

    scene.write("docker-compose.yml", &scene.file());
    scene
        .back(changes.iter().find(|c| c.key.name == web).unwrap())
        .await;
    let again = inspect(&web);
    same_settings(&again, &before);
    assert_eq!(docker(&["exec", &web, "cat", "/data/file"]), "precious");
    scene.by_hand(&["up", "-d"]);
    assert_eq!(inspect(&web)["Id"], again["Id"], "compose makes it anew");
}

#[tokio::test]
async fn a_new_tag_and_back_with_the_program() {
    a_new_tag_and_back(By::Program).await;
}

#[tokio::test]
async fn a_new_tag_and_back_with_the_plugin() {
    a_new_tag_and_back(By::Plugin).await;
}

async fn what_the_file_says(by: By) {
    let Some(scene) = Scene::new("what_the_file_says", by) else {
        return;
    };
    // Nothing is there but, of version 1, a container by which it is known.
    if matches!(by, By::Program) {
        scene.by_hand(&["up", "-d", "web"]);
    }
    let changes = scene.changes(&json!({"services": ["job"]})).await;
    let names: Vec<&str> = changes.iter().map(|c| c.key.name.as_str()).collect();
    assert_eq!(
        names,
        [scene.web(), scene.job()],
        "what is needed comes first"
    );
    scene.run(&json!({"services": ["job"]})).await.unwrap();
    scene.as_predicted(&changes).await;

    let text = scene.file();
    let text = text
        .replace("St. Anna", "St. Berta")
        .replace("./kept:/kept", "./kept:/kept:ro");
    scene.write(
        "docker-compose.yml",
        &text.replace("command: httpd", "user: \"0\"\n    command: httpd"),
    );
    scene.write("job.env", "STORAGE_DIR=/other\nMORE=1\n");
    let changes = scene.changes(&json!({})).await;
    let lines = scene.run(&json!({})).await.unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|l| l.starts_with("made anew")),
        "{lines:?}"
    );
    scene.as_predicted(&changes).await;

    docker(&["stop", "-t", "1", &scene.job()]);
    let lines = scene.run(&json!({})).await.unwrap();
    assert_eq!(lines, ["stopped → running"]);
}

#[tokio::test]
async fn what_the_file_says_with_the_program() {
    what_the_file_says(By::Program).await;
}

#[tokio::test]
async fn what_the_file_says_with_the_plugin() {
    what_the_file_says(By::Plugin).await;
}

/// What a folder was when the container before stopped is there again, both at once and later.
async fn what_was_saved(by: By) {
    let Some(scene) = Scene::new("what_was_saved", by) else {
        return;
    };
    scene.by_hand(&["up", "-d"]);
    let web = scene.web();
    let kept = scene.path("kept");
    fs::write(kept.join("file"), "of the old one").unwrap();
    let with = |image: &str| {
        json!({"services": ["web"], "images": {"web": image}, "save": {"web": [kept]},
            "healthy": {"web": {"tcp": 80, "within": "5s"}}})
    };
    scene.run(&with(BROKEN)).await.unwrap_err();
    let of = |name: &str| fs::read_to_string(kept.join(name)).unwrap();
    assert_eq!(of("file"), "of the old one");
    assert_eq!(inspect(&web)["State"]["Running"], true);
    let names = || fs::read_dir(scene.folder.path()).unwrap().count();
    let before = names();

    scene.write("docker-compose.yml", &scene.file());
    let changes = scene.changes(&with(NEW)).await;
    scene.run(&with(NEW)).await.unwrap();
    assert_eq!(names(), before + 1, "the copy");
    fs::write(kept.join("file"), "of the new one").unwrap();
    scene.write("docker-compose.yml", &scene.file());
    scene.back(&changes[0]).await;
    assert_eq!(of("file"), "of the old one");
    assert_eq!(inspect(&web)["Config"]["Image"], OLD);
}

#[tokio::test]
async fn what_was_saved_with_the_program() {
    what_was_saved(By::Program).await;
}

#[tokio::test]
async fn what_was_saved_with_the_plugin() {
    what_was_saved(By::Plugin).await;
}

async fn one_that_does_not_start(by: By) {
    let Some(scene) = Scene::new("one_that_does_not_start", by) else {
        return;
    };
    scene.by_hand(&["up", "-d"]);
    let web = scene.web();
    docker(&["exec", &web, "sh", "-c", "echo precious > /data/file"]);
    let before = inspect(&web);
    let broken = json!({"services": ["web"], "images": {"web": BROKEN}, "healthy": {"web": {"tcp": 80, "within": "5s"}}});
    let error = scene.run(&broken).await.unwrap_err();
    assert!(error.contains("the configuration is wrong"), "{error}");
    assert!(error.contains("as it was"), "{error}");
    assert!(error.contains("files are not taken back"), "{error}");
    let after = inspect(&web);
    assert_eq!(after["Image"], before["Image"]);
    assert_eq!(after["State"]["Running"], true);
    same_settings(&after, &before);
    assert_eq!(docker(&["exec", &web, "cat", "/data/file"]), "precious");
    let left = docker(&[
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={}", scene.project),
    ]);
    assert_eq!(left.lines().count(), 2, "{left}");
}

#[tokio::test]
async fn one_that_does_not_start_with_the_program() {
    one_that_does_not_start(By::Program).await;
}

#[tokio::test]
async fn one_that_does_not_start_with_the_plugin() {
    one_that_does_not_start(By::Plugin).await;
}

async fn down_and_up_again(by: By) {
    let Some(scene) = Scene::new("down_and_up_again", by) else {
        return;
    };
    scene.by_hand(&["up", "-d"]);
    let (web, job) = (scene.web(), scene.job());
    docker(&["exec", &web, "sh", "-c", "echo precious > /data/file"]);
    let network = format!("{}_default", scene.project);
    let labels = || {
        docker(&[
            "network",
            "inspect",
            "--format",
            "{{json .Labels}}",
            &network,
        ])
    };
    let (before, marked) = (inspect(&job), labels());
    let stopping = scene.changes(&json!({"state": "stopped"})).await;
    assert_eq!(stopping[0].key.name, job, "what needs others stops first");
    let lines = scene.run(&json!({"state": "stopped"})).await.unwrap();
    assert_eq!(lines, ["running → stopped", "running → stopped"]);
    assert_eq!(
        scene.run(&json!({"state": "stopped"})).await.unwrap(),
        Vec::<String>::new()
    );
    scene.run(&json!({})).await.unwrap();

    // The file may be gone by then.
    fs::remove_file(scene.path("docker-compose.yml")).unwrap();
    let mut down = scene.changes(&json!({"state": "absent"})).await;
    let lines = scene.run(&json!({"state": "absent"})).await.unwrap();
    assert_eq!(lines, ["removed", "removed", "removed"]);
    assert!(outside("docker", &["inspect", &web]).is_err());
    assert!(outside("docker", &["network", "inspect", &network]).is_err());
    assert_eq!(
        scene.run(&json!({"state": "absent"})).await.unwrap(),
        Vec::<String>::new()
    );

    scene.write("docker-compose.yml", &scene.file());
    let made: Json = serde_json::from_str(&marked).unwrap();
    let marks: Vec<String> = made
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| format!("--label={k}={}", v.as_str().unwrap()))
        .collect();
    let mut words = vec!["network", "create"];
    words.extend(marks.iter().map(String::as_str));
    words.push(&network);
    docker(&words);
    // With the file gone nobody knows which of them needs the other.
    down.sort_by_key(|change| change.key.name == web);
    for change in down.iter().rev() {
        scene.back(change).await;
    }
    same_settings(&inspect(&job), &before);
    assert_eq!(docker(&["exec", &web, "cat", "/data/file"]), "precious");
    let again = inspect(&job);
    scene.by_hand(&["up", "-d"]);
    assert_eq!(inspect(&job)["Id"], again["Id"], "compose makes it anew");
}

#[tokio::test]
async fn down_and_up_again_with_the_program() {
    down_and_up_again(By::Program).await;
}

#[tokio::test]
async fn down_and_up_again_with_the_plugin() {
    down_and_up_again(By::Plugin).await;
}

/// Version 1 gives a container of these images an empty volume in place of one without a name, which later ones keep.
async fn volumes_without_a_name(by: By) {
    let Some(scene) = Scene::new("volumes_without_a_name", by) else {
        return;
    };
    let text = scene.file().replace("      - data:/data\n", "");
    scene.write("docker-compose.yml", &text);
    scene.by_hand(&["up", "-d"]);
    let web = scene.web();
    docker(&["exec", &web, "sh", "-c", "echo precious > /data/file"]);
    let done = scene.run(&json!({"images": {"web": NEW}})).await;
    match by {
        By::Plugin => assert!(done.is_ok(), "{done:?}"),
        By::Program => {
            let error = done.unwrap_err();
            assert!(error.contains("a new, empty volume for /data"), "{error}");
            assert_eq!(inspect(&web)["Config"]["Image"], OLD);
        }
    }
    assert_eq!(docker(&["exec", &web, "cat", "/data/file"]), "precious");
}

#[tokio::test]
async fn volumes_without_a_name_with_the_program() {
    volumes_without_a_name(By::Program).await;
}

#[tokio::test]
async fn volumes_without_a_name_with_the_plugin() {
    volumes_without_a_name(By::Plugin).await;
}

/// Cut off at any point, a container is the one before or the new one as a whole, and runs.
#[tokio::test]
async fn what_was_cut_off_is_whole_again() {
    let Some(scene) = Scene::new("what_was_cut_off_is_whole_again", By::Plugin) else {
        return;
    };
    scene.by_hand(&["up", "-d"]);
    let web = scene.web();
    let kept = scene.path("kept");
    fs::write(kept.join("file"), "of the old one").unwrap();
    let to_new = json!({"services": ["web"], "images": {"web": NEW}, "save": {"web": [kept]}});
    for (cut, is_new) in [
        // It was only stopped.
        ("docker stop -t 1 WEB", false),
        // It is gone, and nothing is in its place.
        ("docker rm -f WEB", false),
        // The next one is made under another name, as version 2 does, and has written already.
        (
            "docker stop -t 1 WEB; docker create --name 0123456789ab_WEB LABELS NEW; echo new > KEPT/file",
            false,
        ),
        // The one before has another name, as version 1 does.
        (
            "docker stop -t 1 WEB; docker rename WEB 0123456789ab_WEB; docker create --name WEB LABELS NEW",
            false,
        ),
        // Only the next one is there, not under its name, and does not run.
        (
            "docker rm -f WEB; docker create --name 0123456789ab_WEB LABELS NEW",
            true,
        ),
    ] {
        let changes = scene.changes(&to_new).await;
        let labels = format!(
            "--label com.docker.compose.project={} --label com.docker.compose.service=web",
            scene.project
        );
        let copy = format!(
            "cp -a {0} {0}.runbook-{1}",
            kept.display(),
            &changes[0].change.from.id[..8]
        );
        let cut = cut
            .replace("LABELS", &labels)
            .replace("WEB", &web)
            .replace("NEW", NEW);
        let cut = cut.replace("KEPT", &kept.display().to_string());
        outside("sh", &["-ec", &format!("{copy}; {cut}")]).unwrap();
        let put_aside = Container
            .recover(&scene.host.target, &changes)
            .await
            .unwrap();
        let now = scene.host.state(&web).await;
        assert!(now.running, "{cut}");
        assert_eq!(now.image == NEW, is_new, "{cut}: {}", now.image);
        assert_eq!(put_aside.len(), usize::from(is_new), "{cut}");
        let file = fs::read_to_string(kept.join("file")).unwrap();
        assert_eq!(file, "of the old one", "{cut}");
        let filter = format!("label=com.docker.compose.project={}", scene.project);
        let left = docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &filter]);
        assert_eq!(left.lines().count(), 2, "{cut}: {left}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_changes() {
    let Some(scene) = Scene::new("what_is_wrong_is_said", By::Plugin) else {
        return;
    };
    let file = scene.file();
    for (more, said) in [
        (
            json!({"services": ["nobody"]}),
            "no service nobody; it has job, web",
        ),
        (
            json!({"images": {"nobody": "r:1"}}),
            "service nobody has no `image`",
        ),
        (
            json!({"images": {"web": "no/such:1"}}),
            "image no/such:1 of service web is not on the host",
        ),
        (
            json!({"services": ["web"], "images": {"job": NEW}}),
            "job is none of the services that this task is about: web",
        ),
        (json!({"files": ["other.yml"]}), "other.yml does not exist"),
        (json!({"env_files": ["none.env"]}), "none.env"),
    ] {
        let error = scene.run(&more).await.unwrap_err();
        assert!(error.contains(said), "{more}: {error}");
    }
    scene.write(".env", "COMPOSE_FILE=a.yml:b.yml\n");
    let error = scene.run(&json!({})).await.unwrap_err();
    assert!(error.contains("COMPOSE_FILE"), "{error}");
    fs::remove_file(scene.path(".env")).unwrap();
    scene.write("compose.yaml", "services: {}\n");
    let error = scene.run(&json!({})).await.unwrap_err();
    assert!(error.contains("say with `files` which is meant"), "{error}");
    fs::remove_file(scene.path("compose.yaml")).unwrap();
    scene.write(
        "docker-compose.yml",
        &file.replace("    ports:", "    prots:"),
    );
    let error = scene.run(&json!({})).await.unwrap_err();
    assert!(error.contains("prots"), "{error}");
    let several = file.replace("    command:", "    scale: 2\n    command:");
    scene.write("docker-compose.yml", &several);
    let error = scene.run(&json!({})).await.unwrap_err();
    assert!(error.contains("several containers"), "{error}");
    fs::remove_file(scene.path("docker-compose.yml")).unwrap();
    let error = scene.run(&json!({})).await.unwrap_err();
    assert!(error.contains("no compose file"), "{error}");
    let none = docker(&[
        "ps",
        "-aq",
        "--filter",
        &format!("label=com.docker.compose.project={}", scene.project),
    ]);
    assert_eq!(none, "");
}
