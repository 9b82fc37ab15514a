//! The kinds `image` and `image-files`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, ReadKind, Ref, Reversible, Shadow, WriteError,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::client::{Reader, Writer, encode, failed};

/// Images of the host's Docker daemon, by reference.
pub struct Image;

/// Which image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageKey {
    /// `repository:tag`, or an id.
    pub reference: String,
}

impl std::fmt::Display for ImageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reference)
    }
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageState {
    /// Its id; `None` where it is not on the host.
    pub id: Option<String>,
    /// Its `Config`.
    pub config: Json,
    /// Bytes.
    pub size: i64,
    /// Names of containers made from it, running or not.
    pub used_by: Vec<String>,
    /// Under which digests registries have given it, `repository@sha256:…`.
    #[serde(default)]
    pub digests: Vec<String>,
}

impl ImageState {
    /// A variable of the image (`PG_MAJOR`).
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        let list = self.config.get("Env").and_then(Json::as_array)?;
        list.iter()
            .filter_map(Json::as_str)
            .find_map(|e| e.strip_prefix(name)?.strip_prefix('='))
    }

    /// A registry has given it under this digest, `sha256:…`.
    #[must_use]
    pub fn has_digest(&self, digest: &str) -> bool {
        let ends = |known: &String| known.rsplit_once('@').is_some_and(|(_, d)| d == digest);
        self.digests.iter().any(ends)
    }
}

/// What is asked of an image.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageWant {
    /// It shall be there, or not.
    pub present: bool,
    /// How it gets there.
    pub source: ImageSource,
    /// The ids that the archive's image may have, the likeliest first; empty where that is not known.
    pub ids: Vec<String>,
    /// Its `Config`, where that is known.
    pub config: Json,
    /// Remove it though stopped containers use it.
    pub force: bool,
    /// The digest that its registry has it under, `sha256:…`, where it is to be that one.
    #[serde(default)]
    pub digest: Option<String>,
}

/// How an image gets onto a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum ImageSource {
    /// It has to be there.
    #[default]
    Local,
    /// From its registry.
    Pull,
    /// From an archive (`docker save`) on the controller.
    Load(PathBuf),
    /// It is still there under the name that it was given when another one took its own.
    Aside,
}

const ASIDE: &str = ".runbook-";

/// The name of an image whose own name goes to another one.
fn aside(reference: &str, id: &str) -> String {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    let id = id.get(..8).unwrap_or(id);
    let tail = reference.rsplit('/').next().unwrap_or(reference);
    // A reference by digest has no tag to which anything could be added, and never means another image.
    if tail.contains(':') {
        format!("{reference}{ASIDE}{id}")
    } else {
        format!("{reference}:before{ASIDE}{id}")
    }
}

/// Gives an image one more name.
async fn tag(daemon: &Writer, image: &str, reference: &str) -> Result<(), WriteError> {
    let (repository, tag) = parts(reference);
    let path = format!(
        "/images/{}/tag?repo={}&tag={}",
        encode(image),
        encode(repository),
        encode(tag)
    );
    let done = daemon.post(&path, None).await?;
    done.map(drop)
        .map_err(|r| WriteError::failed(failed(reference, &r).to_string()))
}

/// Repository, and tag or digest.
fn parts(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        // Beside a digest a tag says nothing.
        return (parts(name).0, digest);
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

async fn read(daemon: &Reader, reference: &str) -> Result<ImageState, HostError> {
    let Some(image) = daemon
        .find(&format!("/images/{}/json", encode(reference)))
        .await?
    else {
        return Ok(ImageState::default());
    };
    let id = image
        .get("Id")
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned();
    let all = daemon.get("/containers/json?all=1").await?;
    let used_by = all
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| c.get("ImageID").and_then(Json::as_str) == Some(&id))
        .filter_map(|c| c.pointer("/Names/0").and_then(Json::as_str))
        .map(|n| n.trim_start_matches('/').to_owned())
        .collect();
    Ok(ImageState {
        config: image.get("Config").cloned().unwrap_or(Json::Null),
        digests: image
            .get("RepoDigests")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(|digest| digest.as_str().map(str::to_owned))
            .collect(),
        size: image.get("Size").and_then(Json::as_i64).unwrap_or(0),
        id: Some(id),
        used_by,
    })
}

