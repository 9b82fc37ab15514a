//! Resource kind `pg-dump-file`: a dump on the host, by what its table of contents says. Read only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, ReadCommand};
use runbook_engine::module::Mark;
use runbook_engine::resource::{Kind, ReadKind, Ref, Shadow, contains};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::client::{self, FUNCTIONS, missing, rows};
use super::server::Server;
use crate::file::FileKind;

/// The kind.
pub struct PgDumpFile;

/// A dump, and the server whose programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpFileKey {
    /// Absolute path on the host.
    pub path: String,
    /// The server.
    pub server: Server,
}

impl std::fmt::Display for DumpFileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)
    }
}

/// A dump.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DumpFile {
    /// There is a file.
    pub exists: bool,
    /// Bytes.
    pub size: u64,
    /// Hash of size and table of contents, which names the moment when it was made: two dumps never have the same.
    pub id: String,
    /// When it was made, as it says itself.
    pub created: String,
    /// Which database it is of.
    pub database: String,
    /// Version of the server that it is of.
    pub server_version: String,
    /// How many tables it has.
    pub tables: usize,
    /// Rows of each table, where `pg_dump` has written them beside it.
    pub rows: Option<BTreeMap<String, u64>>,
}

/// Words: path, container or nothing, host, port. Nothing is logged in to: no password is needed.
const SCRIPT: &str = r#"
path=$1 name=$2 host=$3 port=$4 pass=/dev/null
[ -e "$path" ] || exit 0
[ -f "$path" ] && [ -r "$path" ] || exit 91
wc -c < "$path" || exit 91
if [ -n "$name" ]; then
  command -v docker >/dev/null 2>&1 || exit 90
  docker exec -i "$name" pg_restore -l < "$path" || exit $?
else
  command -v pg_restore >/dev/null 2>&1 || exit 89
  pg_restore -l "$path" || exit $?
fi
echo "; rows"
if [ -r "$path.rows" ]; then echo "; known"; cat "$path.rows"; fi
"#;

#[async_trait]
impl ReadKind for PgDumpFile {
    type Key = DumpFileKey;
    type State = DumpFile;

    const NAME: &'static str = "pg-dump-file";

    async fn read(&self, host: &Probe, keys: &[DumpFileKey]) -> Vec<Result<DumpFile, HostError>> {
        futures::future::join_all(keys.iter().map(|key| read(host, key))).await
    }

    fn touched_by(&self, key: &DumpFileKey, written: &Ref) -> bool {
        let file = written.kind == FileKind::NAME
            && (written.id == key.path || contains(&written.id, &key.path));
        file || key.server.is_container(written)
    }

    fn rests_on(&self, key: &DumpFileKey) -> Vec<Mark> {
        vec![Mark {
            kind: FileKind::NAME.to_owned(),
            id: key.path.clone(),
        }]
    }

    fn predicted(&self, key: &DumpFileKey, world: &Predicted<'_>) -> Shadow<DumpFileKey, DumpFile> {
        let file = world.changes.iter().rev().find(|c| {
            c.key.kind == FileKind::NAME && (c.key.id == key.path || contains(&c.key.id, &key.path))
        });
        if let Some(change) = file {
            return Shadow::Unknown(format!("until \"{}\"", change.task));
        }
        // Any server of this version reads it, whatever database it has by then.
        key.server.predicted(world).shadow()
    }
}

async fn read(host: &Probe, key: &DumpFileKey) -> Result<DumpFile, HostError> {
    let [name, at, port] = client::place(&key.server);
    let script = format!("{FUNCTIONS}{SCRIPT}");
    let words = [
        "sh",
        "-c",
        &script,
        "pg_restore",
        &key.path,
        &name,
        &at,
        &port,
    ];
    let said = host.command(&ReadCommand::new(words)).await?;
    let stdout = String::from_utf8_lossy(&said.stdout);
    let shown = key.server.shown();
    match said.status {
        0 => Ok(parsed(&stdout)),
        91 => Err(HostError::failed(format!("{key} is no file that can be read"))),
        status => Err(HostError::failed(missing(status, &shown).unwrap_or_else(|| {
            format!(
                "{key} is no dump that `pg_restore` there can read (made by `pg_dump` in custom format, and by no newer \
                 version): {}",
                client::said(&said.stderr)
            )
        }))),
    }
}

/// What the listing of `pg_restore -l` says, behind the size and before the rows.
fn parsed(text: &str) -> DumpFile {
    let Some((size, rest)) = text.split_once('\n') else {
        return DumpFile::default();
    };
    let (list, counted) = rest.rsplit_once("; rows\n").unwrap_or((rest, ""));
    let field = |name: &str| {
        let line = list
            .lines()
            .find_map(|l| l.strip_prefix(';')?.trim().strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let is_table = |line: &&str| {
        let mut words = line.split_whitespace().skip(3);
        words.next() == Some("TABLE") && words.next() != Some("DATA")
    };
    DumpFile {
        exists: true,
        size: size.trim().parse().unwrap_or_default(),
        id: hex::encode(&Sha256::digest(format!("{}\n{list}", size.trim()))[..16]),
        created: field("Archive created at"),
        database: field("dbname:"),
        server_version: field("Dumped from database version:"),
        tables: list.lines().filter(is_table).count(),
        rows: counted
            .strip_prefix("; known\n")
            .map(|text| rows(text).into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "4711\n;\n; Archive created at 2026-11-20 02:00:00 UTC\n;     dbname: pacsdb\n;     TOC Entries: 9\n\
        ;     Dumped from database version: 15.18 (Debian 15.18-0+deb12u1)\n;     Dumped by pg_dump version: 15.18\n;\n;\n\
        ; Selected TOC Entries:\n;\n215; 1259 16385 TABLE public study pacs\n216; 1259 16390 SEQUENCE public s pacs\n\
        3400; 0 16385 TABLE DATA public study pacs\n; rows\n";

    #[test]
    fn what_a_listing_says() {
        let bare = parsed(LISTED);
        assert_eq!((bare.size, bare.tables, bare.rows.clone()), (4711, 1, None));
        assert_eq!(bare.created, "2026-11-20 02:00:00 UTC");
        assert_eq!(bare.database, "pacsdb");
        assert_eq!(bare.server_version, "15.18 (Debian 15.18-0+deb12u1)");
        let counted = parsed(&format!("{LISTED}; known\npublic.study\t12\n"));
        assert_eq!(counted.rows, Some([("public.study".to_owned(), 12)].into()));
        assert_eq!(counted.id, bare.id);
        assert_ne!(parsed(&LISTED.replace("02:00", "02:01")).id, bare.id);
        assert_eq!(parsed(""), DumpFile::default());
    }
}
