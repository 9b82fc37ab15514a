//! Ansible's YAML format, and sites.

use std::path::Path;
use std::sync::Arc;

use super::{Inventory, Site, Vars, ranges};
use crate::diag::{Diagnostic, nearest};
use crate::source::{Kind, Node};

/// Reads a document into the inventory.
pub fn read(document: &Node, folder: &Path, into: &mut Inventory, errors: &mut Vec<Diagnostic>) {
    let mut reader = Reader {
        folder,
        into,
        errors,
    };
    let Kind::Map(entries) = &document.kind else {
        let wrong = Diagnostic::error(
            "inventory",
            "an inventory is a mapping of groups, or has `sites`",
        );
        reader.errors.push(wrong.at(document.span, ""));
        return;
    };
    if let Some((plugin, _)) = entries.iter().find(|(k, _)| k.text() == Some("plugin")) {
        let wrong = Diagnostic::error("inventory", "inventory plugins are not run");
        let help = "let `ansible-inventory --list --yaml` write what it finds to a file";
        reader.errors.push(wrong.at(plugin.span, "").help(help));
        return;
    }
    for (key, value) in entries {
        match key.text().unwrap_or_default() {
            "sites" if value.get("hosts").is_none() && value.get("children").is_none() => {
                reader.sites(value)
            }
            name => reader.group(name, key, value),
        }
    }
}