#[async_trait]
impl Kind for Image {
    type Key = ImageKey;
    type State = ImageState;
    type Want = ImageWant;

    const NAME: &'static str = "image";

    async fn read(&self, host: &Probe, keys: &[ImageKey]) -> Vec<Result<ImageState, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|key| read(&daemon, &key.reference))).await
    }

    fn differences(&self, want: &ImageWant, read: &ImageState) -> Vec<String> {
        let known = !want.ids.is_empty();
        match (want.present, &read.id) {
            (true, None) => vec!["absent → present".to_owned()],
            (true, Some(is)) if known && !want.ids.contains(is) => {
                vec!["other content under the same tag".to_owned()]
            }
            (true, Some(_)) if want.digest.as_ref().is_some_and(|d| !read.has_digest(d)) => {
                vec!["the registry has other content under the same tag".to_owned()]
            }
            (false, Some(_)) => vec![format!("removed, {} MiB", read.size >> 20)],
            _ => Vec::new(),
        }
    }

    fn predict(&self, want: &ImageWant, from: &ImageState) -> ImageState {
        if !want.present {
            return ImageState::default();
        }
        if self.differences(want, from).is_empty() {
            return from.clone();
        }
        // The id of an image that is pulled is known only after; its settings too.
        ImageState {
            id: Some(want.ids.first().cloned().unwrap_or_default()),
            config: want.config.clone(),
            digests: want
                .digest
                .iter()
                .map(|digest| format!("@{digest}"))
                .collect(),
            ..ImageState::default()
        }
    }

    fn reversible(&self, change: &Change<ImageState, ImageWant>, key: &ImageKey) -> Reversible {
        if change.want.present {
            return Reversible::Yes;
        }
        Reversible::Loses(format!(
            "the image {}: it has to be pulled or loaded again",
            key.reference
        ))
    }

    fn back(&self, _: &ImageKey, change: &Change<ImageState, ImageWant>) -> Option<ImageWant> {
        match (&change.from.id, change.want.present) {
            (None, _) => Some(ImageWant::default()),
            (Some(id), true) => Some(ImageWant {
                present: true,
                source: ImageSource::Aside,
                ids: vec![id.clone()],
                config: change.from.config.clone(),
                ..ImageWant::default()
            }),
            (Some(_), false) => None,
        }
    }

    /// The image is what its id says. Which containers use it is theirs.
    fn drifted(
        &self,
        _: &ImageKey,
        _: Option<&ImageWant>,
        was: &ImageState,
        now: &ImageState,
    ) -> Vec<String> {
        match (&was.id, &now.id) {
            (None, Some(_)) => vec!["absent → present".to_owned()],
            (Some(_), None) => vec!["present → absent".to_owned()],
            (Some(old), Some(new)) if !old.is_empty() && !new.is_empty() && old != new => {
                let short = |id: &str| {
                    let id = id.strip_prefix("sha256:").unwrap_or(id);
                    id.get(..12).unwrap_or(id).to_owned()
                };
                vec![format!("id {} → {}", short(old), short(new))]
            }
            _ => Vec::new(),
        }
    }

    fn touched_by(&self, key: &ImageKey, written: &Ref) -> bool {
        (written.kind == Self::NAME && (written.id == key.reference || written.id == "*"))
            || written.kind == "container"
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        let daemon = Writer::new(host);
        let mut kept = Vec::new();
        for change in changes {
            let (reference, want) = (&change.key.reference, &change.change.want);
            let now = read(&daemon, reference).await?;
            if now.id != change.change.from.id {
                let found = now.id.unwrap_or_else(|| "no such image".to_owned());
                return Err(WriteError::Moved {
                    what: format!("image {reference}"),
                    found,
                });
            }
            if let (Some(id), true) = (&now.id, want.present) {
                let place = aside(reference, id);
                tag(&daemon, id, &place).await?;
                kept.push(Kept {
                    kind: Self::NAME.to_owned(),
                    of: format!("{}:{reference}", Self::NAME),
                    place,
                    size: u64::try_from(now.size).ok(),
                    user: None,
                });
            }
            match (want.present, &want.source) {
                (false, _) => {
                    let force = if want.force { "?force=1" } else { "" };
                    let gone = daemon
                        .delete(&format!("/images/{}{force}", encode(reference)))
                        .await?;
                    gone.map_err(|r| WriteError::failed(failed(reference, &r).to_string()))?;
                }
                (true, ImageSource::Local) => {
                    return Err(WriteError::failed(format!(
                        "image {reference} is not on the host"
                    )));
                }
                (true, ImageSource::Pull) => {
                    pull(&daemon, reference, want.digest.as_deref()).await?;
                }
                (true, ImageSource::Load(path)) => load(&daemon, reference, path).await?,
                (true, ImageSource::Aside) => {
                    let id = want.ids.first().map_or("", String::as_str);
                    tag(&daemon, &aside(reference, id), reference).await?;
                }
            }
        }
        Ok(kept)
    }

    async fn discard(&self, host: &Target, kept: &Kept) -> Result<(), HostError> {
        if !kept.place.contains(ASIDE) {
            return Err(HostError::failed(format!(
                "{} is no image that was put aside",
                kept.place
            )));
        }
        // Only this name goes, and with it the image where it has no other and no container needs it.
        let path = format!("/images/{}", encode(&kept.place));
        let gone = Writer::new(host).delete(&path).await?;
        match gone {
            // It was removed by hand.
            Err(refused) if refused.status == 404 => Ok(()),
            other => other.map(drop).map_err(|r| failed(&kept.place, &r)),
        }
    }
}

