//! Containers made by hand, as tasks.

use runbook_modules::docker::adopt::{Adopted, adopted};
use serde_json::Value as Json;

use super::daemon::{Host, OLD, docker, outside};

/// The arguments with the secrets in place of their variables.
fn filled(adopted: &Adopted) -> Json {
    fn fill(value: &Json, of: &Adopted) -> Json {
        match value {
            Json::String(text) => {
                let mut text = text.clone();
                for (name, secret) in &of.secrets {
                    text = text.replace(&format!("{{{{ {name} }}}}"), secret.expose());
                }
                Json::String(text.replace("{{ '{' }}", "{"))
            }
            Json::Array(items) => items.iter().map(|item| fill(item, of)).collect(),
            Json::Object(map) => {
                let pairs = map.iter().map(|(k, v)| (k.clone(), fill(v, of)));
                Json::Object(pairs.collect())
            }
            other => other.clone(),
        }
    }
    fill(&Json::Object(adopted.args.clone()), adopted)
}

#[tokio::test]
async fn the_task_of_a_container_changes_nothing() {
    let Some(host) = Host::new("the_task_of_a_container_changes_nothing") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bind = format!("{}:/kept:ro", folder.path().display());
    let (network, other) = (host.name("net"), host.name("other"));
    docker(&["network", "create", &network]);
    docker(&["network", "create", &other]);
    let volume = host.name("volume");
    let rich = [
        "--network",
        &network,
        "--network-alias",
        "archive",
        "--hostname",
        "archive.example",
        "-e",
        "SITE=St. Anna {{ not a template }}",
        "-e",
        "DB_PASSWORD=geheim-1",
        "-e",
        "DB_URL=postgres://pacs:geheim-2@db/pacsdb",
        "-e",
        "EMPTY=",
        "-e",
        "NUMBER=0123",
        "-e",
        "OF_IMAGE=other",
        "-p",
        "127.0.0.1:0:80",
        "-p",
        "39283:82",
        "-p",
        "127.0.0.1:39281:81/udp",
        "-p",
        "39282:82",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--restart",
        "on-failure:3",
        "--add-host",
        "pacs.example:192.0.2.7",
        "-v",
        &bind,
        "-v",
        &format!("{volume}:/named"),
        "--tmpfs",
        "/scratch:size=1m",
        "--label",
        "owner=radiology",
        "--user",
        "0:0",
        "--workdir",
        "/tmp",
        "--cap-drop",
        "NET_RAW",
        "--log-opt",
        "max-size=1m",
        "--entrypoint",
        "sh",
        OLD,
        "-c",
        "echo 'at {{ once }}'; sleep 1000",
        "--password",
        "geheim-3",
    ];
    let name = host.by_hand("rich", &rich);
    docker(&["network", "connect", &other, &name]);
    let bare = host.by_hand("bare", &[OLD]);
    let stopped = host.by_hand("stopped", &["--network", "host", OLD]);
    docker(&["stop", "-t", "1", &stopped]);
    for name in [&name, &bare, &stopped] {
        let of = adopted(name, &host.state(name).await).unwrap();
        let yaml = of.yaml("A container");
        assert!(!yaml.contains("geheim"), "{yaml}");
        let run = host.run(&filled(&of)).await.unwrap();
        assert!(!run.changed, "{:?}\n{yaml}", run.wanted.summary);
    }

    // A container that is made from the task alone is told by the same task, but for what has no argument.
    let first = adopted(&name, &host.state(&name).await).unwrap();
    assert_eq!(
        first.kept,
        ["CapDrop", "LogConfig", "Tmpfs", "volumes without a name"]
    );
    docker(&["rm", "-fv", &name]);
    host.run(&filled(&first)).await.unwrap();
    let second = adopted(&name, &host.state(&name).await).unwrap();
    assert_eq!(first.args, second.args);
    assert_eq!(second.kept, ["volumes without a name"]);
    outside("docker", &["rm", "-fv", &name]).unwrap();
    docker(&["volume", "rm", &volume]);
    docker(&["network", "rm", &other]);
}
