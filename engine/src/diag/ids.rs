//! All ids of diagnostics, each with a sentence that says what it means.

/// Ids and what they mean, by name.
pub const IDS: &[(&str, &str)] = &[
    (
        "alias-cycle",
        "An alias of YAML (`*name`) stands within the very node that its anchor (`&name`) marks.",
    ),
    (
        "bad-argument",
        "An argument of a module cannot be what was written, whatever the host.",
    ),
    (
        "bad-connection",
        "A variable that says how to reach a host has a value that cannot be used.",
    ),
    (
        "bad-id",
        "An `id` is a plain word without a template, because `needs` and `before` name it.",
    ),
    (
        "bad-name",
        "A variable is named by letters, digits and `_`, and does not begin with a digit.",
    ),
    (
        "bad-pattern",
        "A pattern of hosts cannot be taken apart, or is not known before the run.",
    ),
    (
        "bad-value",
        "A keyword or an argument takes one of a few values, and this is none of them.",
    ),
    (
        "condition",
        "A condition comes to a text. `-e flag=false` gives the text `false`, which Jinja takes for true; `| bool` makes a truth value of it.",
    ),
    (
        "cycle",
        "Tasks wait for each other in a circle, or for what has already run.",
    ),
    ("duplicate-id", "Two tasks of a play have the same `id`."),
    (
        "duplicate-key",
        "A key stands twice in one mapping; YAML would silently take one of them.",
    ),
    ("empty-playbook", "The playbook holds no plays."),
    (
        "environment-unused",
        "The module does not start anything, so an `environment` has no effect on it.",
    ),
    (
        "extra-vars",
        "`-e` takes `name=value`, `@FILE`, or a mapping in YAML or JSON.",
    ),
    (
        "group-cycle",
        "Groups of the inventory contain each other in a circle.",
    ),
    (
        "import-cycle",
        "A file imports itself, perhaps by way of others.",
    ),
    (
        "import-loop",
        "`import_tasks` is resolved before the run and cannot loop; `include_tasks` can.",
    ),
    (
        "import-unknown",
        "The file of an import has to be known before the run.",
    ),
    (
        "inventory",
        "The inventory does not have the form of Ansible's INI or YAML format, or of `sites`.",
    ),
    (
        "key-not-text",
        "A key of a mapping is not a text; mostly a `{{ … }}` that is not quoted.",
    ),
    (
        "key-value",
        "Arguments in the old form are not `key=value`, or a quote is not closed.",
    ),
    (
        "merge-not-mapping",
        "`<<` merges a mapping, or a list of them, and nothing else.",
    ),
    (
        "missing-argument",
        "An argument that the module cannot do without is missing.",
    ),
    (
        "missing-block",
        "`rescue` and `always` stand beside a `block`.",
    ),
    (
        "missing-file",
        "A file that the playbook names is not there.",
    ),
    ("missing-hosts", "A play says with `hosts` where it runs."),
    (
        "missing-module",
        "A task calls one module; this one calls none.",
    ),
    (
        "no-hosts",
        "Of the hosts that the plays are for, none is in the inventory, or none is left by `--limit`.",
    ),
    (
        "no-sites",
        "The play is for sites, and the inventory has no `sites`.",
    ),
    ("not-utf-8", "The file is not text in UTF-8."),
    (
        "part-of-a-site",
        "`--limit` takes some hosts of a site and leaves others, in a play that works on whole sites.",
    ),
    (
        "play-among-tasks",
        "A play, or an import of plays, stands where tasks belong.",
    ),
    (
        "several-documents",
        "The file holds several YAML documents, where one is read.",
    ),
    ("task-outside-play", "A task stands where plays belong."),
    ("template", "A template cannot be rendered."),
    (
        "template-syntax",
        "A template is not well formed, or uses a filter, test or function that does not exist.",
    ),
    (
        "too-large",
        "A YAML document has too many nodes, mostly by aliases of aliases, or is nested too deeply.",
    ),
    (
        "two-modules",
        "A task calls one module; this one calls two.",
    ),
    (
        "undefined-variable",
        "A variable is used that is not defined for every host of the play.",
    ),
    ("unknown-argument", "The module has no such argument."),
    (
        "unknown-connection-variable",
        "The variable looks like one that says how to reach a host, but is none.",
    ),
    (
        "unknown-group",
        "The inventory names a group that is not there.",
    ),
    (
        "unknown-handler",
        "`notify` names a handler that the play does not have.",
    ),
    (
        "unknown-host",
        "There is no host or group of this name in the inventory.",
    ),
    (
        "unknown-id",
        "`needs` or `before` names a task that the play does not have.",
    ),
    (
        "unknown-keyword",
        "There is no such keyword where it stands.",
    ),
    ("unknown-module", "There is no module of this name."),
    (
        "unknown-tag",
        "A tag of YAML (`!name`) that has no meaning here.",
    ),
    (
        "unknown-task",
        "`--start-at-task` names a task that the playbook does not have.",
    ),
    (
        "unknown-value",
        "A value is not known before the run, where it has to be.",
    ),
    ("unreadable-file", "A file cannot be read."),
    (
        "variable-cycle",
        "Variables are defined by each other in a circle.",
    ),
    (
        "vars-file-per-host",
        "A file of `vars_files` would differ between hosts of one play.",
    ),
    (
        "vault-file",
        "A file is encrypted with Ansible Vault, and no password that was given opens it.",
    ),
    (
        "vault-string",
        "An encrypted string is damaged, or no password that was given opens it.",
    ),
    (
        "wrong-type",
        "A list stands where a text is wanted, a word where a number is wanted, or the like.",
    ),
    ("yaml", "The file is not YAML."),
];

/// What an id means.
#[must_use]
pub fn meaning(id: &str) -> Option<&'static str> {
    IDS.iter()
        .find(|(known, _)| *known == id)
        .map(|(_, says)| *says)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use regex::Regex;

    use super::{IDS, meaning};

    fn sources_below(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources_below(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_id_that_is_used_has_a_meaning_and_none_is_left_over() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files = Vec::new();
        for part in ["engine", "modules", "cli"] {
            sources_below(&root.join(part).join("src"), &mut files);
        }
        let made = Regex::new(r#"Diagnostic::(?:error|warning)\(\s*"([a-z0-9-]+)""#).unwrap();
        let mut used = 0;
        for file in &files {
            for found in made.captures_iter(file) {
                used += 1;
                assert!(
                    meaning(&found[1]).is_some(),
                    "`{}` is not in the table",
                    &found[1]
                );
            }
        }
        assert!(
            used > 80,
            "only {used} diagnostics were found in the sources"
        );
        let table = include_str!("ids.rs");
        for (id, _) in IDS {
            let quoted = format!("\"{id}\"");
            let elsewhere = files.iter().filter(|f| f.as_str() != table);
            assert!(
                elsewhere.into_iter().any(|f| f.contains(&quoted)),
                "`{id}` is used nowhere"
            );
        }
        assert!(IDS.is_sorted_by_key(|(id, _)| id), "the table is sorted");
    }
}
