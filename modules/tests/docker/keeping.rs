//! Containers made by hand keep what the playbook does not know.

use runbook_modules::docker::address_of;
use serde_json::{Value as Json, json};

use super::daemon::{Host, NEW, OLD, docker, healthy, inspect, outside};

#[tokio::test]
async fn what_was_given_by_hand_is_there_after_the_new_image() {
    let Some(host) = Host::new("what_was_given_by_hand_is_there_after_the_new_image") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bind = format!("{}:/kept:z", folder.path().display());
    let network = host.name("net");
    docker(&["network", "create", &network]);
    let name = host.by_hand(
        "arc",
        &[
            "--network",
            &network,
            "--network-alias",
            "archive",
            "-e",
            "SITE=St. Anna",
            "-e",
            "DB_PASSWORD=geheim-1",
            "-p",
            "127.0.0.1:0:80",
            "-p",
            "127.0.0.1:39181:81/udp",
            "--memory",
            "64m",
            "--restart",
            "always",
            "--add-host",
            "pacs.example:192.0.2.7",
            "-v",
            &bind,
            "--tmpfs",
            "/scratch:size=1m",
            "--mount",
            "type=tmpfs,target=/more",
            "--label",
            "owner=radiology",
            "--cap-drop",
            "NET_RAW",
            "--ulimit",
            "nofile=2048",
            "--log-opt",
            "max-size=1m",
            "--shm-size",
            "16m",
            "--stop-timeout",
            "1",
            OLD,
        ],
    );
    docker(&["exec", &name, "sh", "-c", "echo precious > /data/file"]);
    let before = inspect(&name);
    let run = host.run(&healthy(&name, NEW)).await.unwrap();
    let summary = run.wanted.summary.unwrap();
    assert!(summary.contains("image 1 → 2"), "{summary}");
    assert!(
        summary.contains("kept: 2 variables, 1 bind, 1 volume, "),
        "{summary}"
    );
    assert!(!summary.contains("geheim"), "{summary}");

    let after = inspect(&name);
    assert_ne!(before["Id"], after["Id"]);
    assert_ne!(before["Image"], after["Image"]);
    let at = |json: &Json, path: &str| json.pointer(path).cloned().unwrap_or(Json::Null);
    for path in [
        "/HostConfig/Memory",
        "/HostConfig/MemorySwap",
        "/HostConfig/RestartPolicy",
        "/HostConfig/ExtraHosts",
        "/HostConfig/PortBindings",
        "/HostConfig/Tmpfs",
        "/HostConfig/CapDrop",
        "/HostConfig/Ulimits",
        "/HostConfig/LogConfig",
        "/HostConfig/ShmSize",
        "/HostConfig/NetworkMode",
        "/Config/StopTimeout",
        "/Config/Labels/owner",
    ] {
        assert_ne!(at(&before, path), Json::Null, "{path}");
        assert_eq!(at(&before, path), at(&after, path), "{path}");
    }
    let env = after["Config"]["Env"].to_string();
    for part in ["SITE=St. Anna", "DB_PASSWORD=geheim-1", "OF_IMAGE=new"] {
        assert!(env.contains(part), "{env}");
    }
    assert!(
        !env.contains("ONLY_OLD") && !env.contains("OF_IMAGE=old"),
        "{env}"
    );
    assert_eq!(after["Config"]["Labels"]["version"], "2");
    assert_eq!(after["Config"]["Cmd"][0], "sh");
    assert!(
        after["HostConfig"]["Binds"]
            .to_string()
            .contains(":/kept:z")
    );
    assert!(
        after["Mounts"].to_string().contains("/more"),
        "{}",
        after["Mounts"]
    );
    let aliases = after["NetworkSettings"]["Networks"][&network]["Aliases"].to_string();
    assert!(aliases.contains("archive"), "{aliases}");
    // The volume without a name is the same one.
    assert_eq!(docker(&["exec", &name, "cat", "/data/file"]), "precious");
    // No name made up for the old one stays with the new one.
    let id = after["Id"].as_str().unwrap();
    assert!(id.starts_with(after["Config"]["Hostname"].as_str().unwrap()));

    // The old one is kept, and does not come back by itself.
    let aside = &run.kept[0].place;
    let old = inspect(aside);
    assert_eq!(old["Id"], before["Id"]);
    assert_eq!(old["State"]["Running"], false);
    assert_eq!(old["HostConfig"]["RestartPolicy"]["Name"], "no");

    // A second time there is nothing to be done, and nothing is done.
    let again = host.run(&healthy(&name, NEW)).await.unwrap();
    assert!(!again.changed, "{:?}", again.wanted.summary);
    assert_eq!(
        inspect(&name)["State"]["StartedAt"],
        after["State"]["StartedAt"]
    );

    // Removed when the run is closed, its volume is still there.
    runbook_engine::resource::Kind::discard(
        &runbook_modules::docker::Container,
        &host.target,
        &run.kept[0],
    )
    .await
    .unwrap();
    assert!(outside("docker", &["inspect", aside]).is_err());
    assert_eq!(docker(&["exec", &name, "cat", "/data/file"]), "precious");
    let address = address_of(&host.probe, &name, 80).await.unwrap();
    let ip = &after["NetworkSettings"]["Networks"][&network]["IPAddress"];
    assert_eq!(
        address,
        runbook_engine::host::Address::Tcp(ip.as_str().unwrap().to_owned(), 80)
    );
}

