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
        Value::Map(IndexMap::from([
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
