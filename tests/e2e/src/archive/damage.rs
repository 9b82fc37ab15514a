//! Damage done to an upgraded site with other programs than ours.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

use super::Archive;

/// One value of the directory.
#[derive(Debug, Clone)]
pub struct Value {
    /// The entry's name.
    pub dn: String,
    /// The attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
}

/// Entries and the lines of each, from LDIF (RFC 2849) as `slapcat` writes it.
fn entries(ldif: &str) -> BTreeMap<String, BTreeSet<String>> {
    let unfolded = ldif.replace("\n ", "");
    let records = unfolded.split("\n\n");
    records
        .filter_map(|record| {
            let mut lines = record.lines();
            let dn = lines.next()?.strip_prefix("dn: ")?.to_owned();
            Some((dn, lines.map(str::to_owned).collect()))
        })
        .collect()
}

/// The archive's data in the directory.
pub fn directory(archive: &Archive) -> Result<String> {
    archive.on(
        "ldap",
        "docker exec ldap slapcat -F /etc/openldap/slapd.d -n 1",
    )
}

/// Entries without what the server sets by itself when one is written.
pub fn lasting(ldif: &str) -> BTreeMap<String, BTreeSet<String>> {
    let set = [
        "entryCSN",
        "entryUUID",
        "modifyTimestamp",
        "modifiersName",
        "createTimestamp",
        "creatorsName",
        "contextCSN",
    ];
    let mut all = entries(ldif);
    for lines in all.values_mut() {
        lines.retain(|line| !set.contains(&line.split(':').next().unwrap_or_default()));
    }
    all
}

/// A value that the upgrade gave to an entry that had been there before.
pub fn added(before: &str, after: &str) -> Result<Value> {
    let (before, after) = (entries(before), entries(after));
    // Members of a group are no values that anybody could make up.
    let others = ["entryCSN", "modifyTimestamp", "modifiersName", "member"];
    let mut found = after.iter().filter_map(|(dn, lines)| {
        let old = before.get(dn)?;
        let new = lines.difference(old).find_map(|line| {
            let (attribute, value) = line.split_once(": ")?;
            let own = !others.contains(&attribute) && !attribute.ends_with(':');
            own.then(|| (attribute.to_owned(), value.to_owned()))
        });
        new.map(|(attribute, value)| Value {
            dn: dn.clone(),
            attribute,
            value,
        })
    });
    found
        .next()
        .context("the upgrade has added no value to any entry")
}

impl Archive {
    /// Deletes a value with `ldapmodify`.
    ///
    /// # Errors
    /// The server refuses.
    pub fn delete_value(&self, value: &Value) -> Result<()> {
        self.modify("delete", value)
    }

    /// Adds a value with `ldapmodify`.
    ///
    /// # Errors
    /// The server refuses.
    pub fn add_value(&self, value: &Value) -> Result<()> {
        self.modify("add", value)
    }

    fn modify(&self, how: &str, value: &Value) -> Result<()> {
        let Value {
            dn,
            attribute,
            value,
        } = value;
        self.say(&format!("# ldapmodify: {dn}: {how} {attribute}: {value}"));
        self.on(
            "ldap",
            &format!(
                "docker exec -i ldap sh -c 'ldapmodify -x -D \"cn=admin,$LDAP_BASE_DN\" -w \"$LDAP_ROOTPASS\"' <<'LDIF'\n\
                 dn: {dn}\nchangetype: modify\n{how}: {attribute}\n{attribute}: {value}\nLDIF"
            ),
        )?;
        Ok(())
    }

    /// Makes the archive's container again with `docker run`, as somebody would by hand, one variable changed.
    ///
    /// # Errors
    /// Docker refuses.
    pub fn change_variable(&self, name: &str, value: &str) -> Result<()> {
        self.say(&format!("# docker run … -e {name}='{value}' … arc"));
        self.on(
            "arc",
            &format!(
                r#"set -e
mapfile -t args < <(docker inspect arc -f '{{{{range .Config.Env}}}}{{{{println "-e"}}}}{{{{println .}}}}{{{{end}}}}{{{{range .HostConfig.Binds}}}}{{{{println "-v"}}}}{{{{println .}}}}{{{{end}}}}{{{{range .HostConfig.ExtraHosts}}}}{{{{println "--add-host"}}}}{{{{println .}}}}{{{{end}}}}{{{{range $port, $all := .HostConfig.PortBindings}}}}{{{{range $all}}}}{{{{println "-p"}}}}{{{{println (printf "%s:%s" .HostPort $port)}}}}{{{{end}}}}{{{{end}}}}' | sed '/^$/d')
image=$(docker inspect arc -f '{{{{.Config.Image}}}}')
docker stop arc >/dev/null
docker rm arc >/dev/null
docker run -d --name arc --network dcm4chee_default --restart unless-stopped "${{args[@]}}" -e '{name}={value}' "$image" >/dev/null
for n in $(seq 300); do curl -fso /dev/null http://localhost:8080/dcm4chee-arc/ui2 && exit; sleep 0.2; done
exit 1"#
            ),
        )?;
        Ok(())
    }
}
