//! The kind `registry-image`: which image a registry has under a reference, as the host's Docker daemon sees it. Read only.
//!
//! The daemon asks the registry for the manifest and tells its digest (Docker Engine API, `GET /distribution/{name}/json`); nothing
//! is brought to the host.

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe};
use runbook_engine::resource::{ReadKind, Ref};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::client::{Reader, encode};
use super::image::ImageKey;

/// What registries have.
pub struct RegistryImage;

/// What a registry has under a reference.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InRegistry {
    /// The digest of its manifest, `sha256:…`; none where the registry does not give the image.
    pub digest: Option<String>,
    /// Why it does not.
    pub refused: String,
}

/// A reference in a path of the API: its slashes are those of the path.
fn in_path(reference: &str) -> String {
    let parts: Vec<String> = reference.split('/').map(encode).collect();
    parts.join("/")
}

async fn read(daemon: &Reader, reference: &str) -> Result<InRegistry, HostError> {
    let answer = daemon
        .look(&format!("/distribution/{}/json", in_path(reference)))
        .await?;
    Ok(match answer {
        Ok(found) => InRegistry {
            digest: found
                .pointer("/Descriptor/digest")
                .and_then(Json::as_str)
                .map(str::to_owned),
            refused: String::new(),
        },
        Err(refused) => InRegistry {
            digest: None,
            refused: refused.message,
        },
    })
}

#[async_trait]
impl ReadKind for RegistryImage {
    type Key = ImageKey;
    type State = InRegistry;

    const NAME: &'static str = "registry-image";

    async fn read(&self, host: &Probe, keys: &[ImageKey]) -> Vec<Result<InRegistry, HostError>> {
        let daemon = Reader::new(host);
        super::client::side_by_side(keys.iter().map(|key| read(&daemon, &key.reference))).await
    }

    fn drifted(&self, _: &ImageKey, was: &InRegistry, now: &InRegistry) -> Vec<String> {
        let shown = |state: &InRegistry| match &state.digest {
            Some(digest) => digest.clone(),
            None => format!("none ({})", state.refused),
        };
        let other = was.digest != now.digest;
        let line = other.then(|| format!("{} → {}", shown(was), shown(now)));
        line.into_iter().collect()
    }

    fn touched_by(&self, _: &ImageKey, _: &Ref) -> bool {
        false
    }
}
