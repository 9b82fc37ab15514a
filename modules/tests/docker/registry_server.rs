//! A registry of images: Debian's `docker-registry`, as a plain process on a folder of its own.

use std::io::{Read as _, Write as _};
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
        // A port that is free now may be another's before it listens there.
        for _ in 0..5 {
            if let Some(registry) = Self::attempt() {
                return Some(registry);
            }
        }
        panic!("it does not start");
    }

    /// `None`: somebody else has taken the port meanwhile.
    fn attempt() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
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
        let mut registry = Self {
            process,
            port,
            _folder: folder,
        };
        let begin = Instant::now();
        while !registry.answers() {
            if registry.process.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "it does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    /// It is a registry that answers, and not whoever else has the port.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let mut said = String::new();
        let asked = stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n");
        let heard = asked.and_then(|()| stream.read_to_string(&mut said));
        heard.is_ok() && said.contains("Docker-Distribution-Api-Version")
    }
}
