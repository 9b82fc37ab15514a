//! Compose files as bytes: which there are, which image a service has there, and another one in its place, with all else
//! in the file as it is. Pure.

use std::collections::BTreeMap;

use super::order::Needs;
use runbook_engine::source::{self, Kind, Node, Sources, Span};

/// The names under which compose looks for its file, where none is named.
pub const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// The file that is put over the one of this name where it is there, and none is named.
#[must_use]
pub fn overrides(name: &str) -> Vec<String> {
    let base = name.rsplit_once('.').map_or(name, |(base, _)| base);
    vec![
        format!("{base}.override.yml"),
        format!("{base}.override.yaml"),
    ]
}

/// A file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// As it is named.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Its tree; `None` where it is empty.
fn tree(file: &File) -> Result<Option<Node>, String> {
    let sources = Sources::new();
    let id = sources.add(file.name.clone(), file.text.clone());
    source::parse_one(&sources, id).map_err(|mistakes| {
        let first = mistakes.first().map(|m| {
            let at = m.primary.as_ref().map_or(0, |l| l.span.start as usize);
            let before = file.text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", m.message)
        });
        format!("{}: {}", file.name, first.unwrap_or_default())
    })
}

/// The name that a file gives to its project.
#[must_use]
pub fn project_name(files: &[File]) -> Option<String> {
    let named = |file: &File| Some(tree(file).ok()??.get("name")?.text()?.to_owned());
    files.iter().rev().find_map(named)
}

/// The name that compose gives to a project for which there is none: that of its folder, lower case, without what is
/// neither letter, digit, `-` nor `_` (compose specification, "Version and name").
#[must_use]
pub fn name_of_folder(directory: &str) -> String {
    let last = directory.trim_end_matches('/').rsplit('/').next();
    let lower = last.unwrap_or_default().to_lowercase();
    lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect::<String>()
        .trim_start_matches(['-', '_'])
        .to_owned()
}

/// What each service needs, as far as it stands in these files (not in others that they extend).
#[must_use]
pub fn needs(files: &[File]) -> Needs {
    let mut needs = Needs::new();
    for root in files.iter().filter_map(|f| tree(f).ok()?) {
        let Some(Kind::Map(services)) = root.get("services").map(|s| &s.kind) else {
            continue;
        };
        for (name, settings) in services {
            let needed = match settings.get("depends_on").map(|n| &n.kind) {
                Some(Kind::Seq(items)) => items.iter().filter_map(Node::text).collect(),
                Some(Kind::Map(entries)) => entries.iter().filter_map(|(k, _)| k.text()).collect(),
                _ => Vec::new(),
            };
            let own: &mut Vec<String> = needs
                .entry(name.text().unwrap_or_default().to_owned())
                .or_default();
            own.extend(needed.into_iter().map(str::to_owned));
        }
    }
    needs
}

/// A variable of a file of variables (`.env`): the last line that sets it, quotes taken away.
#[must_use]
pub fn variable(text: &str, name: &str) -> Option<String> {
    let set = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (found, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (found.trim() == name && !value.is_empty()).then(|| value.to_owned())
    };
    text.lines().filter_map(set).next_back()
}

/// How often a place stands in a tree: more than once where an anchor is used again.
fn times(node: &Node, place: Span) -> usize {
    let below = match &node.kind {
        Kind::Map(entries) => entries.iter().map(|(_, v)| times(v, place)).sum(),
        Kind::Seq(items) => items.iter().map(|v| times(v, place)).sum(),
        _ => 0,
    };
    below + usize::from(node.span == place)
}

