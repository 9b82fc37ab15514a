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
        defaults: image_config.clone(),
        host: inspect
            .get("HostConfig")
            .cloned()
            .unwrap_or_else(|| json!({})),
        id,
        ..ContainerState::default()
    };
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
        for key in ["IPAMConfig", "Links", "DriverOpts"] {
            let asked = settings.get(key).filter(|value| match value {
                Json::Object(map) => !map.is_empty(),
                Json::Array(list) => !list.is_empty(),
                _ => false,
            });
            if let Some(asked) = asked {
                kept[key] = asked.clone();
            }
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
                options: text("Mode")
                    .split(',')
                    .filter(|o| !matches!(*o, "" | "ro" | "rw"))
                    .collect::<Vec<_>>()
                    .join(","),
                kind,
            }
        })
        .collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    mounts
}

/// `Config` without what comes from the image, so that another image's defaults take its place, and without what the
/// daemon made up.
fn own(config: &Json, image: &Json, id: &str) -> Json {
    let mut own = config.as_object().cloned().unwrap_or_default();
    own.remove("Image");
    // The daemon names a container after its id where nobody did.
    let made_up = |h: &str| !h.is_empty() && id.starts_with(h);
    if own
        .get("Hostname")
        .and_then(Json::as_str)
        .is_some_and(made_up)
    {
        own.remove("Hostname");
    }
    without_defaults(own, image)
}

/// Settings without those that are the image's anyway, in one form: whoever asks for the very default asks for nothing.
#[must_use]
pub fn without_defaults(mut own: serde_json::Map<String, Json>, image: &Json) -> Json {
    let of_image = |key: &str| image.get(key).cloned().unwrap_or(Json::Null);
    // An own entrypoint takes the image's command away, so the command has to stay where the entrypoint does.
    let entrypoint = own.get("Entrypoint").is_some_and(|v| !empty(v))
        && own.get("Entrypoint") != Some(&of_image("Entrypoint"));
    for key in [
        "Cmd",
        "Entrypoint",
        "WorkingDir",
        "User",
        "Healthcheck",
        "StopSignal",
        "Shell",
    ] {
        let value = own.get(key).unwrap_or(&Json::Null);
        let default = *value == of_image(key) && !(key == "Cmd" && entrypoint);
        if default || empty(value) {
            own.remove(key);
        }
    }
    // Triggers of the image's own build, and its volumes, which show as mounts.
    own.remove("OnBuild");
    own.remove("Volumes");
    for key in ["Env", "ExposedPorts", "Labels"] {
        match (own.get_mut(key), of_image(key)) {
            (Some(Json::Array(mine)), Json::Array(its)) => mine.retain(|e| !its.contains(e)),
            (Some(Json::Object(mine)), Json::Object(its)) => {
                mine.retain(|k, v| its.get(k) != Some(v));
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
    for key in ["Domainname", "Hostname", "Env", "ExposedPorts", "Labels"] {
        if own.get(key).is_some_and(empty) {
            own.remove(key);
        }
    }
    let sorted: BTreeMap<String, Json> = own.into_iter().collect();
    json!(sorted)
}

fn empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(s) => s.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}
