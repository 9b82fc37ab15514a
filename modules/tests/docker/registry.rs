//! Images from a real registry.

use runbook_engine::module::LocalFiles;
use runbook_engine::resource::{Change, KeyedChange, Kind as _};
use runbook_modules::docker::image::{Image, ImageKey};
use runbook_modules::docker::image_module::DockerImage;
use serde_json::json;

use super::daemon::{Host, NEW, OLD, docker};
use super::registry_server::Registry;

impl Registry {
    /// Gives it an image under a name; its digest there. The name goes from this machine.
    fn push(&self, image: &str, name: &str) -> String {
        let reference = self.reference(name);
        docker(&["tag", image, &reference]);
        docker(&["push", "-q", &reference]);
        let format = "{{range .RepoDigests}}{{.}} {{end}}";
        let digests = docker(&["inspect", "-f", format, &reference]);
        let digest = digests
            .split_whitespace()
            .find_map(|d| {
                d.strip_prefix(&format!(
                    "127.0.0.1:{}/{}@",
                    self.port,
                    name.split(':').next()?
                ))
            })
            .unwrap()
            .to_owned();
        docker(&["rmi", &reference]);
        digest
    }

    fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

#[tokio::test]
async fn what_the_registry_has_is_pulled_by_its_digest() {
    let test = "what_the_registry_has_is_pulled_by_its_digest";
    let (Some(host), Some(registry)) = (Host::new(test), Registry::start(test)) else {
        return;
    };
    let name = host.name("pulled");
    let reference = registry.reference(&format!("{name}:1"));
    let local = LocalFiles::new();
    let args = json!({"name": reference, "source": "pull"});
    // What the registry does not know is told beforehand.
    let why = host
        .check::<DockerImage>(&args, &local)
        .await
        .err()
        .unwrap();
    assert!(
        why.contains("cannot be pulled") && why.contains(&name),
        "{why}"
    );

    let old = registry.push(OLD, &format!("{name}:1"));
    let (wanted, world) = host.check::<DockerImage>(&args, &local).await.unwrap();
    assert!(wanted.notes[0].contains(&old), "{:?}", wanted.notes);
    // Between check and run somebody gives the name to another image: what was checked is what comes.
    let change = host.change(&Image, &wanted, &world).unwrap();
    let new = registry.push(NEW, &format!("{name}:1"));
    assert_ne!(old, new);
    let (key, want) = (change.key.clone(), change.change.want.clone());
    Image.write(&host.target, &[change]).await.unwrap();
    let read = || async {
        Image
            .read(&host.probe, std::slice::from_ref(&key))
            .await
            .remove(0)
            .unwrap()
    };
    let state = read().await;
    assert_eq!(Image.differences(&want, &state), Vec::<String>::new());
    assert_eq!(state.env("OF_IMAGE"), Some("old"));
    assert!(state.has_digest(&old) && !state.has_digest(&new));

    // It is there, so it stays; asked for by force, what the registry has now takes its name, and the way back.
    let run = |args: serde_json::Value| {
        let (host, local) = (&host, &local);
        async move {
            host.run_kind::<DockerImage, _>(&Image, &args, local)
                .await
                .unwrap()
        }
    };
    assert!(!run(args.clone()).await.changed);
    let forced = json!({"name": reference, "source": "pull", "force_source": true});
    let first = run(forced.clone()).await;
    assert!(first.changed);
    let now = read().await;
    assert_eq!(now.env("OF_IMAGE"), Some("new"));
    assert!(!run(forced).await.changed);
    let changed = Change {
        from: state.clone(),
        to: now.clone(),
        want: serde_json::from_value(first.wanted.resources[0].want.clone()).unwrap(),
    };
    let want = Image.back(&key, &changed).unwrap();
    let back = KeyedChange {
        key: key.clone(),
        change: Change {
            from: now,
            to: state.clone(),
            want,
        },
    };
    Image.write(&host.target, &[back]).await.unwrap();
    assert_eq!(read().await.id, state.id);

    // By digest alone.
    docker(&["rmi", "-f", &reference]);
    let by_digest = format!("{}@{new}", registry.reference(&name));
    docker(&["rmi", &by_digest]);
    let exact = json!({"name": by_digest, "source": "pull"});
    assert!(run(exact.clone()).await.changed);
    assert!(!run(exact).await.changed);
    let key = ImageKey {
        reference: by_digest.clone(),
    };
    let state = Image.read(&host.probe, &[key]).await.remove(0).unwrap();
    assert_eq!(state.env("OF_IMAGE"), Some("new"));
    docker(&["rmi", "-f", &by_digest]);
}
