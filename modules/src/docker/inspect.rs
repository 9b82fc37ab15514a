//! From what the daemon says of a container to its state: what is its image's own is taken out.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::state::{ContainerState, Mount};

/// `inspect` of a container, and `Config` of its image.
#[must_use]
pub fn state(inspect: &Json, image_config: &Json) -> ContainerState {
    let text = |path: &str| {
        inspect
            .pointer(path)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |path: &str| inspect.pointer(path).and_then(Json::as_i64).unwrap_or(0);
    let id = text("/Id");
    let mut state = ContainerState {
        exists: true,
        running: inspect.pointer("/State/Running") == Some(&Json::Bool(true)),
        status: text("/State/Status"),
        exit_code: number("/State/ExitCode"),
        started_at: text("/State/StartedAt"),
        restart_count: number("/RestartCount"),
        image: text("/Config/Image"),
        image_id: text("/Image"),
        mounts: mounts(inspect),
        own: own(
            inspect.get("Config").unwrap_or(&Json::Null),
            image_config,
            &id,
        ),
        host: inspect
            .get("HostConfig")
            .cloned()
            .unwrap_or_else(|| json!({})),
        id,
        ..ContainerState::default()
    };
    if let Some(host) = state.host.as_object_mut() {
        // Mounts are kept in `mounts`; the rest of the host settings stays as it is.
        host.remove("Binds");
    }
    let networks = inspect
        .pointer("/NetworkSettings/Networks")
        .and_then(Json::as_object);
    for (name, settings) in networks.into_iter().flatten() {
        let aliases: Vec<&str> = settings
            .get("Aliases")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .filter(|alias| !state.id.starts_with(alias))
            .collect();
        let mut kept = json!({});
        if !aliases.is_empty() {
            kept["Aliases"] = json!(aliases);
        }
        if let Some(fixed) = settings
            .get("IPAMConfig")
            .filter(|c| c.as_object().is_some_and(|m| !m.is_empty()))
        {
            kept["IPAMConfig"] = fixed.clone();
        }
        state.networks.insert(name.clone(), kept);
        if let Some(address) = settings
            .get("IPAddress")
            .and_then(Json::as_str)
            .filter(|a| !a.is_empty())
        {
            state.addresses.insert(name.clone(), address.to_owned());
        }
    }
    state
}

fn mounts(inspect: &Json) -> Vec<Mount> {
    let list = inspect
        .get("Mounts")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let mut mounts: Vec<Mount> = list
        .map(|mount| {
            let text = |key: &str| {
                mount
                    .get(key)
                    .and_then(Json::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let kind = text("Type");
            let name = text("Name");
            let anonymous =
                kind == "volume" && name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
            Mount {
                source: if kind == "volume" {
                    name
                } else {
                    text("Source")
                },
                target: text("Destination"),
                read_only: mount.get("RW") == Some(&Json::Bool(false)),
                anonymous,
                kind,
            }
        })
        .collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    mounts
}

/// `Config` without what comes from the image, so that another image's defaults take its place.
fn own(config: &Json, image: &Json, id: &str) -> Json {
    let mut own = config.as_object().cloned().unwrap_or_default();
    let of_image = |key: &str| image.get(key).cloned().unwrap_or(Json::Null);
    own.remove("Image");
    for key in [
        "Cmd",
        "Entrypoint",
        "WorkingDir",
        "User",
        "Healthcheck",
        "StopSignal",
        "OnBuild",
        "Shell",
        "Volumes",
    ] {
        let same = own
            .get(key)
            .is_none_or(|v| *v == of_image(key) || v.is_null() || *v == json!(""));
        if same || matches!(key, "Volumes" | "OnBuild") {
            own.remove(key);
        }
    }
    if own
        .get("Hostname")
        .and_then(Json::as_str)
        .is_some_and(|h| id.starts_with(h))
    {
        own.remove("Hostname");
    }
    for key in ["Env", "ExposedPorts", "Labels"] {
        let image_value = of_image(key);
        match (own.get_mut(key), image_value) {
            (Some(Json::Array(mine)), Json::Array(its)) => mine.retain(|e| !its.contains(e)),
            (Some(Json::Object(mine)), Json::Object(its)) => {
                mine.retain(|k, v| its.get(k) != Some(v))
            }
            _ => {}
        }
    }
    if let Some(Json::Array(env)) = own.get_mut("Env") {
        env.sort_by_key(ToString::to_string);
    }
    // Defaults of every container that a person made with `docker run -d`.
    for key in [
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "OpenStdin",
        "StdinOnce",
        "Tty",
    ] {
        if own.get(key) == Some(&Json::Bool(false)) {
            own.remove(key);
        }
    }
    if own.get("Domainname") == Some(&json!("")) {
        own.remove("Domainname");
    }
    for key in ["Env", "ExposedPorts", "Labels"] {
        let empty = own.get(key).is_some_and(|v| match v {
            Json::Array(a) => a.is_empty(),
            Json::Object(m) => m.is_empty(),
            other => other.is_null(),
        });
        if empty {
            own.remove(key);
        }
    }
    let sorted: BTreeMap<String, Json> = own.into_iter().collect();
    json!(sorted)
}
