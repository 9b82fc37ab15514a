//! The state of a path: what is known of it, and what can be asked of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_engine::host::FileType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::account::Named;

/// Contents up to this many bytes are part of a state; of larger files a state holds hash and size.
pub const CONTENT_LIMIT: u64 = 1024 * 1024;

/// An absolute path on a host.
///
/// Its text form is the path. A key that follows a last link ends in a slash (as POSIX path resolution has it) until
/// the host has said where the link leads; then the path it leads to takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileKey {
    /// The absolute path, without doubled or trailing slashes.
    pub path: String,
    /// Look at what a link points to instead of the link itself.
    #[serde(default)]
    pub follow: bool,
}

impl FileKey {
    /// The path itself, be it a link or not.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: tidy(path),
            follow: false,
        }
    }

    /// What stands at the end of the links that start at `path`.
    #[must_use]
    pub fn following(path: &str) -> Self {
        Self {
            path: tidy(path),
            follow: true,
        }
    }

    /// Where the host has found what was asked for under `path`; the path itself where it has not said.
    #[must_use]
    pub fn found_at(found: &str, path: &str) -> Self {
        Self::new(if found.is_empty() { path } else { found })
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.follow && self.path != "/" {
            f.write_str("/")?;
        }
        Ok(())
    }
}

/// An absolute path without empty and `.` parts; `..` stays, since only the host knows what it means behind a link.
#[must_use]
pub fn tidy(path: &str) -> String {
    let mut tidied = String::with_capacity(path.len());
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        tidied.push('/');
        tidied.push_str(part);
    }
    if tidied.is_empty() {
        tidied.push('/');
    }
    tidied
}

/// The directory that holds `path`; of `/` it is `/`.
#[must_use]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

/// `name` below the directory `dir`.
#[must_use]
pub fn join(dir: &str, name: &str) -> String {
    if name.starts_with('/') {
        tidy(name)
    } else {
        tidy(&format!("{dir}/{name}"))
    }
}

/// The bytes of a file. In JSON a text where they are UTF-8, else base64.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Content(pub Vec<u8>);

impl Content {
    /// The SHA-256 of the bytes, hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.0)
    }
}

/// The SHA-256 of `bytes`, hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl fmt::Debug for Content {
    /// Contents may hold secrets, so only their size is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// How [`Content`] is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Written<T> {
    Text(T),
    Base64(T),
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Written::Text(text).serialize(serializer),
            Err(_) => Written::Base64(STANDARD.encode(&self.0).as_str()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::<String>::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_bytes())),
            Written::Base64(text) => STANDARD
                .decode(text)
                .map(Self)
                .map_err(serde::de::Error::custom),
        }
    }
}

/// What stands at a path, as read or predicted. What a prediction cannot know is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileState {
    /// The path with all links in it resolved.
    pub path: String,
    /// Type.
    pub is: FileType,
    /// Permission bits, 0 to 0o7777; `None` where nothing stands there.
    pub mode: Option<u32>,
    /// Owner's number. Of an absent path: of the user who reads, whose file it would be.
    pub uid: Option<u32>,
    /// Owner's name, the number as text where it has none.
    pub owner: Option<String>,
    /// Group's number.
    pub gid: Option<u32>,
    /// Group's name.
    pub group: Option<String>,
    /// Size in bytes of a regular file.
    pub size: Option<u64>,
    /// SHA-256 of a regular file's content, hex.
    pub sha256: Option<String>,
    /// Content of a regular file up to [`CONTENT_LIMIT`].
    pub content: Option<Content>,
    /// Where a link points, as written in it.
    pub link: Option<String>,
    /// Device and inode.
    pub inode: Option<String>,
    /// A file with other names, too (hard links).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// Last modification, seconds since 1970.
    pub mtime: Option<i64>,
    /// The reading user may not make things in its directory, or not replace or remove this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Whose a file would be that the reading user made there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<Creator>,
}

/// The bit of a mode with which a directory hands on its group (inode(7)).
pub const SETGID: u32 = 0o2000;

/// A user with a group, as the owner of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creator {
    /// Its number.
    pub uid: u32,
    /// Its name.
    pub owner: String,
    /// The number of its first group.
    pub gid: u32,
    /// The name of that group.
    pub group: String,
    /// Its further groups, number and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<(u32, String)>,
    /// The group that the directory hands on in its stead (setgid, inode(7)), if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed: Option<Handed>,
}

/// The group of a setgid directory, which all that is made in it has; a directory that is made in it hands it on, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Its number, where it is known.
    pub gid: Option<u32>,
    /// Its name, where it is known.
    pub group: Option<String>,
}

impl Creator {
    /// Somebody of whom nothing is known: neither an owner nor in a group.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            uid: u32::MAX,
            owner: String::new(),
            gid: u32::MAX,
            group: String::new(),
            groups: Vec::new(),
            handed: None,
        }
    }

    /// May it make a file of this group, or give a file of its own to it? As far as number or name are known.
    #[must_use]
    pub fn is_in(&self, gid: Option<u32>, group: Option<&str>) -> bool {
        let handed = self.handed.iter().map(|h| (h.gid, h.group.as_deref()));
        let own = std::iter::once((Some(self.gid), Some(self.group.as_str())));
        let further = self
            .groups
            .iter()
            .map(|(gid, name)| (Some(*gid), Some(name.as_str())));
        let mut all = own.chain(further).chain(handed);
        (gid.is_none() && group.is_none())
            || all.any(|(number, name)| match (gid, number) {
                (Some(wanted), Some(number)) => wanted == number,
                _ => group.is_some() && group == name,
            })
    }

    /// The group of what it makes, number and name.
    #[must_use]
    pub fn gives(&self) -> (Option<u32>, Option<String>) {
        match &self.handed {
            Some(handed) => (handed.gid, handed.group.clone()),
            None => (Some(self.gid), Some(self.group.clone())),
        }
    }
}

