//! What a host says of itself when its first shell opens.

use indexmap::IndexMap;

use crate::value::Value;

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
        let date_time = IndexMap::from([
            ("epoch".to_owned(), text(&self.epoch.to_string())),
            ("tz".to_owned(), text(&self.time_zone)),
            ("tz_offset".to_owned(), text(&self.utc_offset)),
        ]);
        Value::Map(IndexMap::from([
            ("domain".to_owned(), text(domain)),
            ("default_ipv4".to_owned(), Value::Map(default_ipv4)),
            ("date_time".to_owned(), Value::Map(date_time)),
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
}
