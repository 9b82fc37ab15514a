//! What happens to the old container, whatever happens to the new one.

use runbook_engine::resource::{Kind, Reversible, WriteError};
use runbook_modules::docker::Container;
use serde_json::{Value as Json, json};

use super::daemon::{BROKEN, Host, NEW, OLD, docker, healthy, inspect, outside, want_of};
use super::refusing::refusing;

/// What `docker inspect` says, where there is such a container.
fn inspect_or_null(name: &str) -> Json {
    let said = outside("docker", &["inspect", name]).unwrap_or_default();
    let list: Json = serde_json::from_str(&said).unwrap_or_default();
    list[0].clone()
}

#[tokio::test]
async fn an_image_that_does_not_get_healthy_brings_the_old_container_back() {
    let Some(host) = Host::new("an_image_that_does_not_get_healthy") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("file"), "as it was").unwrap();
    let bind = format!("{}:/kept", kept.display());
    let name = host.by_hand(
        "arc",
        &[
            "-v",
            &bind,
            "-e",
            "DB_PASSWORD=geheim-2",
            "--restart",
            "always",
            OLD,
        ],
    );
    let before = inspect(&name);
    let mut args = healthy(&name, BROKEN);
    args["save"] = json!([kept]);
    args["healthy"]["within"] = json!("5s");
    let error = host.run(&args).await.unwrap_err();
    assert!(error.contains("the configuration is wrong"), "{error}");
    assert!(error.contains("is back and runs"), "{error}");
    assert!(!error.contains("geheim"), "{error}");
    let after = inspect(&name);
    assert_eq!(before["Id"], after["Id"]);
    assert_eq!(after["State"]["Running"], true);
    assert_eq!(before["HostConfig"], after["HostConfig"]);
    assert_eq!(
        std::fs::read_to_string(kept.join("file")).unwrap(),
        "as it was"
    );
    // Nothing is left over, on disk or in the daemon.
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let all = docker(&[
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={name}"),
    ]);
    assert_eq!(all, name);
}

