//! A look into an image: through a container that is made of it, never started, and removed again.
//!
//! Docker shows the files of a container only. Whoever looks says in a label of the container who he is, so that one that was
//! left by a killed program is known from one that somebody looks through at the moment.

use bytes::Bytes;
use hyper::Method;
use runbook_engine::host::HostError;
use runbook_engine::lock::{Holder, Trace};
use serde_json::{Value as Json, json};

use super::client::{Reader, encode, failed};

/// Label of such a container; its value is a [`Holder`].
const LABEL: &str = "org.runbook.look";
/// Of who looks from elsewhere nobody knows here whether he is still there; a look is over by then, in seconds.
const LONGEST: i64 = 3600;

impl Reader {
    /// The archive of a directory in an image; `None` where it is not there.
    ///
    /// # Errors
    /// There is no such image, or the daemon does not answer.
    pub async fn look_into(
        &self,
        image: &str,
        directory: &str,
    ) -> Result<Option<Bytes>, HostError> {
        let body = json!({
            "Image": image, "Cmd": ["never-started"], "Entrypoint": ["never-started"],
            "Labels": {LABEL: Holder::here("", "look").text()}, "HostConfig": {"NetworkMode": "none"},
        });
        let path = format!(
            "/containers/create?name=runbook-look-{:016x}",
            rand::random::<u64>()
        );
        let (created, ()) = futures::join!(self.ask(Method::POST, &path, Some(&body)), self.tidy());
        let created = created?.map_err(|refused| failed(&format!("image {image}"), &refused))?;
        let id = created["Id"].as_str().unwrap_or_default().to_owned();
        // If this future is dropped half way the container still goes.
        let gone = RemoveLater {
            reader: self.clone(),
            id: Some(id.clone()),
        };
        let path = format!("/containers/{id}/archive?path={}", encode(directory));
        let archive = self.raw(&path).await;
        gone.now().await;
        archive
    }

    /// Removes what was left by who was killed while he looked. That this fails is no failure of who looks now.
    async fn tidy(&self) {
        let path = format!(
            "/containers/json?all=1&filters={}",
            encode(&json!({"label": [LABEL]}).to_string())
        );
        let Ok(Json::Array(found)) = self.get(&path).await else {
            return;
        };
        let now = jiff::Timestamp::now().as_second();
        for one in found.iter().filter(|one| is_left(one, now)) {
            if let Some(id) = one["Id"].as_str() {
                remove(self, id).await;
            }
        }
    }
}

/// Does nobody look through this container any more? `now` in seconds since 1970.
fn is_left(container: &Json, now: i64) -> bool {
    let holder = container["Labels"][LABEL].as_str().and_then(Holder::read);
    match holder.map(|holder| holder.trace()) {
        Some(Trace::Runs) => false,
        Some(Trace::Gone) => true,
        Some(Trace::Elsewhere) | None => {
            let made = container["Created"].as_i64();
            made.is_some_and(|made| now - made > LONGEST)
        }
    }
}

async fn remove(reader: &Reader, id: &str) {
    let path = format!("/containers/{id}?v=1&force=1");
    let _ = reader.ask(Method::DELETE, &path, None).await;
}

/// Removes a never-started container.
struct RemoveLater {
    reader: Reader,
    id: Option<String>,
}

impl RemoveLater {
    async fn now(mut self) {
        if let Some(id) = self.id.take() {
            remove(&self.reader, &id).await;
        }
    }
}

impl Drop for RemoveLater {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            let reader = self.reader.clone();
            runtime.spawn(async move { remove(&reader, &id).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_through_is_left() {
        let mine = Holder::here("", "look").text();
        // The same machine and boot, and a process that is not there.
        let mut gone: Json = serde_json::from_str(&mine).unwrap();
        gone["pid"] = json!(u32::MAX);
        let mut elsewhere = gone.clone();
        elsewhere["process"] = json!({"id": "x", "boot": "x", "ns": "x", "start": 1});
        for (label, age, left) in [
            (mine.clone(), 0, false),
            (mine, 9000, false),
            (gone.to_string(), 0, true),
            (elsewhere.to_string(), 60, false),
            (elsewhere.to_string(), 9000, true),
            // An older runbook did not say who looks.
            ("1".to_owned(), 60, false),
            ("1".to_owned(), 9000, true),
        ] {
            let container = json!({"Labels": {LABEL: label}, "Created": 1_000_000});
            assert_eq!(
                is_left(&container, 1_000_000 + age),
                left,
                "{container} {age}"
            );
        }
    }
}
