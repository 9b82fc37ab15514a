//! Images, their files and archives; networks; commands in containers.

use std::collections::BTreeMap;

use bytes::Bytes;
use runbook_engine::lock::Holder;
use runbook_engine::module::{LocalFile, LocalFiles};
use runbook_engine::resource::Kind;
use runbook_modules::docker::Container;
use runbook_modules::docker::exec::{Call, DockerExec};
use runbook_modules::docker::image::{Image, ImageFiles, ImageFilesKey, ImageKey};
use runbook_modules::docker::image_module::DockerImage;
use runbook_modules::docker::network::Network;
use runbook_modules::docker::network_module::DockerNetwork;
use serde_json::json;

use super::daemon::{Host, NEW, OLD, docker, healthy, inspect, outside};

fn everything() -> String {
    [
        "ps -aq --no-trunc",
        "volume ls -q",
        "images -aq --no-trunc",
        "network ls -q",
    ]
    .map(|args| docker(&args.split(' ').collect::<Vec<_>>()))
    .join("\n")
}

#[tokio::test]
async fn files_are_read_out_of_an_image_and_nothing_is_left_behind() {
    let Some(host) = Host::new("files_are_read_out_of_an_image") else {
        return;
    };
    let key = |directory: &str| ImageFilesKey {
        image: OLD.to_owned(),
        directory: directory.to_owned(),
    };
    // Somebody was killed while he looked.
    let mut killed: serde_json::Value =
        serde_json::from_str(&Holder::here("", "look").text()).unwrap();
    killed["pid"] = json!(u32::MAX);
    let label = format!("org.runbook.look={killed}");
    let words = [
        "create",
        "--name",
        "runbook-look-killed",
        "--label",
        &label,
        OLD,
    ];
    docker(&[&words[..], &["never-started"]].concat());
    let keys = [key("/etc/data"), key("/etc/none")];
    let mut read = ImageFiles.read(&host.probe, &keys).await;
    let error = read.remove(1).unwrap_err().to_string();
    assert!(error.contains("has no /etc/none"), "{error}");
    let state = read.remove(0).unwrap();
    let expected: BTreeMap<String, Vec<u8>> = [
        ("a.ldif", "one\n"),
        ("deep/b.ldif", "two\n"),
        ("link.ldif", "one\n"),
    ]
    .map(|(p, c)| (p.to_owned(), c.as_bytes().to_vec()))
    .into();
    assert_eq!(state.contents(), expected);
    assert!(state.image_id.starts_with("sha256:"));
    let left = docker(&["ps", "-aq", "--filter", "label=org.runbook.look"]);
    // Another test may look at the same moment; none stays.
    if !left.is_empty() {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(
            docker(&["ps", "-aq", "--filter", "label=org.runbook.look"]),
            ""
        );
    }
}