/// Brings exactly what the digest says, which the registry may have under another tag by now.
async fn pull(daemon: &Writer, reference: &str, digest: Option<&str>) -> Result<(), WriteError> {
    let (name, tag) = parts(reference);
    let which = digest.unwrap_or(tag);
    let path = format!(
        "/images/create?fromImage={}&tag={}",
        encode(name),
        encode(which)
    );
    let empty = futures::stream::empty();
    let answer = daemon.pour(&path, empty).await?;
    let text = answer.map_err(|r| WriteError::failed(failed(reference, &r).to_string()))?;
    said(&text, reference)?;
    if let (Some(digest), false) = (digest, reference.contains('@')) {
        return self::tag(daemon, &format!("{name}@{digest}"), reference).await;
    }
    Ok(())
}

async fn load(daemon: &Writer, reference: &str, path: &std::path::Path) -> Result<(), WriteError> {
    let cannot =
        |e: std::io::Error| WriteError::failed(format!("{} cannot be read: {e}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(cannot)?;
    let stream = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20);
    let answer = daemon.pour("/images/load?quiet=1", stream).await?;
    let text = answer.map_err(|r| WriteError::failed(failed(reference, &r).to_string()))?;
    said(&text, reference)
}

/// The daemon answers 200 and tells of failures in the stream.
fn said(text: &str, reference: &str) -> Result<(), WriteError> {
    let errors = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok());
    match errors
        .filter_map(|j| j.get("error").and_then(Json::as_str).map(str::to_owned))
        .next()
    {
        Some(error) => Err(WriteError::failed(format!("image {reference}: {error}"))),
        None => Ok(()),
    }
}

/// Files inside an image, read through a container that is made, never started, and removed at once.
pub struct ImageFiles;

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFilesKey {
    /// Reference of the image.
    pub image: String,
    /// Directory inside it.
    pub directory: String,
}

