//! A directory server of images 2.4.44: its database is not read by newer ones, and lies in other folders.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use super::damage::lasting;
use super::story::UPGRADE;
use super::{Archive, VERSION, names};

/// Such a server in place of the one that runs, with an entry of the site's own. What stands for it is the slapd of 5.31.2 in those folders.
const BECOMES: &str = r#"
set -eu
root=/var/local/dcm4chee-arc image=dcm4che/slapd-dcm4chee:2.4.44-19.0
docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' ldap |
    grep -E '^(LDAP_BASE_DN|LDAP_ROOTPASS|LDAP_CONFIGPASS|ARCHIVE_DEVICE_NAME|AE_TITLE|SITE_CONTACT)=' > /tmp/ldap.env
docker tag dcm4che/slapd-dcm4chee:2.6.5-31.2 $image
docker rm -f ldap >/dev/null
rm -rf $root/ldap $root/slapd.d
docker run -d --name ldap --network dcm4chee_default -p 389:389 --restart unless-stopped --env-file /tmp/ldap.env \
    -v $root/ldap:/var/lib/ldap -v $root/slapd.d:/etc/ldap/slapd.d -v /etc/localtime:/etc/localtime:ro $image >/dev/null
rm /tmp/ldap.env
within() { docker exec ldap sh -c "$1" >/dev/null 2>&1; }
end=$((SECONDS + 60))
until within 'ldapsearch -x -LLL -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS" -s base -b "cn=manage-account,ou=account,$LDAP_BASE_DN" 1.1'; do
    [ $SECONDS -lt $end ] || exit 1
    sleep 0.3
done
base=$(docker exec ldap printenv LDAP_BASE_DN)
docker exec -i ldap sh -c 'ldapadd -x -D "cn=admin,$LDAP_BASE_DN" -w "$LDAP_ROOTPASS"' <<LDIF
dn: dicomAETitle=OURS,cn=Unique AE Titles Registry,cn=DICOM Configuration,$base
objectClass: dicomUniqueAETitle
dicomAETitle: OURS
LDIF
"#;
const OURS: &str = "dicomAETitle=OURS,cn=Unique AE Titles Registry,cn=DICOM Configuration,";
/// All files of the old folders.
const OLD_FOLDERS: &str = "cd /var/local/dcm4chee-arc && find ldap slapd.d -type f -print0 | sort -z | xargs -0 sha256sum";
const ITS_IMAGE: &str = "docker inspect -f '{{.Config.Image}} {{.State.Running}}' ldap";
const OLD: &str = "dcm4che/slapd-dcm4chee:2.4.44-19.0 true";

/// Where the directory's configuration lies in the containers of both.
const OLD_FOLDER: &str = "/etc/ldap/slapd.d";
const NEW: &str = "/etc/openldap/slapd.d";

type Entries = BTreeMap<String, BTreeSet<String>>;

