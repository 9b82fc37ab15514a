//! A real PostgreSQL as a plain process on a scratch directory, shared by all tests of this program, each of which
//! has a database of its own; and upstream data.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const USER: &str = "pacs";
pub const PASSWORD: &str = "pacs'secret\\1";

pub struct Cluster {
    pub port: u16,
    _folder: tempfile::TempDir,
    /// Lives for longer than this program.
    _sweeper: Child,
    pub bin: PathBuf,
}

/// The cluster, or a notice where there is none.
pub fn cluster(test: &str) -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let found = CLUSTER.get_or_init(start).as_ref();
    if found.is_none() {
        crate::skip::skip(test, "PostgreSQL (initdb) or setpriv is not installed");
    }
    found
}

#[path = "../../../tests/realdata.rs"]
mod shared;

/// Upstream data, or a notice where there is none.
pub fn realdata(test: &str) -> Option<PathBuf> {
    shared::realdata(test, "sql")
}

fn bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|e| Some(e.ok()?.path().join("bin")))
        .filter(|b| b.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop()
}

/// A command as a user that PostgreSQL agrees to run as, ending with the thread that starts it.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if std::env::var("USER").is_ok_and(|u| u == "root") || nix_uid() == 0 {
        command.args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--clear-groups",
        ]);
    }
    command.arg(program);
    command.current_dir("/");
    command
}

fn nix_uid() -> u32 {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim().parse().unwrap()
}

/// Removes a folder when this program has ended, however it does: what is in a static is never dropped, and each test
/// may be a program of its own. It sees the end of its standard input, which nobody else holds.
fn sweeper(folder: &Path) -> Child {
    let script = "cat; for n in 1 2 3 4 5; do rm -rf \"$0\" && exit; sleep 1; done";
    Command::new("sh")
        .args(["-c", script])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn start() -> Option<Cluster> {
    let bin = bin()?;
    if Command::new("setpriv").arg("--version").output().is_err() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let sweeper = sweeper(folder.path());
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), permissions).unwrap();
    let data = folder.path().join("data");
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let init = as_user(&bin.join("initdb"))
        .args([
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            "--locale=C.UTF-8",
            "-E",
            "UTF8",
            "--no-sync",
        ])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(&data)
        .output()
        .unwrap();
    assert!(
        init.status.success(),
        "{}",
        String::from_utf8_lossy(&init.stderr)
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut server = as_user(&bin.join("postgres"));
    server
        .arg("-D")
        .arg(&data)
        .arg("-k")
        .arg(folder.path())
        .args([
            "-c",
            &format!("port={port}"),
            "-c",
            "listen_addresses=127.0.0.1",
        ])
        .args([
            "-c",
            "max_connections=60",
            "-c",
            "shared_buffers=256MB",
            "-c",
            "max_wal_size=4GB",
        ])
        .stdout(Stdio::null())
        .stderr(log);
    // The server ends with the thread that started it, hence with this program.
    std::thread::spawn(move || {
        let mut child = server.spawn().unwrap();
        let _ = child.wait();
    });
    let cluster = Cluster {
        port,
        _folder: folder,
        _sweeper: sweeper,
        bin,
    };
    let begun = Instant::now();
    while !cluster
        .command("psql", "postgres")
        .args(["-c", "select 1"])
        .output()
        .unwrap()
        .status
        .success()
    {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "PostgreSQL does not start"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(cluster)
}

impl Cluster {
    fn command(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGPASSWORD", PASSWORD).args([
            "-h",
            "127.0.0.1",
            "-U",
            USER,
            "-p",
            &self.port.to_string(),
            "-d",
            database,
        ]);
        command
    }

    /// A new database; its name.
    pub fn database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("pacsdb{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("create database {name}"));
        name
    }

    /// What psql answers, columns by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let out = self
            .command("psql", database)
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Runs a file by psql, as the guide does.
    pub fn file(&self, database: &str, path: &Path) {
        let out = self
            .command("psql", database)
            .args(["-qX", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(path)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// The database as sorted lines, without the ledger.
    pub fn dump(&self, database: &str) -> Vec<String> {
        let out = self
            .command("pg_dump", database)
            .args(["--no-owner", "--inserts", "--exclude-schema=runbook"])
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        // A key that changes from dump to dump, not from database to database.
        let volatile = |l: &&str| {
            !(l.starts_with("--") || l.starts_with("\\restrict") || l.starts_with("\\unrestrict"))
        };
        let mut lines: Vec<String> = String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(volatile)
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    /// A dump in custom format whose rows are statements.
    pub fn dump_with_inserts(&self, database: &str, path: &str) {
        let out = self
            .command("pg_dump", database)
            .args(["-Fc", "--inserts", "-f", path])
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// A database with the full schema of a release.
    pub fn release(&self, sql: &Path, version: &str) -> String {
        let name = self.database();
        for file in [
            "create-psql.sql",
            "create-fk-index.sql",
            "create-case-insensitive-index.sql",
        ] {
            self.file(&name, &sql.join("create").join(version).join(file));
        }
        name
    }

    /// Fills a table with rows, whatever its columns: those that must not be null get some value of their type.
    pub fn fill(&self, database: &str, table: &str, rows: u32, given: &[(&str, &str)]) {
        let columns = self.psql(
            database,
            &format!(
                "select column_name || ' ' || udt_name from information_schema.columns where table_name = '{table}' \
                 and is_nullable = 'NO' order by ordinal_position"
            ),
        );
        let mut names = Vec::new();
        let mut values = Vec::new();
        for line in columns.lines() {
            let (name, of_type) = line.split_once(' ').unwrap();
            if given.iter().any(|(n, _)| *n == name) {
                continue;
            }
            names.push(name);
            values.push(match of_type {
                "bool" => "false",
                "timestamp" => "timestamp '2024-01-01'",
                "bytea" => "'x'",
                "int4" | "int2" | "int8" | "float8" | "float4" | "numeric"
                    if name == "pk" || name.ends_with("_fk") =>
                {
                    "i"
                }
                "int4" | "int2" | "int8" | "float8" | "float4" | "numeric" => "1",
                _ if name.ends_with("_iuid") || name.ends_with("_id") => "'1.2.' || i",
                _ => "'x'",
            });
        }
        for (name, value) in given {
            names.push(name);
            values.push(value);
        }
        let sql = format!(
            "insert into {table} ({}) select {} from generate_series(1, {rows}) i",
            names.join(", "),
            values.join(", ")
        );
        self.psql(database, &sql);
    }
}

impl Cluster {
    /// A client as the archive is one.
    pub async fn client(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(USER)
            .password(PASSWORD)
            .dbname(database)
            .application_name("the archive")
            .connect(tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Two dumps are equal; else the lines that are in one of them only.
pub fn assert_same(ours: &[String], theirs: &[String]) {
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter()
            .filter(|l| b.binary_search(l).is_err())
            .take(20)
            .cloned()
            .collect()
    };
    let (left, right) = (only(ours, theirs), only(theirs, ours));
    assert!(
        left.is_empty() && right.is_empty(),
        "only ours: {left:#?}\nonly theirs: {right:#?}"
    );
    assert_eq!(ours.len(), theirs.len());
}
