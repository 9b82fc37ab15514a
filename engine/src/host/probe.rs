//! Reading from a host, through a closed list of reads.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::{Connection, HostError, Reply, User};

/// A byte stream to a server, as seen from the host.
pub type Stream = Box<dyn Duplex>;

/// Both directions of a byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Where a server listens, as seen from the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// A Unix socket.
    Unix(String),
    /// A TCP port.
    Tcp(String, u16),
}

/// Sessions with servers (Docker, LDAP, PostgreSQL) that outlive one read, by type and name.
type Sessions = Mutex<HashMap<(std::any::TypeId, String), Arc<dyn Any + Send + Sync>>>;

/// Can read from a host as one user, and cannot change anything on it.
#[derive(Clone)]
pub struct Probe {
    pub(super) connection: Arc<dyn Connection>,
    pub(super) user: User,
    pub(super) sessions: Arc<Sessions>,
}

impl Probe {
    /// A probe on a connection. The sessions kept with it are shared by all probes cloned from it.
    #[must_use]
    pub fn new(connection: Arc<dyn Connection>, user: User) -> Self {
        Self {
            connection,
            user,
            sessions: Arc::default(),
        }
    }

    /// The same host as another user. Sessions are shared; name the user in a session's name where it matters.
    #[must_use]
    pub fn with_user(&self, user: User) -> Self {
        Self {
            user,
            ..self.clone()
        }
    }

    /// As whom it reads.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Type, mode, owner, hash and (up to a limit) content of files, in order; one round trip for all.
    pub async fn files(
        &self,
        queries: &[FileQuery],
    ) -> Result<Vec<Result<FileEntry, HostError>>, HostError> {
        crate::transport::files::read(self.connection.as_ref(), &self.user, queries).await
    }

    /// Runs a command that its caller has declared to read only: a fixed query of a kind (`semanage fcontext -l`),
    /// or a task's command with `reads_only: true`. Every word is passed as it is; nothing is interpreted by a shell.
    pub async fn command(&self, command: &ReadCommand) -> Result<Reply, HostError> {
        let script = crate::transport::quote::command_line(command);
        self.connection
            .shell(&self.user, &script, command.stdin.clone(), true)
            .await
    }

    /// Copies a file of any size from the host into `to`, as a stream, and returns its number of bytes. What was written
    /// to `to` before an error is worth nothing.
    pub async fn fetch(
        &self,
        path: &str,
        to: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64, HostError> {
        self.connection.fetch(&self.user, path, to).await
    }

    /// A stream to a server. The caller speaks only the reading part of its protocol on it: wrap it in a type that
    /// has nothing else.
    pub async fn open(&self, address: &Address) -> Result<Stream, HostError> {
        self.connection.open(&self.user, address).await
    }

    /// The session of this type and name, made by `make` at first use and kept for the whole run.
    /// `forget` it when it turned out broken.
    pub async fn session<T, F, Fut>(&self, name: &str, make: F) -> Result<Arc<T>, HostError>
    where
        T: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, HostError>> + Send,
    {
        let key = (std::any::TypeId::of::<T>(), name.to_owned());
        if let Some(found) = self.sessions.lock().await.get(&key)
            && let Ok(session) = found.clone().downcast::<T>()
        {
            return Ok(session);
        }
        let made = Arc::new(make().await?);
        self.sessions.lock().await.insert(key, made.clone());
        Ok(made)
    }

    /// Drops a session, so that the next use makes a new one.
    pub async fn forget<T: 'static>(&self, name: &str) {
        self.sessions
            .lock()
            .await
            .remove(&(std::any::TypeId::of::<T>(), name.to_owned()));
    }
}

/// A command that reads only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables added to the environment. Their values stand on no command line.
    pub env: BTreeMap<String, String>,
    /// Working directory.
    pub chdir: Option<String>,
    /// Standard input; none is `/dev/null`.
    pub stdin: Option<Bytes>,
}

impl ReadCommand {
    /// A command from its words.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

/// A question about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileQuery {
    /// Absolute path on the host.
    pub path: String,
    /// Look at what a link points to instead of the link, be there something or not.
    pub follow: bool,
    /// Content is returned for regular files up to this many bytes (0: never), and the hash always. `None`: neither; the
    /// file is not opened, however large it is and whoever may read it.
    pub content_up_to: Option<u64>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The path with all links in its parents resolved (its own last link too where `follow`).
    pub real_path: String,
    /// Its type.
    pub file_type: FileType,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner's number and name (the number as text where it has no name).
    pub uid: u32,
    /// See `uid`.
    pub owner: String,
    /// Group's number and name.
    pub gid: u32,
    /// See `gid`.
    pub group: String,
    /// Bytes.
    pub size: u64,
    /// Last modification, seconds since 1970.
    pub mtime: i64,
    /// Where a link points, as written in it.
    pub link: Option<String>,
    /// SHA-256 of a regular file's content, hex.
    pub sha256: Option<String>,
    /// Content, where asked for and within the limit.
    pub content: Option<Bytes>,
    /// Device and inode, which together identify it on the host.
    pub inode: String,
    /// How many names it has (hard links).
    pub links: u64,
    /// Number and name of the group that its directory hands on to what is made in it (setgid, inode(7)), if it does. Of a
    /// directory that is missing, the nearest one above that is there.
    pub handed: Option<(u32, String)>,
    /// The user may make and remove things in its directory (in the nearest one above that is there).
    pub writable: bool,
    /// Its directory is sticky and another's: only its owner may replace or remove it (inode(7)).
    pub sticky: bool,
}

/// The type of what stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// Nothing stands there (its parent may be missing too).
    Absent,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Other,
}