#[tokio::test]
async fn what_a_failing_container_wrote_where_nothing_was_goes_again() {
    let Some(host) = Host::new("what_a_failing_container_wrote") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let bind = format!("{}:/kept", folder.path().display());
    let name = host.by_hand("arc", &["-v", &bind, OLD]);
    let mut args = healthy(&name, BROKEN);
    // Of the second not even the folder is there.
    args["save"] = json!([file, folder.path().join("none/there")]);
    args["healthy"]["within"] = json!("3s");
    let error = host.run(&args).await.unwrap_err();
    assert!(error.contains("is back and runs"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    // One that works leaves a mark, with which the file goes when it is taken back later on, too.
    args["image"] = json!(NEW);
    args["healthy"]["within"] = json!("20s");
    let run = host.run(&args).await.unwrap();
    let mark = run.kept.iter().find(|k| k.place.ends_with(".absent"));
    let mark = mark.unwrap().clone();
    assert!(std::path::Path::new(mark.place.strip_prefix("copy:").unwrap()).exists());
    Container.discard(&host.target, &mark).await.unwrap();
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn the_old_container_runs_again_also_where_the_new_one_cannot_be_removed() {
    let Some(mut host) = Host::new("the_old_container_runs_again_also") else {
        return;
    };
    let refused = refusing(&mut host);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let bind = format!("{}:/kept", folder.path().display());
    let all = |name: &str| {
        let filter = format!("name={name}");
        let mut names: Vec<String> = docker(&[
            "ps",
            "-a",
            "--format",
            "{{.Names}} {{.State}}",
            "--filter",
            &filter,
        ])
        .lines()
        .map(str::to_owned)
        .collect();
        names.sort();
        names
    };
    for options in [&["--restart", "always"][..], &["-e", "SITE=1"][..]] {
        std::fs::write(&file, "as it was").unwrap();
        let mut by_hand = vec!["-v", bind.as_str()];
        by_hand.extend(options);
        by_hand.push(OLD);
        let name = host.by_hand(options[0].trim_matches('-'), &by_hand);
        let before = inspect(&name);
        let mut args = healthy(&name, BROKEN);
        args["healthy"]["within"] = json!("3s");
        args["save"] = json!([file]);
        *refused.lock().unwrap() = vec!["DELETE /containers/".to_owned()];
        let error = host.run(&args).await.unwrap_err();
        assert!(error.contains("the configuration is wrong"), "{error}");
        assert!(error.contains("could not be removed"), "{error}");
        assert!(error.contains("not today"), "{error}");
        let after = inspect(&name);
        assert_eq!(after["State"]["Running"], true, "{error}");
        assert_eq!(after["Config"]["Image"], before["Config"]["Image"]);
        assert_eq!(
            after["HostConfig"]["RestartPolicy"],
            before["HostConfig"]["RestartPolicy"]
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        let new = format!("{name}.runbook-new");
        assert_eq!(
            all(&name),
            [format!("{name} running"), format!("{new} exited")]
        );
        assert_eq!(inspect(&new)["HostConfig"]["RestartPolicy"]["Name"], "no");
        // The next run removes it.
        refused.lock().unwrap().clear();
        host.run(&healthy(&name, NEW)).await.unwrap();
        assert!(outside("docker", &["inspect", &new]).is_err());
    }
    // Where it can neither be removed nor be named otherwise, the old one runs under the name that it has.
    let name = host.by_hand("named", &["-v", &bind, OLD]);
    let before = inspect(&name);
    let mut args = healthy(&name, BROKEN);
    args["healthy"]["within"] = json!("3s");
    let change = host.container_change(&args).await;
    let lock = refused.clone();
    let watch = {
        let name = name.clone();
        tokio::spawn(async move {
            // As soon as the new one has the name.
            while inspect_or_null(&name)["Config"]["Image"] != BROKEN {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            *lock.lock().unwrap() = vec!["DELETE ".to_owned(), "POST /containers/".to_owned()];
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        })
    };
    let error = Container.write(&host.target, &[change]).await.unwrap_err();
    watch.await.unwrap();
    let WriteError::Failed {
        left: Some(left), ..
    } = error
    else {
        panic!("{error}");
    };
    for part in [
        "could not be removed",
        "still called",
        "does not start again",
    ] {
        assert!(left.contains(part), "{left}");
    }
    let aside = format!("{name}.runbook-{}", &before["Id"].as_str().unwrap()[..8]);
    assert_eq!(inspect(&aside)["Id"], before["Id"]);
}

#[tokio::test]
async fn settings_that_the_daemon_refuses_are_found_while_the_old_one_runs() {
    let Some(host) = Host::new("settings_that_the_daemon_refuses") else {
        return;
    };
    let name = host.by_hand("db", &[OLD]);
    let before = inspect(&name);
    let mut args = healthy(&name, NEW);
    args["memory"] = json!("1M");
    let error = host.run(&args).await.unwrap_err();
    assert!(error.to_lowercase().contains("memory"), "{error}");
    let after = inspect(&name);
    assert_eq!(before["State"]["StartedAt"], after["State"]["StartedAt"]);
    let all = docker(&[
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={name}"),
    ]);
    assert_eq!(all, name);
}

#[tokio::test]
async fn no_room_for_a_copy_is_found_while_the_old_one_runs() {
    let Some(host) = Host::new("no_room_for_a_copy") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let name = host.by_hand("db", &[OLD]);
    let before = inspect(&name);
    let id = before["Id"].as_str().unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    // Something of another program is where the copy would go.
    std::fs::write(
        folder.path().join(format!("kept.runbook-{}", &id[..8])),
        "mine",
    )
    .unwrap();
    let mut args = healthy(&name, NEW);
    args["save"] = json!([kept]);
    let error = host.run(&args).await.unwrap_err();
    assert!(error.contains("is in the way"), "{error}");
    assert_eq!(
        inspect(&name)["State"]["StartedAt"],
        before["State"]["StartedAt"]
    );
}

#[tokio::test]
async fn a_replacement_that_was_cut_off_is_carried_on() {
    let Some(host) = Host::new("a_replacement_that_was_cut_off") else {
        return;
    };
    let name = host.by_hand("arc", &["-e", "SITE=1", "--restart", "always", OLD]);
    let id = inspect(&name)["Id"].as_str().unwrap().to_owned();
    let (aside, new) = (
        format!("{name}.runbook-{}", &id[..8]),
        format!("{name}.runbook-new"),
    );
    // Killed between the two renamings.
    let label = format!("org.runbook.replaces={id}");
    docker(&["create", "--name", &new, "--label", &label, NEW]);
    docker(&["stop", "-t", "1", &name]);
    docker(&["rename", &name, &aside]);
    let state = host.state(&name).await;
    assert!(state.exists && !state.running);
    assert_eq!(state.id, id);
    let run = host.run(&healthy(&name, NEW)).await.unwrap();
    assert_eq!(run.kept[0].place, aside);
    let after = inspect(&name);
    assert!(after["Config"]["Env"].to_string().contains("SITE=1"));
    assert_eq!(after["HostConfig"]["RestartPolicy"]["Name"], "always");
    assert!(outside("docker", &["inspect", &new]).is_err());
    // Killed after the new one was made: it is removed, and the old one is still the one.
    docker(&["create", "--name", &new, "--label", &label, OLD]);
    assert!(
        host.run(&json!({"name": name, "state": "stopped", "stop_timeout": 1}))
            .await
            .unwrap()
            .changed
    );
    assert!(outside("docker", &["inspect", &new]).is_err());
}

/// The new one had the name when the daemon was killed; when it came back it started the old one, which is restarted always and
/// had only been stopped.
#[tokio::test]
async fn an_old_container_that_the_daemon_has_started_again_gives_way() {
    let Some(host) = Host::new("an_old_container_that_the_daemon_has_started_again") else {
        return;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let publish = format!("{}:80", port.local_addr().unwrap().port());
    drop(port);
    let name = host.by_hand("again", &["--restart", "always", "-p", &publish, OLD]);
    let change = host.container_change(&healthy(&name, NEW)).await;
    let id = change.change.from.id.clone();
    let (aside, label) = (
        format!("{name}.runbook-{}", &id[..8]),
        format!("org.runbook.replaces={id}"),
    );
    docker(&["stop", "-t", "1", &name]);
    docker(&["rename", &name, &aside]);
    docker(&[
        "create",
        "--name",
        &name,
        "--label",
        &label,
        "--restart",
        "always",
        "-p",
        &publish,
        NEW,
    ]);
    docker(&["start", &aside]);

    let kept = Container.recover(&host.target, &[change]).await.unwrap();
    assert!(kept.iter().any(|k| k.place == aside), "{kept:?}");
    let (new, old) = (inspect(&name), inspect(&aside));
    assert_eq!(
        (&new["State"]["Running"], &old["State"]["Running"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(new["Config"]["Image"], NEW);
    assert_eq!(old["HostConfig"]["RestartPolicy"]["Name"], "no");
}

#[tokio::test]
async fn a_container_made_to_be_removed_is_replaced_and_made_again() {
    let Some(host) = Host::new("a_container_made_to_be_removed") else {
        return;
    };
    let name = host.by_hand("tmp", &["--rm", "-e", "SITE=1", OLD]);
    docker(&["exec", &name, "sh", "-c", "echo precious > /data/file"]);
    let change = host.container_change(&healthy(&name, NEW)).await;
    assert!(matches!(
        Container.reversible(&change.change, &change.key),
        Reversible::Loses(_)
    ));
    let mut args = healthy(&name, BROKEN);
    args["healthy"]["within"] = json!("3s");
    let error = host.run(&args).await.unwrap_err();
    assert!(error.contains("did not become healthy"), "{error}");
    assert!(!error.contains("LEFT"), "{error}");
    let after = inspect(&name);
    assert_eq!(after["State"]["Running"], true, "{error}");
    assert_eq!(after["HostConfig"]["AutoRemove"], true);
    assert!(after["Config"]["Env"].to_string().contains("SITE=1"));
    assert_eq!(docker(&["exec", &name, "cat", "/data/file"]), "precious");
    host.run(&healthy(&name, NEW)).await.unwrap();
    assert_eq!(docker(&["exec", &name, "cat", "/data/file"]), "precious");
}

#[tokio::test]
async fn a_container_that_someone_changed_meanwhile_is_not_touched() {
    let Some(host) = Host::new("a_container_that_someone_changed") else {
        return;
    };
    let name = host.by_hand("arc", &[OLD]);
    let change = host.container_change(&healthy(&name, NEW)).await;
    assert_eq!(want_of(&change).within, 20);
    docker(&["update", "--restart", "always", &name]);
    let before = inspect(&name);
    let error = Container.write(&host.target, &[change]).await.unwrap_err();
    assert!(
        matches!(&error, WriteError::Moved { found, .. } if found.contains("other settings")),
        "{error}"
    );
    assert_eq!(before, inspect(&name));
}

#[tokio::test]
async fn a_removed_container_can_come_back() {
    let Some(host) = Host::new("a_removed_container_can_come_back") else {
        return;
    };
    let name = host.by_hand("db", &["--restart", "always", OLD]);
    let args = json!({"name": name, "state": "absent", "stop_timeout": 1});
    let run = host.run(&args).await.unwrap();
    assert!(outside("docker", &["inspect", &name]).is_err());
    let aside = inspect(&run.kept[0].place);
    assert_eq!(aside["State"]["Running"], false);
    assert_eq!(aside["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert!(!host.run(&args).await.unwrap().changed);
    Container.discard(&host.target, &run.kept[0]).await.unwrap();
    assert!(outside("docker", &["inspect", &run.kept[0].place]).is_err());
    // Only what was put aside is ever discarded.
    let other = host.by_hand("other", &[OLD]);
    let mut kept = run.kept[0].clone();
    kept.place.clone_from(&other);
    assert!(Container.discard(&host.target, &kept).await.is_err());
    assert_eq!(inspect(&other)["State"]["Running"], true);
}

#[tokio::test]
async fn started_stopped_made_anew_and_refused() {
    let Some(host) = Host::new("started_stopped_made_anew") else {
        return;
    };
    let name = host.by_hand("arc", &[OLD]);
    let id = inspect(&name)["Id"].clone();
    let stopped = json!({"name": name, "state": "stopped", "stop_timeout": 1});
    assert!(host.run(&stopped).await.unwrap().changed);
    assert!(!host.run(&stopped).await.unwrap().changed);
    assert!(host.run(&json!({"name": name})).await.unwrap().changed);
    assert_eq!(inspect(&name)["Id"], id);
    docker(&["pause", &name]);
    assert!(host.run(&json!({"name": name})).await.unwrap().changed);
    assert_eq!(inspect(&name)["State"]["Status"], "running");
    // Made anew although nothing differs, once.
    let mut anew = healthy(&name, OLD);
    anew["recreate"] = json!(true);
    assert!(host.run(&anew).await.unwrap().changed);
    assert_ne!(inspect(&name)["Id"], id);
    // An image that is not there, a container that is not there, one of a compose project.
    let error = host
        .run(&healthy(&name, "runbook-test/none:1"))
        .await
        .unwrap_err();
    assert!(error.contains("docker_image"), "{error}");
    let error = host
        .run(&json!({"name": host.name("none")}))
        .await
        .unwrap_err();
    assert!(error.contains("name its `image`"), "{error}");
    let composed = host.by_hand(
        "composed",
        &["--label", "com.docker.compose.project=arc", OLD],
    );
    let error = host.run(&healthy(&composed, NEW)).await.unwrap_err();
    assert!(error.contains("docker_compose"), "{error}");
    assert!(
        host.run(&json!({"name": composed, "state": "stopped", "stop_timeout": 1}))
            .await
            .unwrap()
            .changed
    );
}

#[tokio::test]
async fn who_has_the_port_is_named_and_nothing_is_left() {
    let Some(host) = Host::new("who_has_the_port_is_named") else {
        return;
    };
    let holder = host.by_hand("holder", &["-p", "127.0.0.1::80", OLD]);
    let port = inspect(&holder)
        .pointer("/NetworkSettings/Ports/80~1tcp/0/HostPort")
        .and_then(Json::as_str)
        .unwrap()
        .to_owned();
    let name = host.name("late");
    let mut args = healthy(&name, OLD);
    args["ports"] = json!([format!("127.0.0.1:{port}:80")]);
    let error = host.run(&args).await.unwrap_err();
    assert!(
        error.contains(&format!("since {holder} has port {port}")),
        "{error}"
    );
    assert_eq!(inspect_or_null(&name), Json::Null);
    // Once it is free, the same task does it.
    docker(&["rm", "-f", &holder]);
    host.run(&args).await.unwrap();
    assert_eq!(inspect(&name)["State"]["Running"], true);
}
