//! What is wrong before any host is touched: exit code 1, and no connection.

use anyhow::Result;
use runbook_e2e::{Counter, Scene};

use super::says;

const FINE: &str = "- hosts: all\n  tasks:\n    - debug: {msg: x}\n    - command: 'true'\n";

/// Calls with these files and expects the place of the only mistake, these words, and silence on the network.
#[track_caller]
fn refused(playbook: &str, inventory: (&str, &str), place: (&str, usize, usize), words: &[&str]) {
    let scene = Scene::new().unwrap();
    let counter = Counter::start().unwrap();
    let (name, text) = inventory;
    let port = counter.port().to_string();
    scene.write(name, &text.replace("PORT", &port)).unwrap();
    scene.write("site.yaml", playbook).unwrap();
    let run = scene.runbook(&["play", "site.yaml", "-i", name]).unwrap();
    assert_eq!(run.code, 1, "{}", run.text());
    assert_eq!(run.out, "");
    let places: Vec<_> = run
        .places()
        .into_iter()
        .map(|(_, f, l, c)| (f, l, c))
        .collect();
    assert_eq!(
        places,
        [(place.0.to_owned(), place.1, place.2)],
        "{}",
        run.err
    );
    says(&run, words);
    says(
        &run,
        &["1 mistake. Nothing was touched; no host was connected."],
    );
    assert_eq!(counter.connections().unwrap(), 0, "somebody was connected");
    assert!(!scene.path("state").exists(), "a journal was begun");
}

const INI: (&str, &str) = ("hosts.ini", "h1 ansible_host=127.0.0.1 ansible_port=PORT\n");

#[test]
fn a_playbook_that_is_no_yaml() {
    let text = "- hosts: all\n  tasks:\n    - debug: {msg: x\n";
    refused(text, INI, ("site.yaml", 3, 14), &["error[yaml]"]);
}

#[test]
fn a_playbook_with_a_tab() {
    let text = "- hosts: all\n\ttasks: []\n";
    refused(
        text,
        INI,
        ("site.yaml", 2, 1),
        &["error[yaml]", "indent with spaces"],
    );
}

#[test]
fn an_inventory_in_yaml() {
    let text = "all:\n  hosts:\n    h1: {ansible_host: 127.0.0.1, ansible_port: PORT}\n  childen:\n    web:\n";
    refused(
        FINE,
        ("hosts.yaml", text),
        ("hosts.yaml", 4, 3),
        &["did you mean `children`?"],
    );
}

#[test]
fn an_inventory_in_ini() {
    let text = "[web]\nh1 ansible_host=127.0.0.1 ansible_port=PORT\n[web:vars]\nno value\n";
    refused(
        FINE,
        ("hosts.ini", text),
        ("hosts.ini", 4, 1),
        &["`name=value`"],
    );
}

#[test]
fn an_inventory_with_a_port_that_is_none() {
    let text =
        "h1 ansible_host=127.0.0.1 ansible_port=PORT\nh2 ansible_host=127.0.0.1 ansible_port=ssh\n";
    refused(
        FINE,
        ("hosts.ini", text),
        ("hosts.ini", 2, 40),
        &["1 to 65535"],
    );
}

#[test]
fn an_inventory_of_sites() {
    let text = "sites:\n  st-anna:\n    vrs: {}\n    hosts:\n      h1: {ansible_host: 127.0.0.1, ansible_port: PORT}\n";
    refused(
        FINE,
        ("sites.yaml", text),
        ("sites.yaml", 3, 5),
        &["did you mean `vars`?"],
    );
}

#[test]
fn an_inventory_that_is_not_there() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("site.yaml", FINE)?;
    let run = scene.runbook(&["play", "site.yaml", "-i", "nowhere.ini"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    says(
        &run,
        &["there is no inventory nowhere.ini", "-i localhost,"],
    );
    Ok(())
}

#[test]
fn a_playbook_that_is_not_there() -> Result<()> {
    let scene = Scene::new()?;
    let run = scene.runbook(&["play", "nothing.yaml", "-i", "localhost,"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    says(&run, &["nothing.yaml"]);
    Ok(())
}

#[test]
fn a_wrong_option() -> Result<()> {
    let scene = Scene::new()?;
    scene.write("site.yaml", FINE)?;
    let run = scene.runbook(&["play", "site.yaml", "-i", "localhost,", "--chek"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    says(&run, &["--chek", "--check"]);
    Ok(())
}

#[test]
fn malformed_ldif() -> Result<()> {
    let scene = Scene::new()?;
    let counter = Counter::start()?;
    let hosts = format!(
        "h1 ansible_host=127.0.0.1 ansible_port={}\n",
        counter.port()
    );
    scene.write("hosts.ini", &hosts)?;
    scene.write(
        "change.ldif",
        "dn: cn=a,dc=x\nchangetype: modify\nadd: description\ndescription: x\n\n\
         cn: b,dc=x\nchangetype: modify\nadd: description\ndescription: y\n",
    )?;
    scene.write(
        "site.yaml",
        "- hosts: all\n  tasks:\n    - command: 'true'\n    - ldap_update:\n        server: localhost:389\n        \
         bind_dn: cn=admin\n        password: x\n        ldif: [change.ldif]\n",
    )?;
    let run = scene.runbook(&["play", "site.yaml", "-i", "hosts.ini"])?;
    assert_eq!(run.code, 1, "{}", run.text());
    says(&run, &["site.yaml:8:16", "change.ldif, line 6:", "dn"]);
    assert_eq!(counter.connections()?, 0, "somebody was connected");
    Ok(())
}