impl FileState {
    /// Nothing stands at `path`; who would make something there is known.
    #[must_use]
    pub fn absent_for(path: &str, creator: Option<&Creator>) -> Self {
        let (gid, group) = creator.map(Creator::gives).unwrap_or_default();
        Self {
            uid: creator.map(|c| c.uid),
            owner: creator.map(|c| c.owner.clone()),
            gid,
            group,
            creator: creator.cloned(),
            ..Self::absent(path)
        }
    }

    /// Nothing stands at `path`.
    #[must_use]
    pub fn absent(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            is: FileType::Absent,
            mode: None,
            uid: None,
            owner: None,
            gid: None,
            group: None,
            size: None,
            sha256: None,
            content: None,
            link: None,
            inode: None,
            shared: false,
            mtime: None,
            closed: false,
            creator: None,
        }
    }

    /// A regular file of root's with mode 0644, for tests and predictions.
    #[must_use]
    pub fn file(path: &str, content: impl Into<Content>) -> Self {
        let content = content.into();
        Self {
            is: FileType::File,
            mode: Some(0o644),
            size: Some(content.0.len() as u64),
            sha256: Some(content.sha256()),
            content: Some(content),
            ..Self::roots(path)
        }
    }

    /// A directory of root's with mode 0755.
    #[must_use]
    pub fn directory(path: &str) -> Self {
        Self {
            is: FileType::Directory,
            mode: Some(0o755),
            ..Self::roots(path)
        }
    }

    /// A link of root's.
    #[must_use]
    pub fn link(path: &str, to: &str) -> Self {
        Self {
            is: FileType::Link,
            mode: Some(0o777),
            link: Some(to.to_owned()),
            ..Self::roots(path)
        }
    }

    fn roots(path: &str) -> Self {
        Self {
            uid: Some(0),
            owner: Some("root".to_owned()),
            gid: Some(0),
            group: Some("root".to_owned()),
            ..Self::absent(path)
        }
    }

    /// Whose it is, where all of that is known.
    #[must_use]
    pub fn belongs_to(&self) -> Option<Creator> {
        Some(Creator {
            uid: self.uid?,
            owner: self.owner.clone()?,
            gid: self.gid?,
            group: self.group.clone()?,
            groups: Vec::new(),
            handed: None,
        })
    }

    /// What it hands on to what is made in it, where it is a directory that does.
    #[must_use]
    pub fn hands_on(&self) -> Option<Handed> {
        let setgid = self.is == FileType::Directory && self.mode.is_some_and(|m| m & SETGID != 0);
        setgid.then(|| Handed {
            gid: self.gid,
            group: self.group.clone(),
        })
    }

    /// Nothing stands there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.is == FileType::Absent
    }

    /// The bytes of a regular file, where the state holds them.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.content.as_ref().map(|c| c.0.as_slice())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// What is asked of a path. `None` leaves a thing as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FileWant {
    /// The type it shall have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<FileType>,
    /// The content of a regular file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Source>,
    /// Permission bits. A new file without one gets 0644, a new directory 0755.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner, name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group, name or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What the host has for `owner`, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_is: Option<Named>,
    /// What the host has for `group`, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_is: Option<Named>,
    /// What a link points to, as it shall be written in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// It shall be a hard link to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Hard>,
    /// What stood there once, and comes back from where it was kept aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Box<FileState>>,
    /// A command that checks the new content before it takes its place; each `%s` becomes the path of a temporary
    /// file that holds it. Split into words as a shell does, run without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
}

/// The file that a hard link shall share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hard {
    /// Its path.
    pub path: String,
    /// Its device and inode, where it is known.
    pub inode: Option<String>,
    /// Its owner, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Creator>,
}

/// Where the wanted content is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Here.
    Bytes(Content),
    /// In a file on the controller, too large to be carried in a plan.
    Local {
        /// Its path on the controller.
        path: String,
        /// SHA-256 of its content, hex.
        sha256: String,
        /// Bytes.
        size: u64,
    },
    /// In another file on the host.
    Copy {
        /// Its path on the host.
        path: String,
        /// SHA-256 of its content, hex.
        sha256: String,
        /// Bytes.
        size: u64,
        /// The content where it is known.
        content: Option<Content>,
    },
}

impl Source {
    /// SHA-256 of the content, hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        match self {
            Self::Bytes(content) => content.sha256(),
            Self::Local { sha256, .. } | Self::Copy { sha256, .. } => sha256.clone(),
        }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(content) => content.0.len() as u64,
            Self::Local { size, .. } | Self::Copy { size, .. } => *size,
        }
    }

    /// The content, where it is here.
    #[must_use]
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::Bytes(content) => Some(content),
            Self::Local { .. } => None,
            Self::Copy { content, .. } => content.as_ref(),
        }
    }
}