impl std::fmt::Display for ImageFilesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.image, self.directory)
    }
}

/// The files below the directory, by relative path.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageFilesState {
    /// Id of the image; empty where it was not read.
    #[serde(default)]
    pub image_id: String,
    /// Contents in base64.
    pub files: BTreeMap<String, String>,
}

impl ImageFilesState {
    /// The contents.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files
            .iter()
            .filter_map(|(p, c)| Some((p.clone(), STANDARD.decode(c).ok()?)))
            .collect()
    }
}

/// Where a relative link leads; `None` where that is outside of the directory.
fn within(link: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Files larger than this are not what anybody looks for in an image.
const LARGEST: u64 = 16 << 20;

async fn files(daemon: &Reader, key: &ImageFilesKey) -> Result<ImageFilesState, HostError> {
    let image = daemon
        .find(&format!("/images/{}/json", encode(&key.image)))
        .await?;
    let Some(image) = image else {
        return Err(HostError::failed(format!(
            "image {} is not on the host; bring it with `docker_image` (tag `stage` of the upgrade)",
            key.image
        )));
    };
    // An image of an id never changes, so it is looked into once.
    let id = image.get("Id").and_then(Json::as_str).unwrap_or_default();
    let look = || async {
        let archive = daemon.look_into(&key.image, &key.directory).await?;
        let archive = archive.ok_or_else(|| {
            HostError::failed(format!("image {} has no {}", key.image, key.directory))
        })?;
        let mut state = unpack(&archive).map_err(|e| {
            HostError::failed(format!("{} of image {}: {e}", key.directory, key.image))
        })?;
        state.image_id = id.to_owned();
        Ok(state)
    };
    let name = format!("{id} {}", key.directory);
    let known = daemon
        .probe()
        .session::<ImageFilesState, _, _>(&name, look)
        .await?;
    Ok(known.as_ref().clone())
}

/// Files by their path within the directory; links within it are followed.
fn unpack(archive: &[u8]) -> std::io::Result<ImageFilesState> {
    use std::io::Read;
    let mut state = ImageFilesState::default();
    let mut links: Vec<(String, String)> = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        // The archive begins with the directory's own name.
        let Some((_, relative)) = path.split_once('/') else {
            continue;
        };
        let relative = relative.to_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() && entry.size() <= LARGEST {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            state.files.insert(relative, STANDARD.encode(content));
        } else if let Some(to) = entry.link_name()? {
            let to = to.to_string_lossy();
            let target = if kind.is_hard_link() {
                to.split_once('/').map(|(_, rest)| rest.to_owned())
            } else {
                within(&relative, &to)
            };
            links.extend(target.map(|target| (relative, target)));
        }
    }
    // A link may lead to a link.
    for _ in 0..8 {
        links.retain(|(path, target)| match state.files.get(target).cloned() {
            Some(content) => {
                state.files.insert(path.clone(), content);
                false
            }
            None => true,
        });
    }
    Ok(state)
}

#[async_trait]
impl ReadKind for ImageFiles {
    type Key = ImageFilesKey;
    type State = ImageFilesState;

    const NAME: &'static str = "image-files";

    async fn read(
        &self,
        host: &Probe,
        keys: &[ImageFilesKey],
    ) -> Vec<Result<ImageFilesState, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|key| files(&daemon, key))).await
    }

    fn touched_by(&self, key: &ImageFilesKey, written: &Ref) -> bool {
        written.kind == Image::NAME && (written.id == key.image || written.id == "*")
    }

    fn predicted(
        &self,
        key: &ImageFilesKey,
        world: &Predicted<'_>,
    ) -> Shadow<ImageFilesKey, ImageFilesState> {
        let brought = world
            .changes
            .iter()
            .rev()
            .find(|c| c.key.kind == Image::NAME && c.key.id == key.image);
        match brought {
            Some(change) => Shadow::Unknown(format!("until \"{}\"", change.task)),
            None => Shadow::AsRead,
        }
    }
}
