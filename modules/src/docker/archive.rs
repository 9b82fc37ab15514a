//! The kind `image-archive`: what an archive made by `docker save` on the controller holds, so that a second run knows
//! that it is loaded already, and a check knows the image before it is.
//!
//! The archive is read as a stream, once in a run of the program; only its small JSON files stay in memory.
//! Format: Docker's image specification v1.2 (`manifest.json` lists `Config`, `RepoTags`, `Layers`) and the OCI image
//! layout v1.0 (`index.json`), which newer daemons write beside it.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{ReadKind, Ref};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Archives of images on the controller.
pub struct ImageArchive;

/// Which archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveKey {
    /// Path on the controller.
    pub path: PathBuf,
}

impl std::fmt::Display for ArchiveKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ArchiveState {
    /// Images by reference; `None` where the archive is compressed in a way that only the daemon reads.
    pub images: Option<BTreeMap<String, ArchivedImage>>,
    /// Bytes of the file.
    pub size: u64,
}

/// An image in an archive.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ArchivedImage {
    /// Ids that a daemon gives it: the digest of its configuration; with containerd's store, of its manifest.
    pub ids: Vec<String>,
    /// Its `Config`.
    pub config: Json,
}

/// JSON files larger than this are none of the descriptions looked for.
const LARGEST: u64 = 4 << 20;

fn scan(path: &Path) -> std::io::Result<ArchiveState> {
    let mut file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut magic = [0_u8; 6];
    let got = file.read(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let small = match magic[..got] {
        [0x1f, 0x8b, ..] => small_files(&mut tar::Archive::new(
            flate2::read::MultiGzDecoder::new(std::io::BufReader::new(file)),
        ))?,
        // bzip2, xz, zstd: the daemon takes them, we do not look inside.
        [b'B', b'Z', b'h', ..]
        | [0xfd, b'7', b'z', b'X', b'Z', 0]
        | [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(ArchiveState { images: None, size }),
        _ => small_files_seeking(file)?,
    };
    let images = images(&small).ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "it holds no manifest.json, so it was not made by `docker save`",
        )
    })?;
    Ok(ArchiveState {
        images: Some(images),
        size,
    })
}

/// Layers of a plain archive are skipped without being read.
fn small_files_seeking(file: std::fs::File) -> std::io::Result<HashMap<String, Vec<u8>>> {
    let mut archive = tar::Archive::new(file);
    let mut found = HashMap::new();
    for entry in archive.entries_with_seek()? {
        keep(entry?, &mut found)?;
    }
    Ok(found)
}

fn small_files<R: Read>(
    archive: &mut tar::Archive<R>,
) -> std::io::Result<HashMap<String, Vec<u8>>> {
    let mut found = HashMap::new();
    for entry in archive.entries()? {
        keep(entry?, &mut found)?;
    }
    Ok(found)
}

fn keep<R: Read>(
    mut entry: tar::Entry<'_, R>,
    found: &mut HashMap<String, Vec<u8>>,
) -> std::io::Result<()> {
    if !entry.header().entry_type().is_file() || entry.size() > LARGEST {
        return Ok(());
    }
    let path = entry.path()?.to_string_lossy().into_owned();
    let mut first = [0_u8; 1];
    // Descriptions are JSON; small layers are not.
    if entry.read(&mut first)? == 0 || !matches!(first[0], b'{' | b'[') {
        return Ok(());
    }
    let mut content = first.to_vec();
    entry.read_to_end(&mut content)?;
    found.insert(path, content);
    Ok(())
}

fn images(files: &HashMap<String, Vec<u8>>) -> Option<BTreeMap<String, ArchivedImage>> {
    let json = |path: &str| -> Option<Json> { serde_json::from_slice(files.get(path)?).ok() };
    let manifest = json("manifest.json")?;
    let index = json("index.json").unwrap_or(Json::Null);
    let listed = index.get("manifests").and_then(Json::as_array);
    let listed: Vec<&Json> = listed.into_iter().flatten().collect();
    let mut found = BTreeMap::new();
    for image in manifest.as_array()? {
        let path = image.get("Config").and_then(Json::as_str)?;
        let digest = path.rsplit('/').next()?.trim_end_matches(".json");
        let config = json(path).and_then(|c| c.get("config").cloned());
        for tag in image
            .get("RepoTags")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let Some(tag) = tag.as_str() else { continue };
            let mut ids = vec![format!("sha256:{digest}")];
            let named = listed.iter().filter(|m| {
                let name = m.pointer("/annotations/io.containerd.image.name");
                let name = name.and_then(Json::as_str).unwrap_or_default();
                name == tag || name.ends_with(&format!("/{tag}"))
            });
            ids.extend(
                named.filter_map(|m| m.get("digest").and_then(Json::as_str).map(str::to_owned)),
            );
            found.insert(
                tag.to_owned(),
                ArchivedImage {
                    ids,
                    config: config.clone().unwrap_or(Json::Null),
                },
            );
        }
    }
    Some(found)
}

