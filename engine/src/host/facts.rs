//! What a host says of itself when its first shell opens.

use indexmap::IndexMap;

use crate::value::Value;

/// The names of all facts, without `ansible_`.
pub const NAMES: &[&str] = &[
    "architecture",
    "date_time",
    "default_ipv4",
    "distribution",
    "distribution_major_version",
    "distribution_release",
    "distribution_version",
    "domain",
    "fqdn",
    "hostname",
    "kernel",
    "machine",
    "memtotal_mb",
    "nodename",
    "os_family",
    "processor_vcpus",
    "swaptotal_mb",
    "system",
    "user_dir",
    "user_gid",
    "user_id",
    "user_shell",
    "user_uid",
];

/// What to do without a fact that there is not; `prefix` is what stands in front of its name.
#[must_use]
pub fn instead_of(prefix: &str, name: &str) -> String {
    let near = crate::diag::nearest(name, NAMES.iter().copied())
        .filter(|near| strsim::damerau_levenshtein(name, near) <= 2 && name.len() > 5);
    match (name, near) {
        ("env", _) => "there is no fact of the environment: register `command: printenv NAME` with `reads_only: true`; the home directory is `ansible_user_dir`".to_owned(),
        (_, Some(near)) => format!("did you mean `{prefix}{near}`?"),
        _ => "there is no such fact: register what a command says, with `reads_only: true` (docs/ansible.md lists the facts)".to_owned(),
    }
}

/// Basic facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Name of the user that logged in.
    pub user: String,
    /// Its number.
    pub uid: u32,
    /// Number of its first group.
    pub gid: u32,
    /// Its login shell.
    pub shell: String,
    /// Its home.
    pub home: String,
    /// Identity of the machine: boot and mount namespace, so that two names of one machine are recognised and two
    /// containers of one kernel are told apart.
    pub identity: String,
    /// `uname -s`.
    pub system: String,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// Host name without its domain.
    pub hostname: String,
    /// Host name with its domain, where the host knows it.
    pub fqdn: String,
    /// Fields of os-release.
    pub os: IndexMap<String, String>,
    /// Tools that were found, of those that runbook may use.
    pub tools: Vec<String>,
    /// Number of processors.
    pub cpus: u32,
    /// Memory, MiB.
    pub memory_mb: u64,
    /// Swap, MiB.
    pub swap_mb: u64,
    /// Is `stat` that of GNU? Else busybox's.
    pub gnu_stat: bool,
    /// The host's clock, seconds since 1970.
    pub epoch: i64,
    /// Name of its time zone, as in `CET`.
    pub time_zone: String,
    /// Offset of its time zone, as in `+0100`.
    pub utc_offset: String,
    /// Address from which it reaches others (IPv4); empty where it has none.
    pub address: String,
    /// Network interface of that address.
    pub interface: String,
    /// Gateway on the way to others; empty where there is none.
    pub gateway: String,
}

