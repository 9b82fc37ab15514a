//! `env_file` as its readers read it: what a container made from the file has in its environment.

use std::fs;
use std::path::Path;

use runbook_engine::module::LocalFiles;
use runbook_modules::file::FileKind;
use runbook_modules::file::env_file::EnvFile;
use serde_json::{Map, Value as Json, json};

use super::daemon::{Host, OLD, docker, inspect, outside};

/// Values that one reader or the other has a mind of its own about.
const AWKWARD: &[&str] = &[
    "plain",
    "",
    "with blanks  inside",
    " blanks around ",
    "it's",
    "\"quoted\"",
    "'quoted'",
    "half \" of it",
    "a # no comment",
    "a#b",
    "#a",
    "$HOME",
    "${HOME:-x}",
    "5$",
    "$$",
    "back\\slash",
    "\\",
    "two \\\\ of them",
    "'\\",
    "\\n",
    "`id`",
    "a=b=c",
    "!x",
    "~/x",
    "[a];(b)&c|d<e>",
    "grüße",
    "tab\there",
];

/// Values of more than a line, which `docker run --env-file` does not know.
const LONG: &[&str] = &[
    "two\nlines",
    "three\n\nlines \n",
    "\n",
    "it's $1\nand \"2\" \\ more",
];

fn variables(values: &[&str]) -> Map<String, Json> {
    let named = |(number, value): (usize, &&str)| (format!("A{number}"), json!(value));
    values.iter().enumerate().map(named).collect()
}

/// Writes them into a file that has other values for some of them; twice, where the second time does nothing.
async fn written(host: &Host, path: &Path, format: Option<&str>, values: &[&str]) {
    fs::write(
        path,
        "# by hand\nA0='old'\nA1=\"old\"\nA2=old\nA3=old\nOTHER=1\n",
    )
    .unwrap();
    let mut args = json!({"path": path, "values": variables(values)});
    if let Some(format) = format {
        args["format"] = json!(format);
    }
    for changed in [true, false] {
        let none = LocalFiles::new();
        let run = host.run_kind::<EnvFile, _>(&FileKind, &args, &none);
        assert_eq!(run.await.unwrap().changed, changed);
    }
}

/// What the container has been given.
fn given(container: &str, name: &str) -> Option<String> {
    let all = inspect(container)["Config"]["Env"].clone();
    let mut all = all.as_array().unwrap().iter().filter_map(Json::as_str);
    let (_, value) = all.find_map(|v| v.split_once('=').filter(|(n, _)| *n == name))?;
    Some(value.to_owned())
}

fn assert_given(container: &str, values: &[&str]) {
    for (name, value) in variables(values) {
        assert_eq!(given(container, &name).as_deref(), value.as_str(), "{name}");
    }
    assert_eq!(given(container, "OTHER").as_deref(), Some("1"));
}

fn by_docker(host: &Host, of: &str, file: &Path) -> String {
    let name = host.name(of);
    let file = file.to_str().unwrap();
    docker(&["create", "--name", &name, "--env-file", file, OLD]);
    name
}

/// A container of a project whose service reads the file.
fn by_compose(host: &Host, of: &str, file: &Path) -> String {
    let name = host.name(of);
    let project = json!({"services": {"app": {
        "image": OLD, "container_name": name, "env_file": [file],
    }}});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yaml");
    fs::write(&path, project.to_string()).unwrap();
    docker(&[
        "compose",
        "-p",
        &name,
        "-f",
        path.to_str().unwrap(),
        "create",
    ]);
    name
}

#[tokio::test]
async fn a_container_has_what_was_asked_for() {
    let test = "a_container_has_what_was_asked_for";
    let Some(host) = Host::new(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    // Docker trims what stands before the name of a variable, and nothing else.
    written(&host, &file, Some("docker"), AWKWARD).await;
    assert_given(&by_docker(&host, "awkward", &file), AWKWARD);
    let agreed = [
        "a",
        "5.32.0",
        "https://lockself.example.org:8443/x,y",
        "a=b",
        "é",
    ];
    written(&host, &file, None, &agreed).await;
    let by_docker = by_docker(&host, "agreed", &file);
    // The quotes of the two that had some are a part of the value for Docker, and stay.
    assert_eq!(given(&by_docker, "A0").as_deref(), Some("'a'"));
    assert_eq!(given(&by_docker, "A1").as_deref(), Some("\"5.32.0\""));
    for (number, expected) in agreed.into_iter().enumerate().skip(2) {
        let value = given(&by_docker, &format!("A{number}"));
        assert_eq!(value.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_service_has_what_was_asked_for() {
    let test = "a_service_has_what_was_asked_for";
    let Some(host) = Host::new(test) else { return };
    if let Err(why) = outside("docker", &["compose", "version"]) {
        return crate::skip::skip(test, &why);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    let values = [AWKWARD, LONG].concat();
    written(&host, &file, Some("compose"), &values).await;
    assert_given(&by_compose(&host, "awkward", &file), &values);
    let agreed = [
        "a",
        "5.32.0",
        "https://lockself.example.org:8443/x,y",
        "a=b",
        "é",
    ];
    written(&host, &file, None, &agreed).await;
    assert_given(&by_compose(&host, "agreed", &file), &agreed);
}