/// Puts these images (service → reference) into the files. Of several files that name the image of a service the last one
/// counts, as for compose.
///
/// # Errors
/// A file is no YAML; a service or its image is in none of them; the image comes from a variable or an anchor, so that
/// another place would have to be changed.
pub fn with_images(files: &[File], images: &BTreeMap<String, String>) -> Result<Vec<File>, String> {
    let mut files = files.to_vec();
    for (service, image) in images {
        let mut found = None;
        for (at, file) in files.iter().enumerate() {
            let Some(root) = tree(file)? else { continue };
            let written = root
                .get("services")
                .and_then(|s| s.get(service)?.get("image"));
            if let Some(node) = written {
                let text = node.text().unwrap_or_default().to_owned();
                found = Some((at, node.span, text, times(&root, node.span)));
            }
        }
        let Some((at, span, written, times)) = found else {
            let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
            return Err(format!(
                "service {service} has no `image` in {}",
                names.join(", ")
            ));
        };
        let file = &mut files[at];
        if written.contains('$') {
            return Err(format!(
                "the image of service {service} in {} is `{written}`: change what gives the variable its value (`.env`), or \
                 write the image there",
                file.name
            ));
        }
        if times > 1 {
            return Err(format!(
                "the image of service {service} in {} comes from an anchor that is used more than once; write it at the \
                 service",
                file.name
            ));
        }
        if written == *image {
            continue;
        }
        let (start, end) = (span.start as usize, span.end as usize);
        let old = file.text.get(start..end).unwrap_or_default();
        let quote = old.chars().next().filter(|c| matches!(c, '"' | '\''));
        let new = match quote {
            Some(quote) => format!("{quote}{image}{quote}"),
            None => image.clone(),
        };
        // The place of a plain text is that of the text alone.
        let inner = old.trim_matches(['"', '\'']);
        if inner != written {
            return Err(format!(
                "the image of service {service} in {} is not written in one line; write it so",
                file.name
            ));
        }
        file.text.replace_range(start..end, &new);
        let now = tree(file)?;
        let reads = now
            .as_ref()
            .and_then(|root| root.get("services")?.get(service)?.get("image")?.text());
        if reads != Some(image.as_str()) {
            return Err(format!(
                "the image of service {service} cannot be changed in {}",
                file.name
            ));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn images(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(pair).collect()
    }

    /// As the guide has it, with what people put into it.
    const GUIDE: &str = "version: \"3\"\r\nservices:\r\n  ldap:   # the directory\r\n    image: dcm4che/slapd-dcm4chee:2.6.5-31.2 # not latest!\r\n    logging: {driver: json-file}\r\n  db:\r\n    image: \"dcm4che/postgres-dcm4chee:15.4-31\"\r\n  arc: {image: 'dcm4che/dcm4chee-arc-psql:5.31.2', ports: [\"8080:8080\"]}\r\n";

    #[test]
    fn only_the_tags_change() {
        let wanted = images(&[
            ("ldap", "dcm4che/slapd-dcm4chee:2.6.6-32.0"),
            ("db", "dcm4che/postgres-dcm4chee:15.6-32"),
            ("arc", "dcm4che/dcm4chee-arc-psql:5.32.0"),
        ]);
        let new = with_images(&[file("f", GUIDE)], &wanted).unwrap();
        let expected = GUIDE
            .replace("2.6.5-31.2", "2.6.6-32.0")
            .replace("15.4-31", "15.6-32")
            .replace("5.31.2'", "5.32.0'");
        assert_eq!(new[0].text, expected);
        assert_eq!(with_images(&new, &wanted).unwrap(), new);
    }

    #[test]
    fn the_last_file_that_names_it_is_changed() {
        let files = [
            file("a", "services: {x: {image: \"r:1\"}}\n"),
            file("b", "services:\n  x:\n    image: r:2\n"),
            file("c", "services:\n  x:\n    command: y\n"),
            file("d", ""),
        ];
        let new = with_images(&files, &images(&[("x", "r:3")])).unwrap();
        assert_eq!(new[0], files[0]);
        assert_eq!(new[1].text, "services:\n  x:\n    image: r:3\n");
    }

    #[test]
    fn what_cannot_be_changed_alone_is_refused() {
        let refused =
            |text: &str| with_images(&[file("f", text)], &images(&[("x", "r:2")])).unwrap_err();
        assert!(refused("services: {x: {image: \"r:${TAG}\"}}").contains("`r:${TAG}`"));
        assert!(refused("services: {y: {image: r}}").contains("no `image`"));
        let shared = "a: &a r:1\nservices:\n  x: {image: *a}\n  y: {image: *a}\n";
        assert!(refused(shared).contains("anchor"));
        let merged = "a: &a {image: \"r:1\"}\nservices:\n  x: {<<: *a}\n";
        assert!(refused(merged).contains("anchor"));
        assert!(refused("services:\n  x:\n    image: r\n   bad").contains("line "));
    }

    #[test]
    fn what_services_need_is_read() {
        let files = [
            file(
                "a",
                "services: {x: {depends_on: [y]}, y: {}, z: {depends_on: {x: {condition: service_started}}}}\n",
            ),
            file("b", "services: {y: {depends_on: [w]}}\n"),
        ];
        let needs = needs(&files);
        let of = |name: &str| needs[name].join(" ");
        assert_eq!([of("x"), of("y"), of("z")], ["y", "w", "x"]);
    }

    #[test]
    fn a_project_is_called_as_compose_calls_it() {
        assert_eq!(name_of_folder("/home/ops/DCM4CHEE arc.5/"), "dcm4cheearc5");
        assert_eq!(name_of_folder("/srv/_x-1"), "x-1");
        let named = [
            file("a", "name: arc\nservices: {}\n"),
            file("b", "services: {}\n"),
        ];
        assert_eq!(project_name(&named).as_deref(), Some("arc"));
        let env = "# x\nexport COMPOSE_PROJECT_NAME=\"one\"\nCOMPOSE_PROJECT_NAME=two\nOTHER=3\n";
        assert_eq!(
            variable(env, "COMPOSE_PROJECT_NAME").as_deref(),
            Some("two")
        );
        assert_eq!(variable(env, "NONE"), None);
    }
}