struct Reader<'a> {
    folder: &'a Path,
    into: &'a mut Inventory,
    errors: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn entries<'n>(&mut self, node: &'n Node, of: &str) -> &'n [(Node, Node)] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null") => &[],
            _ => {
                let wrong = Diagnostic::error("inventory", format!("{of} is a mapping"));
                let wrong = wrong.at(node.span, "");
                self.errors.push(match &node.kind {
                    Kind::Seq(_) => wrong.help("in place of `- name` write `name:`"),
                    _ => wrong,
                });
                &[]
            }
        }
    }

    fn vars(&mut self, node: &Node, of: &str) -> Vars {
        let entries = self.entries(node, of);
        crate::playbook::names(entries, self.errors);
        entries
            .iter()
            .map(|(k, v)| (k.text().unwrap_or_default().to_owned(), Arc::new(v.clone())))
            .collect()
    }

    fn unknown(&mut self, key: &Node, of: &str, known: &[&str]) {
        let name = key.text().unwrap_or_default();
        let wrong = Diagnostic::error("inventory", format!("`{name}` is not part of {of}"))
            .at(key.span, "");
        self.errors
            .push(match nearest(name, known.iter().copied()) {
                Some(near) => wrong.help(format!("did you mean `{near}`?")),
                None => wrong.help(format!("there are: {}", known.join(", "))),
            });
    }

    fn group(&mut self, name: &str, key: &Node, value: &Node) {
        self.into.group(name, Some(key.span));
        for (part, content) in self.entries(value, "a group") {
            match part.text().unwrap_or_default() {
                "hosts" => {
                    for (host, vars) in self.entries(content, "`hosts`") {
                        self.host(host, vars, &[name.to_owned()]);
                    }
                }
                "children" => {
                    for (child, inner) in self.entries(content, "`children`") {
                        let child_name = child.text().unwrap_or_default().to_owned();
                        self.into
                            .group(name, None)
                            .children
                            .insert(child_name.clone());
                        self.group(&child_name, child, inner);
                    }
                }
                "vars" => {
                    let vars = self.vars(content, "`vars`");
                    self.into.group(name, None).vars.push(vars);
                }
                _ => self.unknown(part, "a group", &["hosts", "children", "vars"]),
            }
        }
    }

    fn host(&mut self, host: &Node, vars: &Node, groups: &[String]) -> Vec<String> {
        let vars = self.vars(vars, "a host");
        match ranges::expand(host.text().unwrap_or_default()) {
            Ok(names) => {
                for name in &names {
                    self.into
                        .host(name, Some(host.span), self.folder)
                        .vars
                        .push(vars.clone());
                    for group in groups {
                        self.into.group(group, None).hosts.insert(name.clone());
                    }
                }
                names
            }
            Err(message) => {
                self.errors
                    .push(Diagnostic::error("inventory", message).at(host.span, ""));
                Vec::new()
            }
        }
    }

    fn sites(&mut self, node: &Node) {
        self.into.group("sites", Some(node.span));
        for (key, content) in self.entries(node, "`sites`") {
            let name = key.text().unwrap_or_default().to_owned();
            if name == "all" || name == "sites" {
                let wrong =
                    Diagnostic::error("inventory", format!("a site cannot be called `{name}`"));
                self.errors.push(wrong.at(key.span, ""));
                continue;
            }
            let taken = self.into.hosts.contains_key(&name) || self.into.groups.contains_key(&name);
            if taken && !self.into.sites.contains_key(&name) {
                let message = format!("`{name}` is the name of a host or of another group already");
                let wrong = Diagnostic::error("inventory", message).at(key.span, "");
                let help = "a site is a group of its own: give it a name that nothing else has";
                self.errors.push(wrong.help(help));
                continue;
            }
            self.into.group(&name, Some(key.span));
            self.into.group("sites", None).children.insert(name.clone());
            let mut site = Site {
                span: Some(key.span),
                ..Site::default()
            };
            let mut jump = None;
            for (part, value) in self.entries(content, "a site") {
                match part.text().unwrap_or_default() {
                    "labels" => {
                        for (label, value) in self.entries(value, "`labels`") {
                            let text = value.text().unwrap_or_default().to_owned();
                            if value.text().is_none() {
                                let wrong = Diagnostic::error("wrong-type", "a label is a text");
                                self.errors.push(wrong.at(value.span, ""));
                            }
                            site.labels
                                .insert(label.text().unwrap_or_default().to_owned(), text);
                        }
                    }
                    "window" => site.window = Some(value.clone()),
                    "jump" => jump = Some(value.clone()),
                    "vars" => {
                        let vars = self.vars(value, "`vars`");
                        self.into.group(&name, None).vars.push(vars);
                    }
                    "hosts" => {
                        for (host, vars) in self.entries(value, "`hosts`") {
                            self.site_host(&name, host, vars, &mut site);
                        }
                    }
                    _ => self.unknown(
                        part,
                        "a site",
                        &["labels", "window", "jump", "vars", "hosts"],
                    ),
                }
            }
            if let Some(jump) = jump {
                let vars = Vars::from([("jump".to_owned(), Arc::new(jump))]);
                self.into.group(&name, None).vars.insert(0, vars);
            }
            if site.hosts.is_empty() {
                let wrong =
                    Diagnostic::error("inventory", format!("the site `{name}` has no hosts"));
                self.errors.push(wrong.at(key.span, ""));
            }
            self.into.sites.insert(name, site);
        }
    }

    fn site_host(&mut self, site_name: &str, host: &Node, vars: &Node, site: &mut Site) {
        let mut groups = vec![site_name.to_owned()];
        let mut own = Vec::new();
        for (key, value) in self.entries(vars, "a host") {
            if key.text() == Some("groups") {
                match &value.kind {
                    Kind::Seq(items) => {
                        groups.extend(items.iter().filter_map(|i| i.text().map(str::to_owned)))
                    }
                    _ => groups.extend(value.text().map(str::to_owned)),
                }
            } else {
                own.push((key.clone(), value.clone()));
            }
        }
        let own = Node {
            span: vars.span,
            kind: Kind::Map(own),
        };
        for name in self.host(host, &own, &groups) {
            let taken = self
                .into
                .sites
                .iter()
                .find(|(_, s)| s.hosts.contains(&name))
                .map(|(n, _)| n.clone());
            if let Some(other) = taken {
                let wrong = Diagnostic::error(
                    "inventory",
                    format!("the host `{name}` is already in site `{other}`"),
                );
                self.errors.push(
                    wrong
                        .at(host.span, "")
                        .help("give it another name; `ansible_host` may be the same"),
                );
            }
            site.hosts.insert(name);
        }
    }
}
