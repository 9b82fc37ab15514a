//! The laws of resource kinds and modules, tested over everything that is registered, with real servers; and a proof that
//! the test sees it when a law is broken.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod broken;
mod case;
mod cases;
mod laws;
mod rig;
#[path = "../../../tests/skip.rs"]
mod skip;
mod web;

#[path = "../postgres/cluster.rs"]
#[expect(dead_code, reason = "the tests of the database use more of it")]
mod cluster;
#[path = "../docker/daemon.rs"]
#[expect(dead_code, reason = "the tests of Docker use more of it")]
mod daemon;
#[path = "../../../tests/policy.rs"]
mod policy;
#[path = "../docker/registry_server.rs"]
mod registry_server;
#[path = "../ldap/slapd.rs"]
#[expect(dead_code, reason = "the tests of the directory use more of it")]
mod slapd;

use std::collections::BTreeSet;

use case::{Case, Needs};
use laws::{Breach, Seen, judge};
use runbook_engine::registry::Registry;

/// Judges all cases; what breaks a law, and what is registered and has no case.
async fn verdict(registry: &Registry, cases: &[Case]) -> (Vec<Breach>, Seen) {
    let mut seen = Seen::default();
    let mut breaches = Vec::new();
    for case in cases {
        for mut breach in judge(registry, case, &mut seen).await {
            breach.how = format!("{} {}: {}", case.module, case.args, breach.how);
            breaches.push(breach);
        }
    }
    let with_cases: BTreeSet<&str> = cases.iter().map(|c| c.module).collect();
    for module in registry.modules() {
        if !with_cases.contains(module.name()) {
            breaches.push(without_case(module.name()));
        }
    }
    (breaches, seen)
}

/// The server without which no case reaches a kind or an action.
fn server_of(name: &str) -> Needs {
    match name {
        "container" | "container-output" | "image" | "image-archive" | "network" | "volume"
        | "container-exec" | "container-restart" => Needs::Docker,
        "registry-image" => Needs::Registry,
        "image-files" => Needs::DirectoryAndDocker,
        "ldap-entry" | "ldap-schema" | "ldap-listing" | "ldap-search" | "ldap-export" => {
            Needs::Directory
        }
        "pg-schema" | "pg-facts" | "pg-dump" => Needs::Database,
        "fcontext" | "labels" => Needs::Policy,
        _ => Needs::Nothing,
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn without_case(name: &str) -> Breach {
    Breach {
        law: 0,
        who: name.to_owned(),
        how: "it has no case".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_module_and_kind_keeps_the_laws() {
    let registry = runbook_modules::registry();
    let cases = cases::all();
    let (mut breaches, seen) = verdict(&registry, &cases).await;
    // What needs a server that is absent was said to be skipped; all else is looked at as strictly as ever. A law that
    // no case reaches any more would be kept by nobody.
    let here = |name: &str| !seen.skipped.contains(&server_of(name));
    for kind in registry.kinds().filter(|k| here(k.name())) {
        if !seen.read.contains(kind.name()) {
            breaches.push(without_case(kind.name()));
        }
    }
    for action in registry.actions().filter(|a| here(a.name())) {
        if !seen.acted.contains(action.name()) {
            breaches.push(without_case(action.name()));
        }
    }
    let writing = [
        "container",
        "fcontext",
        "file",
        "image",
        "labels",
        "ldap-entry",
        "network",
        "pg-database",
        "pg-schema",
        "volume",
    ];
    let writing: Vec<&str> = writing.into_iter().filter(|kind| here(kind)).collect();
    assert_eq!(seen.written, set(&writing));
    assert_eq!(seen.moved, set(&writing), "law 6");
    assert_eq!(seen.restored, set(&writing), "law 5");
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[tokio::test]
async fn each_broken_law_is_seen_and_no_other() {
    for (law, registry) in broken::registries() {
        let (breaches, _) = verdict(&registry, &broken::cases()).await;
        let laws: BTreeSet<u8> = breaches.iter().map(|b| b.law).collect();
        let expected: BTreeSet<u8> = law.into_iter().collect();
        assert_eq!(laws, expected, "{breaches:#?}");
    }
    broken::clear();
}

#[tokio::test]
async fn a_module_without_a_case_is_seen() {
    for (_, registry) in broken::registries() {
        let (breaches, _) = verdict(&registry, &[]).await;
        assert_eq!(breaches, [without_case("note"), without_case("note_say")]);
    }
}
