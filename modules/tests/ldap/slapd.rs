//! A real slapd as a plain process on scratch directories, filled with upstream data by the client tools.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const BASE: &str = "dc=dcm4che,dc=org";
pub const ADMIN: &str = "cn=admin,dc=dcm4che,dc=org";
pub const PASSWORD: &str = "secret";
pub const CONFIG_ADMIN: &str = "cn=admin,cn=config";
pub const CONFIG_PASSWORD: &str = "config-secret";

/// The files that a fresh directory is filled with.
pub const INIT: [&str; 10] = [
    "init-baseDN",
    "init-config",
    "dcm4chee-arc",
    "default-ui-config",
    "default-users",
    "keycloak",
    "logstash",
    "scheduledstation",
    "storescp",
    "stowrsd",
];

pub struct Slapd {
    process: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Can the tests with a server run here? Else a notice.
pub fn available(test: &str) -> bool {
    let found = Path::new("/usr/sbin/slapd").exists() && Path::new("/usr/bin/ldapadd").exists();
    if !found {
        crate::skip::skip(test, "slapd and ldap-utils are not installed");
    }
    found
}

impl Slapd {
    /// A server with the schema of a release, empty.
    pub fn start(schema: &[PathBuf]) -> Self {
        Self::start_as(schema, tempfile::tempdir().unwrap(), "", "")
    }

    /// The same in a folder, with these lines for its global configuration and these URLs to listen at.
    pub fn start_as(
        schema: &[PathBuf],
        folder: tempfile::TempDir,
        global: &str,
        urls: &str,
    ) -> Self {
        let at = |name: &str| folder.path().join(name);
        for name in ["slapd.d", "data"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let mut config = format!(
            "dn: cn=config\nobjectClass: olcGlobal\ncn: config\n{global}\n\
             dn: cn=module{{0}},cn=config\nobjectClass: olcModuleList\ncn: module{{0}}\n\
             olcModulePath: /usr/lib/ldap\nolcModuleLoad: back_mdb\n\n\
             dn: cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: schema\n\n\
             include: file:///etc/ldap/schema/core.ldif\n\n\
             include: file:///etc/ldap/schema/cosine.ldif\n\n\
             include: file:///etc/ldap/schema/nis.ldif\n\n\
             include: file:///etc/ldap/schema/inetorgperson.ldif\n\n",
        );
        for file in schema {
            // Not by `include:`, since the last line of some of them has no end.
            config.push_str(&format!(
                "{}\n\n",
                std::fs::read_to_string(file).unwrap().trim()
            ));
        }
        config.push_str(&format!(
            "dn: olcDatabase={{0}}config,cn=config\nobjectClass: olcDatabaseConfig\nolcDatabase: {{0}}config\n\
             olcRootDN: {CONFIG_ADMIN}\nolcRootPW: {CONFIG_PASSWORD}\n\n\
             dn: olcDatabase={{1}}mdb,cn=config\nobjectClass: olcMdbConfig\nolcDatabase: {{1}}mdb\n\
             olcDbDirectory: {}\nolcDbMaxSize: 1073741824\nolcSuffix: {BASE}\nolcRootDN: {ADMIN}\n\
             olcRootPW: {PASSWORD}\nolcDbNoSync: TRUE\nolcAccess: to * by * read\n",
            at("data").display()
        ));
        std::fs::write(at("config.ldif"), config).unwrap();
        run(Command::new("/usr/sbin/slapadd")
            .args(["-n", "0", "-F"])
            .arg(at("slapd.d"))
            .arg("-l")
            .arg(at("config.ldif")));
        let port = free_port();
        let log = std::fs::File::create(at("log")).unwrap();
        let process = Command::new("/usr/sbin/slapd")
            .arg("-F")
            .arg(at("slapd.d"))
            .args([
                "-h",
                &format!(
                    "ldap://127.0.0.1:{port} ldapi://{} {urls}",
                    socket(folder.path()).replace('/', "%2F")
                ),
            ])
            .args(["-d", "stats"])
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "slapd does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            process,
            port,
            folder,
        }
    }

    /// A server with the schema and the default configuration of a release.
    pub fn release(data: &Path, version: &str) -> Self {
        Self::release_behind(data, version, &[])
    }

    /// The same with schemas of the site's own that were loaded before those of the archive.
    pub fn release_behind(data: &Path, version: &str, own: &[PathBuf]) -> Self {
        let names = [
            "dicom",
            "dcm4che",
            "dcm4chee-archive",
            "dcm4chee-archive-ui",
        ];
        // The files do not end in a number, so the order of loading gives them {4} to {7} where there is none before them.
        let archive = names
            .iter()
            .map(|n| data.join(format!("schema/{version}/{n}.ldif")));
        let schema: Vec<PathBuf> = own.iter().cloned().chain(archive).collect();
        let slapd = Self::start(&schema);
        for name in INIT {
            slapd.add(&std::fs::read(data.join(format!("init/{version}/{name}.ldif"))).unwrap());
        }
        slapd
    }

    /// `ldapadd` as the administrator.
    pub fn add(&self, ldif: &[u8]) {
        self.client("ldapadd", ldif);
    }

    /// `ldapmodify` as the administrator.
    pub fn modify(&self, ldif: &str) {
        self.client("ldapmodify", ldif.as_bytes());
    }

    fn client(&self, program: &str, ldif: &[u8]) {
        let mut child = Command::new(program)
            .args([
                "-x",
                "-D",
                ADMIN,
                "-w",
                PASSWORD,
                "-H",
                &format!("ldap://127.0.0.1:{}", self.port),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(ldif).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Everything below a base by `ldapsearch`, as text.
    pub fn export(&self, base: &str) -> String {
        let output = Command::new("ldapsearch")
            .args([
                "-x",
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-D",
                ADMIN,
                "-w",
                PASSWORD,
            ])
            .args(["-H", &format!("ldap://127.0.0.1:{}", self.port), "-b", base])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The server's configuration by `ldapsearch`, as text.
    pub fn config(&self) -> String {
        let output = Command::new("ldapsearch")
            .args([
                "-x",
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-D",
                CONFIG_ADMIN,
                "-w",
                CONFIG_PASSWORD,
            ])
            .args([
                "-H",
                &format!("ldap://127.0.0.1:{}", self.port),
                "-b",
                "cn=config",
            ])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Operations that change something, counted in the server's own log.
    pub fn writes(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines()
            .filter(|l| {
                [" ADD dn=", " MOD dn=", " DEL dn=", " MODRDN dn="]
                    .iter()
                    .any(|w| l.contains(w))
            })
            .count()
    }

    pub fn socket(&self) -> String {
        socket(self.folder.path())
    }
}

/// A TCP port that nobody listens at now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn socket(folder: &Path) -> String {
    folder.join("ldapi").to_string_lossy().into_owned()
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