#[tokio::test]
async fn an_archive_is_loaded_once_and_other_content_is_seen() {
    let Some(host) = Host::new("an_archive_is_loaded_once") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.tar");
    let reference = format!("runbook-test/{}:1", host.name("archived"));
    docker(&["tag", OLD, &reference]);
    docker(&["save", "-o", &path.to_string_lossy(), &reference]);
    docker(&["rmi", &reference]);
    let local: LocalFiles = [(
        "image.tar".to_owned(),
        LocalFile {
            path: path.clone(),
            content: Bytes::new(),
            mode: 0o600,
            entries: None,
            secret: false,
        },
    )]
    .into();
    let args = json!({"name": reference, "load_path": "image.tar"});
    // What check predicts is what is read afterwards, settings included.
    let (wanted, world) = host.check::<DockerImage>(&args, &local).await.unwrap();
    let change = host.change(&Image, &wanted, &world).unwrap();
    let run = host
        .run_kind::<DockerImage, _>(&Image, &args, &local)
        .await
        .unwrap();
    assert!(run.changed);
    let key = ImageKey {
        reference: reference.clone(),
    };
    let now = Image.read(&host.probe, &[key]).await.remove(0).unwrap();
    assert_eq!(now.id, change.change.to.id);
    assert_eq!(now.env("OF_IMAGE"), Some("old"));
    assert_eq!(change.change.to.env("OF_IMAGE"), Some("old"));
    assert!(
        !host
            .run_kind::<DockerImage, _>(&Image, &args, &local)
            .await
            .unwrap()
            .changed
    );
    // Another image of that name is replaced by the archive's.
    docker(&["tag", NEW, &reference]);
    assert!(
        host.run_kind::<DockerImage, _>(&Image, &args, &local)
            .await
            .unwrap()
            .changed
    );
    assert_eq!(
        docker(&["inspect", "-f", "{{.Id}}", &reference]),
        now.id.unwrap()
    );
    let wrong = json!({"name": "runbook-test/wrong:1", "load_path": "image.tar"});
    let error = host.check::<DockerImage>(&wrong, &local).await.unwrap_err();
    assert!(
        error.contains("does not hold runbook-test/wrong:1"),
        "{error}"
    );
    // One that a container uses stays.
    let name = host.by_hand("user", &[&reference]);
    let absent = json!({"name": reference, "state": "absent"});
    let error = host
        .check::<DockerImage>(&absent, &local)
        .await
        .unwrap_err();
    assert!(error.contains(&name), "{error}");
    docker(&["rm", "-f", &name]);
    let other = host
        .run_kind::<DockerImage, _>(&Image, &absent, &local)
        .await;
    // The same content has other names, whose containers use it.
    if let Err(error) = other {
        assert!(error.contains("is used by"), "{error}");
        docker(&["rmi", &reference]);
    }
    assert!(outside("docker", &["inspect", &reference]).is_err());
}

#[tokio::test]
async fn a_network_is_made_once() {
    let Some(host) = Host::new("a_network_is_made_once") else {
        return;
    };
    let name = host.name("net");
    let local = LocalFiles::new();
    let args = json!({"name": name});
    for changed in [true, false] {
        let run = host
            .run_kind::<DockerNetwork, _>(&Network, &args, &local)
            .await
            .unwrap();
        assert_eq!(run.changed, changed);
    }
    docker(&["network", "inspect", &name]);
    let absent = json!({"name": name, "state": "absent"});
    let run = host
        .run_kind::<DockerNetwork, _>(&Network, &absent, &local)
        .await
        .unwrap();
    assert!(run.changed);
    assert!(outside("docker", &["network", "inspect", &name]).is_err());
}

#[tokio::test]
async fn commands_in_containers() {
    let Some(host) = Host::new("commands_in_containers") else {
        return;
    };
    let name = host.by_hand("arc", &[OLD]);
    let local = LocalFiles::new();
    let args = json!({"container": name, "command": "echo out; echo err >&2; echo $A; exit 3", "env": {"A": "b"}, "reads_only": true});
    let (wanted, _) = host.check::<DockerExec>(&args, &local).await.unwrap();
    assert!(wanted.failed.unwrap().contains("status 3"));
    assert_eq!(wanted.facts["stdout"].as_str(), Some("out\nb"));
    assert_eq!(wanted.facts["stderr"].as_str(), Some("err"));
    let call: Result<Call, _> = serde_json::from_value(json!({"container": name}));
    assert!(call.is_err());
    docker(&["stop", "-t", "1", &name]);
    let error = host.check::<DockerExec>(&args, &local).await.unwrap_err();
    assert!(error.contains("does not run"), "{error}");
}

#[tokio::test]
async fn a_check_changes_nothing() {
    let Some(host) = Host::new("a_check_changes_nothing") else {
        return;
    };
    let name = host.by_hand("arc", &["-e", "DB_PASSWORD=geheim-3", OLD]);
    let before = inspect(&name);
    let change = host.container_change(&healthy(&name, NEW)).await;
    assert_eq!(before, inspect(&name));
    // Nothing that a person sees shows the secret; the engine is told of it.
    let (from, to) = (&change.change.from, &change.change.to);
    for state in [from, to] {
        let text = Container.text(&change.key, state).unwrap();
        assert!(
            text.contains("DB_PASSWORD=********") && !text.contains("geheim"),
            "{text}"
        );
        assert_eq!(Container.secrets(state), ["geheim-3"]);
    }
    assert!(to.id.is_empty() && to.started_at.is_empty());
    assert!(!everything().is_empty());
}
