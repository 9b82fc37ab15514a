//! Containers and networks of projects as the daemon lists them (Docker Engine API, `ContainerList` and `NetworkList`).

use runbook_engine::host::HostError;
use serde_json::{Value as Json, json};

use super::super::client::{Reader, encode};
use super::{LABEL, OF_PROJECT, OF_SERVICE};

/// Those that have all of these labels.
async fn list(daemon: &Reader, path: &str, labels: &[String]) -> Result<Vec<Json>, HostError> {
    let filters = encode(&json!({"label": labels}).to_string());
    let found = daemon.get(&format!("{path}filters={filters}")).await?;
    Ok(found.as_array().cloned().unwrap_or_default())
}

const CONTAINERS: &str = "/containers/json?all=1&";

/// All containers and all networks of a project.
pub(super) async fn of_project(
    daemon: &Reader,
    project: &str,
) -> Result<(Vec<Json>, Vec<Json>), HostError> {
    let labels = [format!("{OF_PROJECT}={project}")];
    let containers = list(daemon, CONTAINERS, &labels);
    let networks = list(daemon, "/networks?", &labels);
    let (containers, networks) = futures::join!(containers, networks);
    Ok((containers?, networks?))
}

/// The containers of a service, whatever they are called at this moment.
pub(super) async fn of_service(
    daemon: &Reader,
    project: &str,
    service: &str,
) -> Result<Vec<Json>, HostError> {
    let labels = [
        format!("{OF_PROJECT}={project}"),
        format!("{OF_SERVICE}={service}"),
    ];
    list(daemon, CONTAINERS, &labels).await
}

/// A label of compose, without what all of them begin with; empty where there is none.
pub(super) fn label<'a>(of: &'a Json, name: &str) -> &'a str {
    let label = of
        .get("Labels")
        .and_then(|l| l.get(format!("{LABEL}{name}")));
    label.and_then(Json::as_str).unwrap_or_default()
}

/// The id of a listed container.
pub(super) fn id_of(container: &Json) -> &str {
    container
        .get("Id")
        .and_then(Json::as_str)
        .unwrap_or_default()
}

/// Its name.
pub(super) fn name_of(container: &Json) -> &str {
    let name = container.pointer("/Names/0").and_then(Json::as_str);
    name.unwrap_or_default().trim_start_matches('/')
}
