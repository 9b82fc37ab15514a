//! What a person can get wrong about a site: each is told before anything is changed, with what to do.

use anyhow::{Context as _, Result, ensure};

use super::story::UPGRADE;
use super::{Archive, Likeness};

/// What is wrong, the variables that make it so, the task that tells, and words of what it says.
const MISTAKES: [(&str, &str, &str, &[&str]); 11] = [
    (
        "a wrong password of the database",
        r#"{"pg_password": "wrong"}"#,
        "Which PostgreSQL is it, and may we log in",
        &["password"],
    ),
    (
        "a wrong password of the directory",
        r#"{"ldap_password": "wrong"}"#,
        "May we log in to the directory",
        &["password"],
    ),
    (
        "a wrong password of its configuration",
        r#"{"ldap_config_password": "wrong"}"#,
        "May we log in to its configuration",
        &["password"],
    ),
    (
        "a device that is not in the directory",
        r#"{"archive_device": "arc-west"}"#,
        "Devices and application entities that the site names",
        &["dicomDeviceName=arc-west"],
    ),
    (
        "an application entity that is not in the directory",
        r#"{"archive_aet": "NOBODY"}"#,
        "Devices and application entities that the site names",
        &["dicomAETitle=NOBODY"],
    ),
    (
        "one more application entity that is not there",
        r#"{"additional_aets": ["NIGHT"]}"#,
        "Devices and application entities that the site names",
        &["dicomAETitle=NIGHT"],
    ),
    (
        "one more device that is not there",
        r#"{"additional_devices": [{"names": {"device": "arc-east", "aet": "EAST"}}]}"#,
        "Devices and application entities that the site names",
        &["dicomDeviceName=arc-east"],
    ),
    (
        "a version that the upgrade is not for",
        r#"{"from_versions": "5\\.32\\."}"#,
        "A version that this upgrade is for",
        &["5.31.2", "this upgrade is for"],
    ),
    (
        "an image of another major version",
        r#"{"images": {"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.0", "arc": "dcm4che/dcm4chee-arc-psql:5.32.0", "db": {"17": "dcm4che/postgres-dcm4chee:17.2-32"}}}"#,
        "An image of the same major version",
        &["PostgreSQL 15", "postgres-major.yaml"],
    ),
    (
        "an image that is not there",
        r#"{"images": {"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.0", "arc": "dcm4che/dcm4chee-arc-psql:5.99.0", "db": {"15": "dcm4che/postgres-dcm4chee:15.6-32"}}}"#,
        "The image of the archive is here or can be brought",
        &["5.99.0", "load_path"],
    ),
    (
        "too little room",
        r#"{"free_mb": 999999999}"#,
        "Enough room",
        &["KiB are free"],
    ),
];

/// The role of those who may manage users goes, and comes back.
const ROLE: &str = "cn=manage-users,ou=realm-management,dc=dcm4che,dc=org";

impl Archive {
    /// Each mistake, or a sample of them, ends the upgrade in its preflight, and the site is afterwards what it was.
    ///
    /// # Errors
    /// One does not, or something has changed.
    pub fn mistakes_are_told_beforehand(&self, all: bool) -> Result<()> {
        let before = Likeness::of(self)?;
        let every = if all { 1 } else { 4 };
        for (what, variables, task, words) in MISTAKES.into_iter().step_by(every) {
            self.is_told(variables, task, words)
                .with_context(|| what.to_owned())?;
        }
        let root = r#"docker exec -i ldap sh -c 'x=$1; shift; "$x" -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" "$@"' sh"#;
        let entry = self.on(
            "ldap",
            &format!("{root} ldapsearch -LLL -o ldif-wrap=no -b {ROLE}"),
        )?;
        self.on("ldap", &format!("{root} ldapdelete {ROLE}"))?;
        let told = self.is_told(
            "{}",
            "The role of those who may manage users (`manage_users`)",
            &[ROLE],
        );
        self.on(
            "ldap",
            &format!("{root} ldapadd <<'L' >/dev/null\n{entry}L"),
        )?;
        told.context("a role that is not there")?;
        let differs = before.differences(&Likeness::of(self)?, "\0");
        ensure!(differs.is_empty(), "not as before:\n{}", differs.join("\n"));
        Ok(())
    }

    fn is_told(&self, variables: &str, task: &str, words: &[&str]) -> Result<()> {
        let run = self.play(UPGRADE, &["-e", variables], 2)?;
        let changed = run.named("changed");
        ensure!(changed.is_empty(), "it has changed {changed:?}");
        let failures = run.failures();
        let said = failures
            .get(task)
            .with_context(|| format!("`{task}` has not failed: {failures:?}"))?;
        for word in words {
            ensure!(said.contains(word), "nothing of `{word}` in: {said}");
        }
        Ok(())
    }
}