impl HostFacts {
    /// Is a tool there?
    #[must_use]
    pub fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|t| t == tool)
    }

    /// As the mapping `ansible_facts`, under Ansible's names without `ansible_`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let os = |key: &str| self.os.get(key).cloned().unwrap_or_default();
        let version = os("VERSION_ID");
        let major = version.split('.').next().unwrap_or_default().to_owned();
        let distribution = match os("ID").as_str() {
            "debian" => "Debian".to_owned(),
            "ubuntu" => "Ubuntu".to_owned(),
            "rhel" => "RedHat".to_owned(),
            "centos" => "CentOS".to_owned(),
            "rocky" => "Rocky".to_owned(),
            "almalinux" => "AlmaLinux".to_owned(),
            "fedora" => "Fedora".to_owned(),
            "alpine" => "Alpine".to_owned(),
            "sles" => "SLES".to_owned(),
            _ => os("NAME"),
        };
        let like = format!("{} {}", os("ID"), os("ID_LIKE"));
        let family = [
            ("debian", "Debian"),
            ("rhel", "RedHat"),
            ("fedora", "RedHat"),
            ("suse", "Suse"),
            ("alpine", "Alpine"),
        ]
        .into_iter()
        .find(|(word, _)| like.contains(word))
        .map_or(distribution.clone(), |(_, family)| family.to_owned());
        let text = |s: &str| Value::Str(s.to_owned());
        let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let domain = self.fqdn.split_once('.').map_or("", |(_, domain)| domain);
        let mut default_ipv4 = IndexMap::new();
        for (key, value) in [
            ("address", &self.address),
            ("interface", &self.interface),
            ("gateway", &self.gateway),
        ] {
            if !value.is_empty() {
                default_ipv4.insert(key.to_owned(), text(value));
            }
        }
        Value::Map(IndexMap::from([
            ("domain".to_owned(), text(domain)),
            ("default_ipv4".to_owned(), Value::Map(default_ipv4)),
            ("date_time".to_owned(), self.date_time()),
            ("user_gid".to_owned(), number(u64::from(self.gid))),
            ("user_shell".to_owned(), text(&self.shell)),
            ("swaptotal_mb".to_owned(), number(self.swap_mb)),
            ("system".to_owned(), text(&self.system)),
            ("kernel".to_owned(), text(&self.kernel)),
            ("architecture".to_owned(), text(&self.architecture)),
            ("machine".to_owned(), text(&self.architecture)),
            ("hostname".to_owned(), text(&self.hostname)),
            ("nodename".to_owned(), text(&self.hostname)),
            ("fqdn".to_owned(), text(&self.fqdn)),
            ("distribution".to_owned(), text(&distribution)),
            ("distribution_version".to_owned(), text(&version)),
            ("distribution_major_version".to_owned(), text(&major)),
            (
                "distribution_release".to_owned(),
                text(&os("VERSION_CODENAME")),
            ),
            ("os_family".to_owned(), text(&family)),
            ("user_id".to_owned(), text(&self.user)),
            ("user_uid".to_owned(), Value::Int(i64::from(self.uid))),
            ("user_dir".to_owned(), text(&self.home)),
            (
                "processor_vcpus".to_owned(),
                Value::Int(i64::from(self.cpus)),
            ),
            (
                "memtotal_mb".to_owned(),
                Value::Int(i64::try_from(self.memory_mb).unwrap_or(i64::MAX)),
            ),
        ]))
    }

    /// The host's clock when it was connected, in its own time zone, under Ansible's names. The clock is read in whole
    /// seconds.
    fn date_time(&self) -> Value {
        let mut map = IndexMap::new();
        let mut set = |key: &str, value: String| {
            map.insert(key.to_owned(), Value::Str(value));
        };
        set("epoch", self.epoch.to_string());
        set("epoch_int", self.epoch.to_string());
        set("tz", self.time_zone.clone());
        set("tz_offset", self.utc_offset.clone());
        if let Ok(time) = jiff::Timestamp::from_second(self.epoch) {
            let zone = offset(&self.utc_offset).unwrap_or(jiff::tz::Offset::UTC);
            let local = time.to_zoned(jiff::tz::TimeZone::fixed(zone));
            for (key, format) in [
                ("year", "%Y"),
                ("month", "%m"),
                ("day", "%d"),
                ("hour", "%H"),
                ("minute", "%M"),
                ("second", "%S"),
                ("weekday", "%A"),
                ("weekday_number", "%w"),
                ("weeknumber", "%W"),
                ("date", "%Y-%m-%d"),
                ("time", "%H:%M:%S"),
                ("iso8601_basic", "%Y%m%dT%H%M%S000000"),
                ("iso8601_basic_short", "%Y%m%dT%H%M%S"),
            ] {
                set(key, local.strftime(format).to_string());
            }
            let utc = time.strftime("%Y-%m-%dT%H:%M:%S");
            set("iso8601", format!("{utc}Z"));
            set("iso8601_micro", format!("{utc}.000000Z"));
        }
        Value::Map(map)
    }
}

/// `+0130`, as `date +%z` writes it.
fn offset(text: &str) -> Option<jiff::tz::Offset> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.trim_start_matches(['+', '-']);
    let (hours, minutes) = (digits.get(..2)?, digits.get(2..4)?);
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    jiff::tz::Offset::from_seconds(sign * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_named() {
        let Value::Map(map) = HostFacts::default().to_value() else {
            panic!("facts are a mapping")
        };
        let mut found: Vec<&str> = map.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, NAMES);
        let page = include_str!("../../../docs/ansible.md");
        let (_, facts) = page.split_once("\n## Facts\n").unwrap();
        let facts = facts.split("\n## ").next().unwrap();
        for name in NAMES {
            assert!(facts.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn the_clock_of_the_host_in_its_own_zone() {
        let facts = HostFacts {
            epoch: 1_795_218_140,
            utc_offset: "-0330".to_owned(),
            time_zone: "NST".to_owned(),
            ..HostFacts::default()
        };
        let found = facts.date_time();
        for (key, value) in [
            ("date", "2026-11-20"),
            ("time", "20:12:20"),
            ("weekday", "Friday"),
            ("weekday_number", "5"),
            ("weeknumber", "46"),
            ("iso8601", "2026-11-20T23:42:20Z"),
            ("iso8601_basic_short", "20261120T201220"),
            ("epoch", "1795218140"),
            ("tz", "NST"),
            ("tz_offset", "-0330"),
        ] {
            assert_eq!(found.get(key).and_then(Value::as_str), Some(value), "{key}");
        }
    }
}