type Earlier = (SystemTime, u64, ArchiveState);

/// One reading serves all hosts, until the file is another one.
fn read(path: &Path) -> std::io::Result<ArchiveState> {
    static READ: Mutex<BTreeMap<PathBuf, Earlier>> = Mutex::new(BTreeMap::new());
    let meta = std::fs::metadata(path)?;
    let (time, size) = (meta.modified()?, meta.len());
    // The lock is held while reading, so that a hundred hosts wait for one reading.
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((t, s, state)) = read.get(path)
        && (*t, *s) == (time, size)
    {
        return Ok(state.clone());
    }
    let state = scan(path)?;
    read.insert(path.to_owned(), (time, size, state.clone()));
    Ok(state)
}

#[async_trait]
impl ReadKind for ImageArchive {
    type Key = ArchiveKey;
    type State = ArchiveState;

    const NAME: &'static str = "image-archive";

    async fn read(&self, _: &Probe, keys: &[ArchiveKey]) -> Vec<Result<ArchiveState, HostError>> {
        let mut states = Vec::new();
        for key in keys {
            let path = key.path.clone();
            let state = tokio::task::spawn_blocking(move || read(&path)).await;
            states.push(match state {
                Ok(Ok(state)) => Ok(state),
                Ok(Err(error)) => Err(HostError::failed(format!(
                    "the archive {key} cannot be read: {error}"
                ))),
                Err(error) => Err(HostError::failed(format!("the archive {key}: {error}"))),
            });
        }
        states
    }

    fn touched_by(&self, _: &ArchiveKey, _: &Ref) -> bool {
        // It lies on the controller; nothing that is written to a host changes it.
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn archives_of_old_and_new_daemons() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"config":{"Env":["PG_MAJOR=15"]}}"#;
        let old = archive(&[
            ("abc.json", config),
            ("l/layer.tar", "{no json"),
            (
                "manifest.json",
                r#"[{"Config":"abc.json","RepoTags":["a/db:1","a/db:2"],"Layers":["l/layer.tar"]}]"#,
            ),
        ]);
        let new = archive(&[
            ("blobs/sha256/abc", config),
            (
                "manifest.json",
                r#"[{"Config":"blobs/sha256/abc","RepoTags":["a/db:1"]}]"#,
            ),
            (
                "index.json",
                r#"{"manifests":[{"digest":"sha256:def","annotations":{"io.containerd.image.name":"docker.io/a/db:1"}}]}"#,
            ),
        ]);
        let packed = {
            use std::io::Write;
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(&old).unwrap();
            packer.finish().unwrap()
        };
        for (content, tags, ids) in [
            (&old, 2, &["sha256:abc"][..]),
            (&packed, 2, &["sha256:abc"]),
            (&new, 1, &["sha256:abc", "sha256:def"]),
        ] {
            let path = folder.path().join(format!("{tags}{}.tar", content.len()));
            std::fs::write(&path, content).unwrap();
            let images = read(&path).unwrap().images.unwrap();
            assert_eq!(images.len(), tags);
            assert_eq!(images["a/db:1"].ids, ids);
            assert_eq!(images["a/db:1"].config["Env"][0], "PG_MAJOR=15");
        }
        let none = folder.path().join("none.tar");
        std::fs::write(&none, archive(&[("etc/passwd", "root")])).unwrap();
        let error = read(&none).unwrap_err().to_string();
        assert!(error.contains("docker save"), "{error}");
        let xz = folder.path().join("image.tar.xz");
        std::fs::write(&xz, [0xfd, b'7', b'z', b'X', b'Z', 0, 1, 2]).unwrap();
        assert_eq!(read(&xz).unwrap().images, None);
    }
}
