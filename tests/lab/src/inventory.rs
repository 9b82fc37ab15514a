//! Inventories of sites, in the format of `sites.yaml`.

use crate::site::Host;

/// What a site calls its things.
#[derive(Debug, Clone)]
pub struct Variables {
    /// Base of the directory.
    pub base_dn: &'static str,
    /// Name of the archive's device.
    pub device: &'static str,
    /// Title of the archive's main application entity.
    pub aet: &'static str,
    /// Password of `cn=admin` below the base.
    pub ldap_password: &'static str,
    /// Password of `cn=admin,cn=config`.
    pub ldap_config_password: &'static str,
    /// Password of the database's user pacs.
    pub pg_password: &'static str,
}

impl Variables {
    /// Those of st-anna differ from what the images come with, all other sites keep that.
    #[must_use]
    pub fn of(site: &str) -> Self {
        let (base_dn, aet) = if site == "st-anna" {
            ("dc=st-anna,dc=example", "STANNA")
        } else {
            ("dc=dcm4che,dc=org", "DCM4CHEE")
        };
        Self {
            base_dn,
            device: "dcm4chee-arc",
            aet,
            ldap_password: "quiet-otter-lantern",
            ldap_config_password: "amber-sextant-harbour",
            pg_password: "velvet-anchor-thistle",
        }
    }
}

/// The part of one site, below `sites:`. `lab` is the path of the folder `.lab` as seen from the inventory.
pub(crate) fn site(name: &str, hosts: &[Host], lab: &str) -> String {
    let v = Variables::of(name);
    let mut text = format!("  {name}:\n    vars:\n");
    let mut line = |key: &str, value: &str| {
        text.push_str(&format!("      {key}: {value}\n"));
    };
    line("ansible_user", "ops");
    line("ansible_ssh_private_key_file", &format!("{lab}/id_ed25519"));
    line("known_hosts", &format!("{lab}/known_hosts"));
    if hosts.iter().any(|h| !h.groups.is_empty()) {
        line("base_dn", &format!("\"{}\"", v.base_dn));
        line("archive_device", v.device);
        line("archive_aet", v.aet);
        line("ldap_password", v.ldap_password);
        line("ldap_config_password", v.ldap_config_password);
        line("pg_password", v.pg_password);
    }
    text.push_str("    hosts:\n");
    for host in hosts {
        let groups = if host.groups.is_empty() {
            String::new()
        } else {
            format!(", groups: [{}]", host.groups.join(", "))
        };
        text.push_str(&format!(
            "      {}: {{ansible_host: {}{groups}}}
",
            host.name, host.address
        ));
    }
    text
}
