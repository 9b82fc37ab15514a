//! A secured site: the directory over TLS, Keycloak, and who may log in to WildFly's console.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::story::UPGRADE;
use super::{Archive, equal, names};

/// What the site says of itself besides.
const VARIABLES: &str = r#"{
    "directory_urls": "ldap:/// ldaps:///",
    "console_administrators": ["admin"],
    "keycloak": {
        "image": "dcm4che/keycloak:26.0.6",
        "env": {"KC_HOSTNAME": "pacs.example", "KEYCLOAK_WAIT_FOR": "ldap:389", "LDAP_BASE_DN": "{{ base_dn }}", "LDAP_ROOTPASS": "{{ ldap_password }}"},
        "ports": ["8880:8080", "9000:9000"],
        "volumes": ["/var/local/dcm4chee-arc/keycloak:/opt/keycloak/data"],
        "healthy": {"http": "http://localhost:9000/health/ready", "within": "2m"}
    }
}"#;
/// A directory that was made before 5.15.0 and 5.16.1 has neither a certificate nor that role.
const OLDER: &str = r#"
set -eu
docker stop ldap >/dev/null
sed -i '/^olcTLS/d' /var/local/dcm4chee-arc/slapd.d/cn=config.ldif
docker start ldap >/dev/null
until docker exec ldap ldapsearch -x -b '' -s base >/dev/null 2>&1; do sleep 0.2; done
docker exec ldap sh -c 'ldapdelete -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" "cn=ADMINISTRATOR,ou=users,$LDAP_BASE_DN"'
docker load -q -i /lab-images/dcm4che-keycloak-26.0.6.tar >/dev/null
"#;
const TLS: &str = "grep -c ^olcTLS /var/local/dcm4chee-arc/slapd.d/cn=config.ldif; true";
const OVER_TLS: &str = "docker exec ldap env LDAPTLS_CACERT=/etc/certs/cacert.pem ldapsearch -x -LLL -H ldaps://ldap \
                        -b '' -s base namingContexts | grep -c ^namingContexts";
const CONTAINERS: &str =
    "docker ps -a --format '{{.Names}}' | grep -v '[.]runbook-' | sort | tr '\\n' ' '";

impl Archive {
    /// The directory gets a certificate and listens with it, Keycloak comes, an administrator gets the role; a second run
    /// finds nothing to do, and all of it is taken back.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn is_secured(&self) -> Result<()> {
        self.on("ldap", OLDER)?;
        let before = self.as_it_is()?;
        self.confirm("ldap", TLS, "0")?;

        // A certificate that is not there is found before anything is changed.
        let wrong = r#"{"directory_tls": {"ca": "/etc/certs/cacert.pem", "certificate": "/etc/certs/hospital.pem", "key": "/etc/certs/key.pem", "verify_client": "never"}}"#;
        let stopped = self.play(UPGRADE, &["-e", VARIABLES, "-e", wrong], 2)?;
        let said = stopped.failures();
        let said = said.get("Its certificate is there");
        let said = said.with_context(|| format!("what failed is {:?}", stopped.failures()))?;
        ensure!(said.contains("hospital.pem"), "it fails with {said}");
        let changed = stopped.named("changed");
        ensure!(changed.is_empty(), "changed before that: {changed:?}");

        let check = self.play(UPGRADE, &["-e", VARIABLES, "--check", "--diff"], 0)?;
        for status in ["failed", "unknown", "conditional"] {
            let found = check.named(status);
            ensure!(found.is_empty(), "{status} in the check: {found:?}");
        }
        let run = self.play(UPGRADE, &["-e", VARIABLES, "--diff"], 0)?;
        equal(&check, &run)?;
        let new = names(&[
            "Addresses of the directory server",
            "Keycloak",
            "The directory server's certificate (5.15.0)",
            "The role of those who may log in to WildFly's console (5.16.1)",
        ]);
        let changed = run.named("changed");
        let missing: BTreeSet<&String> = new.difference(&changed).collect();
        ensure!(missing.is_empty(), "not changed: {missing:?}");
        self.confirm("ldap", OVER_TLS, "1")?;
        self.confirm(
            "arc",
            "curl -sf http://localhost:8880/realms/dcm4che",
            r#"{"realm":"dcm4che"}"#,
        )?;
        self.confirm("arc", CONTAINERS, "arc db keycloak ldap")?;

        let changed = self.play(UPGRADE, &["-e", VARIABLES], 0)?.named("changed");
        ensure!(changed.is_empty(), "a second run changes {changed:?}");
        // Another one gets the role that is there now.
        let two = VARIABLES.replace(r#"["admin"]"#, r#"["admin", "root"]"#);
        let second = self.play(UPGRADE, &["-e", &two], 0)?;
        let changed = second.named("changed");
        let one = "Who may log in to WildFly's console (5.16.1)";
        ensure!(
            changed.contains(one) && changed.is_disjoint(&new),
            "for one more it changes {changed:?}"
        );

        let mut notes = Vec::new();
        for run in [&second, &run] {
            let id = run.run_id().context("a run without an id")?;
            notes.extend(self.rollback(&id, &[])?.notes());
        }
        // The server keeps its certificate, and that is said; it does not listen with it any more.
        self.confirm("ldap", TLS, "4")?;
        ensure!(
            notes
                .iter()
                .any(|n| n.contains("stays:") && n.contains("certificate")),
            "nothing is said of the certificate: {notes:#?}"
        );
        self.confirm("ldap", &format!("{OVER_TLS} 2>/dev/null; true"), "0")?;
        self.confirm("arc", CONTAINERS, "arc db ldap")?;
        before.is_again(self)
    }
}
