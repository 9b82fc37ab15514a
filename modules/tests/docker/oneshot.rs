//! A container that does one thing and goes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use runbook_engine::action::{ActionError, ActionKind as _, ActionRun, AfterCut, Effects, Outcome};
use runbook_engine::module::LocalFiles;
use runbook_modules::docker::container::DockerContainer;
use runbook_modules::docker::oneshot::{OneshotCall, OneshotRun};
use serde_json::{Value as Json, json};

use super::daemon::{Host, NEW, OLD, docker, outside};

struct Scene {
    host: Host,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(test: &str) -> Option<Self> {
        let host = Host::new(test)?;
        let folder = tempfile::tempdir().unwrap();
        Some(Self { host, folder })
    }

    fn args(&self, of: &str, line: &str, work: &Json) -> Json {
        let volume = format!("{}:/out", self.folder.path().display());
        json!({
            "name": self.host.name(of), "image": NEW, "state": "oneshot", "stop_timeout": 1, "volumes": [volume],
            "command": ["sh", "-c", line], "oneshot": work,
        })
    }

    async fn call(&self, args: &Json) -> OneshotCall {
        let none = LocalFiles::new();
        let (wanted, _) = self
            .host
            .check::<DockerContainer>(args, &none)
            .await
            .unwrap();
        serde_json::from_value(wanted.action.unwrap().call).unwrap()
    }

    /// A run of its own for each.
    async fn run(&self, of: &str, line: &str, work: Json) -> Outcome {
        let call = self.call(&self.args(of, line, &work)).await;
        let outcome = self.act(&call, of).await.unwrap();
        assert!(!self.is_there(of), "it stays");
        outcome
    }

    async fn act(&self, call: &OneshotCall, node: &str) -> Result<Outcome, ActionError> {
        let run = ActionRun {
            run: self.host.name("run"),
            node: node.to_owned(),
            private: false,
        };
        OneshotRun.run(&self.host.target, call, &run).await
    }

    fn is_there(&self, of: &str) -> bool {
        outside("docker", &["inspect", &self.host.name(of)]).is_ok()
    }

    fn lines(&self, name: &str) -> usize {
        let text = fs::read_to_string(self.folder.path().join(name));
        text.unwrap_or_default().lines().count()
    }
}

fn log(outcome: &Outcome) -> String {
    outcome.output["log"].to_json(true).to_string()
}

#[tokio::test]
async fn it_does_its_work_and_goes() {
    let Some(scene) = Scene::new("it_does_its_work_and_goes") else {
        return;
    };
    let ended = scene
        .run("ends", "echo hello; echo x >> /out/ends", json!({}))
        .await;
    assert_eq!(ended.failed, None);
    assert!(log(&ended).contains("hello"), "{ended:?}");
    assert_eq!(scene.lines("ends"), 1);

    // What counts is what it has done, not that it runs or what it says first.
    let begin = Instant::now();
    let line = "echo ready; sleep 2; echo x >> /out/until; sleep 90";
    let work = json!({"until": {"command": "test -e /out/until"}, "within": "30s"});
    assert_eq!(scene.run("until", line, work).await.failed, None);
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(30),
        "{took:?}"
    );

    let line = "sleep 1; echo imported 322; sleep 90";
    let work = json!({"until": {"log": "^imported [0-9]+$"}});
    assert_eq!(scene.run("says", line, work).await.failed, None);
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_it_goes_all_the_same() {
    let Some(scene) = Scene::new("what_goes_wrong_is_told") else {
        return;
    };
    let cases = [
        ("code", "echo no space; exit 3", json!({}), "exit code 3"),
        (
            "early",
            "exit 0",
            json!({"until": {"command": "true"}, "within": "20s"}),
            "before its work was done",
        ),
        (
            "error",
            "echo 'ldapadd: Invalid credentials (49)'; sleep 90",
            json!({"until": {"log": "^done"}, "fail_on": "ldapadd: .*\\([0-9]+\\)"}),
            "Invalid credentials (49)",
        ),
        (
            "never",
            "echo still at it; sleep 90",
            json!({"until": {"command": "echo 1 of 2; exit 1"}, "within": "3s"}),
            "not done within 3 seconds: its command ends with status 1 1 of 2",
        ),
        ("none", "exec /nothing/here", json!({}), "exit code 127"),
    ];
    for (of, line, work, expected) in cases {
        let ended = scene.run(of, line, work).await;
        let why = ended.failed.unwrap();
        assert!(why.contains(expected), "{of}: {why}");
    }
    // Docker itself refuses to start it.
    let mut args = scene.args("refused", "", &json!({}));
    args["command"] = json!(["/nothing/here"]);
    let ended = scene
        .act(&scene.call(&args).await, "refused")
        .await
        .unwrap();
    assert!(ended.failed.unwrap().contains("could not be started"));
    assert!(!scene.is_there("refused"));
}

