//! A registry of images: Debian's `docker-registry`, as a plain process on a folder of its own.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry on this machine, to which Docker speaks without TLS.
pub struct Registry {
    process: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// `None`, said: there is none.
    pub fn start(test: &str) -> Option<Self> {
        if !Path::new("/usr/bin/docker-registry").exists() {
            crate::skip::skip(test, "docker-registry is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let file = folder.path().join("config.yml");
        let content = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            folder.path().display()
        );
        std::fs::write(&file, content).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "it does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self {
            process,
            port,
            _folder: folder,
        })
    }
}