#[tokio::test]
async fn limits_policy_and_networks_change_while_it_stays() {
    let Some(host) = Host::new("limits_policy_and_networks_change_while_it_stays") else {
        return;
    };
    let (one, two) = (host.name("one"), host.name("two"));
    docker(&["network", "create", &one]);
    docker(&["network", "create", &two]);
    let name = host.by_hand("db", &["--network", &one, "--memory", "64m", OLD]);
    let before = inspect(&name);
    let args = json!({
        "name": name, "memory": "128M", "restart_policy": "unless-stopped",
        "networks": [{"name": two, "aliases": ["db", "database"]}],
    });
    let run = host.run(&args).await.unwrap();
    assert!(run.changed && run.kept.is_empty());
    let after = inspect(&name);
    assert_eq!(before["Id"], after["Id"]);
    assert_eq!(before["State"]["StartedAt"], after["State"]["StartedAt"]);
    assert_eq!(after["HostConfig"]["Memory"], 128 << 20);
    assert_eq!(
        after["HostConfig"]["RestartPolicy"]["Name"],
        "unless-stopped"
    );
    let networks = after["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), [&two]);
    assert!(networks[&two]["Aliases"].to_string().contains("database"));
    assert!(!host.run(&args).await.unwrap().changed);
    // Another name there is seen and set too.
    let mut more = args.clone();
    more["networks"][0]["aliases"] = json!(["db", "pacsdb"]);
    assert!(host.run(&more).await.unwrap().changed);
    let aliases = inspect(&name)["NetworkSettings"]["Networks"][&two]["Aliases"].to_string();
    assert!(aliases.contains("pacsdb"), "{aliases}");
    // Made anew later, it is in that network and in no other.
    let run = host.run(&healthy(&name, NEW)).await.unwrap();
    assert!(run.changed);
    let networks = inspect(&name)["NetworkSettings"]["Networks"].clone();
    assert_eq!(
        networks.as_object().unwrap().keys().collect::<Vec<_>>(),
        [&two]
    );
}

#[tokio::test]
async fn asking_for_a_default_is_no_difference_and_what_is_not_asked_any_more_goes() {
    let Some(host) = Host::new("asking_for_a_default_is_no_difference") else {
        return;
    };
    let name = host.name("arc");
    let mut args = healthy(&name, OLD);
    args["env"] =
        json!({"OF_IMAGE": "old", "LDAP_URL": "ldap://ldap:389", "API_TOKEN": "sehr-geheim"});
    args["command"] = json!(["httpd", "-f", "-p", "80", "-h", "/etc"]);
    args["labels"] = json!({"version": "1"});
    assert!(host.run(&args).await.unwrap().changed);
    let again = host.run(&args).await.unwrap();
    assert!(!again.changed, "{:?}", again.wanted.summary);
    // A variable of another program is kept; one of ours that is gone from the task goes.
    args["env"].as_object_mut().unwrap().remove("LDAP_URL");
    args["env"]["API_TOKEN"] = json!("noch-geheimer");
    let run = host.run(&args).await.unwrap();
    let summary = run.wanted.summary.unwrap();
    assert!(
        summary.contains("variable LDAP_URL ldap://ldap:389 → unset"),
        "{summary}"
    );
    assert!(
        summary.contains("variable API_TOKEN differs in a secret"),
        "{summary}"
    );
    let env = inspect(&name)["Config"]["Env"].to_string();
    assert!(
        !env.contains("LDAP_URL") && env.contains("OF_IMAGE=old"),
        "{env}"
    );
    assert!(!host.run(&args).await.unwrap().changed);
    let labels = inspect(&name)["Config"]["Labels"].to_string();
    assert!(!labels.contains("geheim"), "{labels}");
}

/// In the guide the network is called otherwise than compose calls it.
#[tokio::test]
async fn a_network_of_another_name_is_refused_and_its_own_is_named() {
    let Some(host) = Host::new("a_network_of_another_name_is_refused_and_its_own_is_named") else {
        return;
    };
    let network = host.name("dcm4cheearc_default");
    docker(&["network", "create", &network]);
    let name = host.by_hand("ldap", &["--network", &network, OLD]);
    let before = inspect(&name);
    let args = json!({"name": name, "networks": [{"name": "dcm4chee_default"}]});
    let Err(refused) = host.run(&args).await else {
        panic!("it was put into a network that is not there");
    };
    assert!(
        refused.contains(&format!("({name} is in {network} now)")),
        "{refused}"
    );
    assert_eq!(before["NetworkSettings"], inspect(&name)["NetworkSettings"]);
}