#[tokio::test]
async fn a_cut_does_nothing_twice() {
    let Some(scene) = Scene::new("a_cut_does_nothing_twice") else {
        return;
    };
    assert_eq!(
        OneshotRun.after_cut(&scene.call(&scene.args("any", "true", &json!({}))).await),
        AfterCut::Again
    );
    // Cut off while it works.
    let args = scene.args(
        "cut",
        "echo x >> /out/cut; sleep 3; echo finished",
        &json!({}),
    );
    let call = scene.call(&args).await;
    let begun = tokio::time::timeout(Duration::from_millis(1500), scene.act(&call, "cut")).await;
    assert!(begun.is_err() && scene.is_there("cut"));
    let ended = scene.act(&call, "cut").await.unwrap();
    assert_eq!(ended.failed, None);
    assert!(log(&ended).contains("finished"), "{ended:?}");
    assert_eq!(scene.lines("cut"), 1);
    // Cut off when it was gone, and nobody had noted it.
    let again = scene.act(&call, "cut").await.unwrap();
    assert_eq!(again, ended);
    assert_eq!(scene.lines("cut"), 1);
    // What an attempt has left that nobody goes on with gives way to the next.
    let args = scene.args("left", "echo x >> /out/left; sleep 90", &json!({}));
    let first = scene.call(&args).await;
    let begun = tokio::time::timeout(Duration::from_millis(1500), scene.act(&first, "left")).await;
    assert!(begun.is_err() && scene.is_there("left"));
    let args = scene.args("left", "echo x >> /out/left", &json!({}));
    let second = scene.call(&args).await;
    assert_eq!(scene.act(&second, "left-2").await.unwrap().failed, None);
    assert!(!scene.is_there("left"));
    assert_eq!(scene.lines("left"), 2);
    // Removed by somebody before it had ended: it was not done.
    let args = scene.args("gone", "echo x >> /out/gone; sleep 3", &json!({}));
    let call = scene.call(&args).await;
    let begun = tokio::time::timeout(Duration::from_millis(1500), scene.act(&call, "gone")).await;
    assert!(begun.is_err());
    docker(&["rm", "-f", &scene.host.name("gone")]);
    assert_eq!(scene.act(&call, "gone").await.unwrap().failed, None);
    assert_eq!(scene.lines("gone"), 2);
}

#[tokio::test]
async fn what_it_says_beforehand() {
    let Some(scene) = Scene::new("what_it_says_beforehand") else {
        return;
    };
    let check = async |args: &Json| {
        let none = LocalFiles::new();
        scene
            .host
            .check::<DockerContainer>(args, &none)
            .await
            .map(|(wanted, _)| wanted)
    };
    let effects = async |work: Json| {
        check(&scene.args("x", "true", &work))
            .await
            .unwrap()
            .action
            .unwrap()
            .effects
    };
    assert_eq!(effects(json!({})).await, Effects::Opaque);
    assert!(
        matches!(effects(json!({"changes": ["file:/srv"]})).await, Effects::Changes(m) if m.len() == 1)
    );
    assert!(
        matches!(effects(json!({"creates": "/srv/none"})).await, Effects::Creates(m) if m.len() == 1)
    );
    let there = scene.folder.path().display().to_string();
    assert!(Path::new(&there).exists());
    let wanted = check(&scene.args("x", "true", &json!({"creates": there})))
        .await
        .unwrap();
    assert!(wanted.action.is_none() && wanted.skipped.unwrap().contains("exists"));

    scene.host.by_hand("there", &[OLD]);
    let why = check(&scene.args("there", "true", &json!({})))
        .await
        .unwrap_err();
    assert!(why.contains("already"), "{why}");
    for (key, value, expected) in [
        ("restart_policy", json!("always"), "restart_policy"),
        ("state", json!("started"), "goes with `state: oneshot`"),
        ("recreate", json!(true), "replaced"),
        ("oneshot", json!({"until": {}}), "asks for nothing"),
        ("oneshot", json!({"fail_on": "("}), "no regular expression"),
        ("oneshot", json!({"within": "soon"}), "no time"),
        ("oneshot", json!({"creates": "here"}), "no absolute path"),
        ("oneshot", json!({"changes": ["here"]}), "kind:id"),
    ] {
        let mut args = scene.args("x", "true", &json!({}));
        args[key] = value;
        let why = check(&args).await.unwrap_err();
        assert!(why.contains(expected), "{key}: {why}");
    }
}
