//! A directory from an archive, while the container that mounts it is replaced.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::daemon::{BROKEN, Host, NEW, OLD, docker, inspect};

/// A folder that is mounted, and an archive of what it once held.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { folder };
        fs::create_dir(scene.kept()).unwrap();
        fs::write(Path::new(&scene.kept()).join("file"), "then").unwrap();
        fs::write(Path::new(&scene.kept()).join("own"), "mine").unwrap();
        scene.tar(&["-C", &scene.kept(), "."]);
        fs::write(Path::new(&scene.kept()).join("file"), "now").unwrap();
        fs::remove_file(Path::new(&scene.kept()).join("own")).unwrap();
        scene
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn kept(&self) -> String {
        self.at("kept")
    }

    fn tar(&self, of: &[&str]) {
        let mut command = Command::new("tar");
        command
            .args(["-P", "-czf", &self.at("kept.tar.gz")])
            .args(of);
        assert!(command.status().unwrap().success());
    }

    /// What the folder holds, by name.
    fn holds(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = fs::read_dir(self.kept())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|e| {
                let name = e.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(e.path()).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    fn args(&self, name: &str, image: &str) -> Json {
        let kept = self.kept();
        json!({
            "name": name, "image": image, "stop_timeout": 1, "healthy": {"tcp": 80, "within": "20s"},
            "save": [kept.as_str()], "unpack": {kept.as_str(): self.at("kept.tar.gz")},
        })
    }
}

fn pair(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[tokio::test]
async fn it_comes_with_the_new_container_and_goes_where_that_fails() {
    let Some(host) = Host::new("it_comes_with_the_new_container") else {
        return;
    };
    let scene = Scene::new();
    let bind = format!("{}:/kept", scene.kept());
    let name = host.by_hand("unpacked", &["-v", &bind, OLD]);
    let id = inspect(&name)["Id"].clone();

    // The new one writes into it and gives up: what was there is there again.
    let why = host.run(&scene.args(&name, BROKEN)).await.unwrap_err();
    assert!(why.contains("is back and runs"), "{why}");
    assert_eq!(inspect(&name)["Id"], id);
    assert_eq!(scene.holds(), [pair("file", "now")]);

    let run = host.run(&scene.args(&name, NEW)).await.unwrap();
    assert!(
        run.wanted.notes.iter().any(|n| n.contains("kept.tar.gz")),
        "{:?}",
        run.wanted.notes
    );
    assert_eq!(scene.holds(), [pair("file", "then"), pair("own", "mine")]);
    assert_eq!(docker(&["exec", &name, "cat", "/kept/own"]), "mine");

    // Nothing is unpacked where nothing is replaced.
    fs::write(Path::new(&scene.kept()).join("file"), "later").unwrap();
    let again = host.run(&scene.args(&name, NEW)).await.unwrap();
    assert!(!again.changed);
    assert!(
        again.wanted.notes[0].contains("stays as it is"),
        "{:?}",
        again.wanted.notes
    );
    assert_eq!(scene.holds()[0], pair("file", "later"));
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_before_anything_stops() {
    let Some(host) = Host::new("what_cannot_be_unpacked_is_refused") else {
        return;
    };
    let scene = Scene::new();
    let bind = format!("{}:/kept", scene.kept());
    let name = host.by_hand("refused", &["-v", &bind, OLD]);
    let started = inspect(&name)["State"]["StartedAt"].clone();
    let refused = |args: Json, word: &'static str| {
        let (host, name, started, scene) = (&host, &name, &started, &scene);
        async move {
            let why = host.run(&args).await.unwrap_err();
            assert!(why.contains(word), "{why}");
            assert_eq!(inspect(name)["State"]["StartedAt"], *started, "{word}");
            assert_eq!(scene.holds(), [pair("file", "now")], "{word}");
        }
    };
    let archive = scene.at("kept.tar.gz");
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    refused(scene.args(&name, NEW), "could not be unpacked").await;
    fs::write(scene.at("outside"), "x").unwrap();
    scene.tar(&["-C", &scene.kept(), "../outside"]);
    refused(scene.args(&name, NEW), "lead out of").await;
    scene.tar(&[&scene.at("outside")]);
    refused(scene.args(&name, NEW), "lead out of").await;
    fs::remove_file(&archive).unwrap();
    refused(scene.args(&name, NEW), "there is no file").await;
    fs::write(&archive, &whole).unwrap();

    let mut args = scene.args(&name, NEW);
    args["save"] = json!([]);
    refused(args, "among `save`").await;
    let mut args = scene.args(&name, NEW);
    args["unpack"] = json!({scene.kept(): format!("{}/x.tar.gz", scene.kept())});
    refused(args, "move it elsewhere").await;
    let link = scene.at("link");
    std::os::unix::fs::symlink("kept", &link).unwrap();
    let mut args = scene.args(&name, NEW);
    args["save"] = json!([link.as_str()]);
    args["unpack"] = json!({link.as_str(): archive});
    refused(args.clone(), "mounts for writing").await;
    let linked = host.by_hand("linked", &["-v", &format!("{link}:/kept"), OLD]);
    args["name"] = json!(linked);
    refused(args, "is a link").await;
    // Nothing but what the container mounts.
    let above = scene.folder.path().display().to_string();
    let mut args = scene.args(&name, NEW);
    args["save"] = json!([above]);
    args["unpack"] = json!({above: "/srv/none.tar.gz"});
    refused(args, "mounts for writing").await;
    let none = host.name("none");
    refused(scene.args(&none, NEW), "there is no container").await;
}
