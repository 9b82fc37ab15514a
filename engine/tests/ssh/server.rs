//! A real sshd with keys and a configuration of its own, on a port of its own, as a plain process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runbook_engine::transport::ssh::SshSettings;

use crate::skip::skip;

/// A running sshd. It ends when this is dropped.
pub struct Server {
    pub dir: tempfile::TempDir,
    pub port: u16,
    child: Child,
}

/// Is there a server to test with? It runs as root, since only root's sshd may log in other users.
pub fn possible(test: &str) -> bool {
    if !Path::new("/usr/sbin/sshd").exists() {
        skip(test, "there is no /usr/sbin/sshd (package openssh-server)");
        return false;
    }
    if !root() {
        skip(test, "a scratch sshd with scratch users needs root");
        return false;
    }
    true
}

fn root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|o| o.stdout.starts_with(b"0"))
}

pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes a key and returns its path.
pub fn keygen(path: &Path, kind: &str, passphrase: &str) -> PathBuf {
    let place = path.to_str().unwrap();
    run(
        "ssh-keygen",
        &[
            "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", place,
        ],
    );
    path.to_owned()
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    /// `more` are further lines of sshd_config. The key `client` logs in as any user. A run locks the machine in the
    /// folder `locks` of this server, so that tests with two servers on one machine do not lock each other out.
    pub fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // sshd looks into the folder as the user that logs in.
        run("chmod", &["755", dir.path().to_str().unwrap()]);
        std::fs::create_dir_all("/run/sshd").unwrap();
        let at = |name: &str| dir.path().join(name);
        keygen(&at("host"), "ed25519", "");
        keygen(&at("client"), "ed25519", "");
        std::fs::copy(at("client.pub"), at("authorized")).unwrap();
        std::fs::create_dir(at("locks")).unwrap();
        run("chmod", &["1777", at("locks").to_str().unwrap()]);
        let port = free_port();
        let server = Self {
            child: Self::spawn(dir.path(), port, more),
            dir,
            port,
        };
        server.wait();
        let public = std::fs::read_to_string(server.path("host.pub")).unwrap();
        std::fs::write(
            server.path("known_hosts"),
            format!("[127.0.0.1]:{port} {public}"),
        )
        .unwrap();
        server
    }

    fn spawn(dir: &Path, port: u16, more: &str) -> Child {
        let place = dir.display();
        let config = format!(
            "{more}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\nStrictModes no\n\
             SetEnv RUNBOOK_LOCK_DIR={place}/locks\nAuthorizedKeysFile {place}/authorized\nUsePAM no\nPermitRootLogin yes\nLogLevel VERBOSE\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n"
        );
        let file = dir.join("sshd_config");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Reads its configuration and keys again.
    pub fn reload(&self) {
        run("kill", &["-HUP", &self.child.id().to_string()]);
        std::thread::sleep(Duration::from_millis(300));
        self.wait();
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "sshd did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process of sshd; all that it starts is below it.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Settings that log in as root with the key.
    pub fn settings(&self) -> SshSettings {
        let mut settings = SshSettings::new("testhost");
        "127.0.0.1".clone_into(&mut settings.address);
        settings.port = Some(self.port);
        settings.user = Some("root".to_owned());
        settings.key = Some(self.path("client"));
        settings.host_keys.known_hosts = Some(self.path("known_hosts"));
        settings.agent = None;
        settings.use_config = false;
        settings.home = self.dir.path().to_owned();
        settings
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user of the machine that lives as long as this.
pub struct ScratchUser {
    pub name: String,
}

impl ScratchUser {
    pub fn new(name: &str, password: &str, shell: &str) -> Self {
        let _ = Command::new("userdel").args(["-r", "-f", name]).output();
        run("useradd", &["-m", "-s", shell, name]);
        let line = format!("{name}:{password}");
        let mut child = Command::new("chpasswd")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), line.as_bytes()).unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        Self {
            name: name.to_owned(),
        }
    }
}

impl Drop for ScratchUser {
    fn drop(&mut self) {
        let _ = Command::new("userdel")
            .args(["-r", "-f", &self.name])
            .output();
        let _ = std::fs::remove_file(format!("/etc/sudoers.d/{}", self.name));
    }
}
