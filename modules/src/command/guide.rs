//! Lines of the vendor's upgrade guide for dcm4chee that do something else than it says. Whoever carries one over as a command
//! is told so before anything runs, with the right form and the module that does it.

/// What is wrong with a command line that was taken from the guide. `None`: nothing that is known.
pub fn mistaken(line: &str) -> Option<String> {
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']))
        .collect();
    let behind = |script: &str| -> Option<&[&str]> {
        let at = words.iter().position(|word| *word == script)?;
        words.get(at + 1..)
    };
    if let Some([argument, ..]) = behind("update-schema")
        && let [major, minor, part] = argument.split('-').collect::<Vec<_>>()[..]
        && [major, minor, part]
            .iter()
            .all(|n| n.parse::<u32>().is_ok())
    {
        return Some(format!(
            "there is no `update-schema {argument}`: the script takes `{major}.{minor}-{part}`. \
             `pg_schema: {{to: \"{major}.{minor}\", parts: [{part}]}}` does it, and a check shows what"
        ));
    }
    if let Some(rest) = behind("unassign-role-to-user") {
        let role = match rest.first() {
            Some(&"auth") => "; and it is the role `user` that is meant, not `auth`",
            _ => "",
        };
        return Some(format!(
            "there is no script `unassign-role-to-user`: it is called `unassign-role-from-user`{role}. \
             `ldap_attrs` with `state: absent` does it"
        ));
    }
    if let Some(["auth", user @ ("root" | "admin"), ..]) = behind("unassign-role-from-user") {
        return Some(format!(
            "this takes the role `auth` from {user}, who could not log in any more: the role `user` is meant. \
             `ldap_attrs` with `state: absent` does it"
        ));
    }
    let updates = ["update-comp", "update-data"]
        .into_iter()
        .find(|s| behind(s).is_some());
    let title = words
        .iter()
        .find_map(|word| word.strip_prefix("ARCHIVE_AET="));
    if let (Some(script), Some(title)) = (updates, title) {
        return Some(format!(
            "`{script}` does not read ARCHIVE_AET, so the archive's own application entity would be changed once more: the \
             variable is AE_TITLE. `ldap_update: {{components: [DCM4CHEE], names: {{aet: {title}}}}}` does it"
        ));
    }
    if let Some([first, second, ..]) = behind("init-account")
        && ![first, second]
            .iter()
            .any(|word| word.starts_with(['-', '|', '>', '&', ';']))
    {
        return Some(format!(
            "`init-account` takes one user: with `{first} {second}` it adds nothing. Call it once for each, or use `ldap_attrs`"
        ));
    }
    if behind("export-realm-managment").is_some() {
        return Some(
            "only the images 2.4.44 have a script of this spelling, all others `export-realm-management`; where it is not there, \
             the file that its output goes to stays empty. `ldap_export` with `base: \"ou=realm-management,…\"` writes it from \
             every image, and counts the entries"
                .to_owned(),
        );
    }
    None
}

/// A line of a shell that was meant to go on behind a comment, which ends it.
pub fn cut_off(script: &str) -> Option<String> {
    let line = script.lines().find(|line| {
        let Some((front, comment)) = line.rsplit_once('#') else {
            return false;
        };
        let before = front.trim_end();
        // `\` and a blank is a blank that means itself; a comment behind it ends the command.
        front.len() > before.len() && before.ends_with(" \\") && !comment.contains(['"', '\''])
    })?;
    Some(format!(
        "the command ends in the line `{}`: behind `\\` comes a comment, not the next line. Move the comment away",
        line.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guide_has_wrong_is_told_with_the_right_form() {
        for (line, right) in [
            ("docker exec db update-schema 5-32-1", "parts: [1]"),
            ("docker exec db update-schema 5-32-3", "`5.32-3`"),
            (
                "docker exec ldap unassign-role-to-user auth root",
                "not `auth`",
            ),
            (
                "docker exec ldap unassign-role-to-user user root",
                "unassign-role-from-user",
            ),
            (
                "docker exec ldap unassign-role-from-user auth admin",
                "the role `user` is meant",
            ),
            (
                "docker exec -e ARCHIVE_AET=SECOND ldap update-comp DCM4CHEE 5.32.0",
                "aet: SECOND",
            ),
            ("docker exec ldap init-account admin user", "takes one user"),
            (
                "docker exec prev-ldap export-realm-managment > /tmp/realm.ldif",
                "`ldap_export`",
            ),
        ] {
            let told = mistaken(line);
            assert!(
                told.as_ref().is_some_and(|t| t.contains(right)),
                "{line}: {told:?}"
            );
        }
        for line in [
            "docker exec db update-schema 5.32-1",
            "docker exec db update-schema 5.31",
            "update-schema a-b-c",
            "docker exec ldap unassign-role-from-user user root",
            "docker exec -e AE_TITLE=SECOND ldap update-comp DCM4CHEE 5.32.0",
            "docker run -e ARCHIVE_AET=X slapd",
            "docker exec ldap init-account admin",
            "docker exec prev-ldap export-realm-management > /tmp/realm.ldif",
            "docker exec ldap init-account admin > /tmp/log",
            "echo update-schema",
        ] {
            assert_eq!(mistaken(line), None, "{line}");
        }
    }

    #[test]
    fn a_comment_behind_a_backslash_ends_the_command() {
        let script = "docker run --rm \\\n   -v /a:/b \\ # Note 1\n   image";
        let told = cut_off(script).unwrap();
        assert!(told.contains("-v /a:/b \\ # Note 1"), "{told}");
        for fine in [
            "docker run \\\n  image # all",
            "echo 'a \\ # b'",
            "echo a\\ b # c",
            "# only \\\necho",
        ] {
            assert_eq!(cut_off(fine), None, "{fine}");
        }
    }
}
