//! Taking a replacement back later on, with what was kept aside.

use runbook_engine::resource::{Change, KeyedChange, Kind, WriteError};
use runbook_modules::docker::Container;
use serde_json::{Value as Json, json};

use super::daemon::{Host, NEW, OLD, docker, healthy, inspect};

type Change1 = KeyedChange<Container>;

/// Replaces the container; the change that was made.
async fn replaced(host: &Host, args: &Json) -> Change1 {
    let change = host.container_change(args).await;
    let again = KeyedChange {
        key: change.key.clone(),
        change: change.change.clone(),
    };
    Container.write(&host.target, &[change]).await.unwrap();
    again
}

/// What takes it back, from what there is by now.
async fn backward(host: &Host, made: &Change1) -> Change1 {
    let want = Container.back(&made.key, &made.change).unwrap();
    let from = host.state(&made.key.name).await;
    let to = Container.predict(&want, &from);
    KeyedChange {
        key: made.key.clone(),
        change: Change { from, to, want },
    }
}

async fn take_back(host: &Host, made: &Change1) -> Result<(), String> {
    let change = backward(host, made).await;
    let (key, want) = (change.key.clone(), change.change.want.clone());
    let done = Container.write(&host.target, &[change]).await;
    done.map_err(|error| match error {
        WriteError::Failed {
            message,
            left: Some(left),
        } => format!("{message}\nLEFT: {left}"),
        other => other.to_string(),
    })?;
    let now = host.state(&key.name).await;
    assert_eq!(Container.differences(&want, &now), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn there_and_back_and_there_and_back_again() {
    let Some(host) = Host::new("there_and_back") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    let file = kept.join("file");
    std::fs::write(&file, "of the old one").unwrap();
    let bind = format!("{}:/kept", kept.display());
    let name = host.by_hand(
        "arc",
        &["-v", &bind, "--restart", "always", "-m", "32m", OLD],
    );
    docker(&[
        "exec",
        &name,
        "sh",
        "-c",
        "echo within > /within; echo volume > /data/file",
    ]);
    let before = inspect(&name);
    let mut args = healthy(&name, NEW);
    let later = folder.path().join("later");
    args["save"] = json!([kept, later]);
    args["memory"] = json!("64M");
    for round in 0..2 {
        let made = replaced(&host, &args).await;
        assert_ne!(inspect(&name)["Id"], before["Id"]);
        std::fs::write(&file, format!("of the new one {round}")).unwrap();
        std::fs::write(&later, "of the new one").unwrap();
        take_back(&host, &made).await.unwrap();
        let after = inspect(&name);
        for key in ["Id", "Image", "HostConfig", "Config", "Mounts"] {
            assert_eq!(after[key], before[key], "{key}");
        }
        assert_eq!(after["State"]["Running"], true);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "of the old one");
        assert!(!later.exists());
        let within = docker(&["exec", &name, "cat", "/within", "/data/file"]);
        assert_eq!(within, "within\nvolume");
        // What the new one wrote is not lost either.
        let aside: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().path().join("file"))
            .filter(|path| *path != file && path.exists())
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(
            aside.contains(&format!("of the new one {round}")),
            "{aside:?}"
        );
        assert!(!aside.contains(&"of the old one".to_owned()), "{aside:?}");
    }
}

#[tokio::test]
async fn an_old_container_that_does_not_start_any_more_leaves_the_new_one() {
    let Some(host) = Host::new("an_old_container_that_does_not_start") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "of the old one").unwrap();
    let bind = format!("{}:/kept", folder.path().display());
    let command = "busybox grep -q new /kept/file && { echo the data is too new; exit 3; }; httpd -f -p 80 -h /etc";
    let name = host.by_hand(
        "arc",
        &["-v", &bind, "--restart", "always", OLD, "sh", "-c", command],
    );
    let made = replaced(&host, &healthy(&name, NEW)).await;
    std::fs::write(&file, "of the new one").unwrap();
    let new = inspect(&name);
    let error = take_back(&host, &made).await.unwrap_err();
    assert!(error.contains("is back and runs"), "{error}");
    let after = inspect(&name);
    for key in ["Id", "HostConfig", "Config"] {
        assert_eq!(after[key], new[key], "{key}");
    }
    assert_eq!(after["State"]["Running"], true);
    // The old one is where it was, and stays down.
    let old = inspect(&format!("{name}.runbook-{}", &made.change.from.id[..8]));
    assert_eq!(old["State"]["Running"], false);
    assert_eq!(old["HostConfig"]["RestartPolicy"]["Name"], "no");
    // With its data as it was, it comes back after all.
    std::fs::write(&file, "of the old one").unwrap();
    take_back(&host, &made).await.unwrap();
    assert_eq!(inspect(&name)["Id"], json!(made.change.from.id));
}

#[tokio::test]
async fn what_was_closed_cannot_come_back() {
    let Some(host) = Host::new("what_was_closed") else {
        return;
    };
    let name = host.by_hand("arc", &[OLD]);
    let made = replaced(&host, &healthy(&name, NEW)).await;
    let new = inspect(&name);
    docker(&[
        "rm",
        &format!("{name}.runbook-{}", &made.change.from.id[..8]),
    ]);
    let error = take_back(&host, &made).await.unwrap_err();
    assert!(error.contains("not on the host any more"), "{error}");
    let after = inspect(&name);
    assert_eq!(after["State"]["StartedAt"], new["State"]["StartedAt"]);
}

#[tokio::test]
async fn a_first_limit_is_taken_back_by_making_it_anew_and_that_is_said() {
    let Some(host) = Host::new("a_first_limit") else {
        return;
    };
    let name = host.by_hand("arc", &["-e", "BY_HAND=1", OLD]);
    let before = inspect(&name);
    let args = json!({"name": name, "memory": "64M", "stop_timeout": 1});
    let change = host.container_change(&args).await;
    let said = Container.reversible(&change.change, &change.key);
    assert!(
        format!("{said:?}").contains("memory 64M → unset"),
        "{said:?}"
    );
    let made = replaced(&host, &args).await;
    assert_eq!(inspect(&name)["Id"], before["Id"]);
    take_back(&host, &made).await.unwrap();
    let after = inspect(&name);
    assert_ne!(after["Id"], before["Id"]);
    assert_eq!(after["HostConfig"]["Memory"], 0);
    assert_eq!(after["Config"]["Env"], before["Config"]["Env"]);
}