impl Archive {
    /// A directory server of images 2.4.44, as the guide starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn has_an_old_directory_server(&self) -> Result<()> {
        self.on("ldap", BECOMES).map(drop)
    }

    /// What is in the directory, which lies in this folder of the container.
    fn entries_in(&self, folder: &str) -> Result<Entries> {
        let all = self.on(
            "ldap",
            &format!("docker exec ldap slapcat -F {folder} -n 1"),
        )?;
        Ok(lasting(&all))
    }

    /// The directory is made anew out of the backup, and taken back. `all`: one that cannot be filled is given up before, and
    /// in the end it is made once more, and the old folders go.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn gets_a_new_directory(&self, all: bool) -> Result<()> {
        let before = self.entries_in(OLD_FOLDER)?;
        ensure!(before.keys().any(|dn| dn.starts_with(OURS)));

        if all {
            self.stays_with_the_old_directory(&before)?;
        }
        self.play(UPGRADE, &["--check", "--diff"], 0)?;
        self.confirm("ldap", ITS_IMAGE, OLD)?;
        let run = self.play(UPGRADE, &[], 0)?;
        self.confirm("arc", VERSION, r#"{"version":"5.32.0"}"#)?;
        let after = self.entries_in(NEW)?;
        let lost: Vec<&String> = before
            .keys()
            .filter(|dn| !after.contains_key(*dn))
            .collect();
        ensure!(lost.is_empty(), "not in the new directory: {lost:?}");
        let passwords = |of: &Entries| -> BTreeSet<String> {
            let lines = of.values().flatten();
            lines
                .filter(|l| l.starts_with("userPassword"))
                .cloned()
                .collect()
        };
        ensure!(passwords(&after) == passwords(&before), "passwords differ");
        let kept = self.on("ldap", OLD_FOLDERS)?;
        ensure!(
            kept.contains("data.mdb"),
            "the old folders are gone: {kept}"
        );
        let changed = self.play(UPGRADE, &[], 0)?.named("changed");
        ensure!(changed.is_empty(), "a second run changes {changed:?}");

        self.rollback(&run.run_id().context("a run without an id")?, &[])?;
        self.confirm("ldap", ITS_IMAGE, OLD)?;
        ensure!(
            self.entries_in(OLD_FOLDER)? == before,
            "taken back, the old directory is another"
        );

        if all {
            self.gets_it_once_more(&after)?;
        }
        Ok(())
    }

    /// A new server that never gets its schema: the old one runs again, on its own folders, and so does the archive.
    fn stays_with_the_old_directory(&self, before: &Entries) -> Result<()> {
        self.on(
            "ldap",
            "printf 'FROM dcm4che/slapd-dcm4chee:2.6.6-32.0\nRUN rm /etc/openldap/schema/dicom.ldif\n' | \
             DOCKER_BUILDKIT=0 docker build -q -t dcm4che/slapd-dcm4chee:2.6.6-32.1 - >/dev/null",
        )?;
        let images = r#"{"images": {"ldap": "dcm4che/slapd-dcm4chee:2.6.6-32.1", "arc": "dcm4che/dcm4chee-arc-psql:5.32.0", "db": {"15": "dcm4che/postgres-dcm4chee:15.6-32"}}}"#;
        let failed = self.play(UPGRADE, &["-e", images], 2)?;
        let failures = failed.failures();
        ensure!(
            failures.contains_key("It has its schema and its base"),
            "what failed is {failures:?}"
        );
        self.confirm("ldap", ITS_IMAGE, OLD)?;
        self.confirm("arc", VERSION, r#"{"version":"5.31.2"}"#)?;
        ensure!(
            self.entries_in(OLD_FOLDER)? == *before,
            "the old directory is another"
        );

        Ok(())
    }

    /// Once more, in folders of that run, and then the old ones go.
    fn gets_it_once_more(&self, after: &Entries) -> Result<()> {
        self.play(UPGRADE, &[], 0)?;
        ensure!(
            self.entries_in(NEW)? == *after,
            "the second time it is another"
        );
        let finish = ["--tags", "directory"];
        let done = self.play("finish-5.32.yaml", &finish, 0)?;
        let gone = names(&["The data of the directory server before"]);
        ensure!(
            done.named("changed") == gone,
            "it changes {:?}",
            done.named("changed")
        );
        self.confirm(
            "ldap",
            "ls /var/local/dcm4chee-arc | grep -cE '^(ldap|slapd.d)$'; true",
            "0",
        )?;
        let again = self.play("finish-5.32.yaml", &finish, 0)?;
        ensure!(again.named("changed").is_empty());
        self.rollback(&done.run_id().context("a run without an id")?, &[])?;
        self.confirm(
            "ldap",
            "ls /var/local/dcm4chee-arc | grep -cE '^(ldap|slapd.d)$'; true",
            "2",
        )?;

        // What it uses stays, whoever asks for it to go.
        let own = self.on(
            "ldap",
            "docker inspect -f '{{range .Mounts}}{{println .Source}}{{end}}' ldap | grep '/ldap-'",
        )?;
        let own = format!(r#"{{"directory_before": ["{}"]}}"#, own.trim());
        let refused = self.play("finish-5.32.yaml", &["--tags", "directory", "-e", &own], 2)?;
        ensure!(
            refused
                .failures()
                .contains_key("The folders that are to go are not its own"),
            "what failed is {:?}",
            refused.failures()
        );
        Ok(())
    }
}
