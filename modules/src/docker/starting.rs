//! Starting a container, whose ports a daemon may still hold for one that is gone.

use std::time::Duration;

use runbook_engine::resource::WriteError;
use serde_json::Value as Json;

use super::aside::refused;
use super::client::{Writer, encode};

/// How often a port that is taken is asked for again, after [`PAUSE`], where a container that runs has it: one that has just
/// been stopped gives it back in a moment.
const WHILE_HELD: u32 = 10;
/// The same where none has it: one that was just removed.
const WHILE_NOBODYS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// What is to be done about a port that only the daemon itself has.
const HOLDS: &str =
    "holds it; restart the daemon (`systemctl restart docker`), and go on with `runbook resume`";

pub(super) async fn start(daemon: &Writer, name: &str) -> Result<(), WriteError> {
    let path = format!("/containers/{}/start", encode(name));
    let mut tries = 0;
    loop {
        let Err(refusal) = daemon.post(&path, None).await? else {
            return Ok(());
        };
        tries += 1;
        let what = format!("{name} could not be started");
        let Some(port) = taken(&refusal.message) else {
            return Err(refused(&what, &refusal));
        };
        let running = daemon.get("/containers/json").await?;
        let holder = holder(&running, port);
        let limit = if holder.is_some() {
            WHILE_HELD
        } else {
            WHILE_NOBODYS
        };
        if tries > limit {
            // After it was killed while it started a container, Docker 20.10 keeps the port for it, with a proxy of its own,
            // though that container has none. Only its next start gives it back.
            let what = match holder {
                Some(holder) => format!("{what}, since {holder} has port {port}"),
                None => {
                    format!("{what}: port {port} is no container's, but the Docker daemon {HOLDS}")
                }
            };
            return Err(refused(&what, &refusal));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The port of the host that the daemon says is taken: `Bind for 0.0.0.0:8088 failed: port is already allocated`.
fn taken(message: &str) -> Option<u16> {
    let (before, _) = message.split_once(" failed: port is already allocated")?;
    let (_, port) = before.rsplit_once(':')?;
    port.parse().ok()
}

/// The name of the container among these (`/containers/json`) that publishes a port.
fn holder(running: &Json, port: u16) -> Option<String> {
    let publishes = |container: &&Json| {
        let ports = container["Ports"].as_array().into_iter().flatten();
        let mut ports = ports.map(|p| p["PublicPort"].as_u64());
        ports.any(|p| p == Some(u64::from(port)))
    };
    let found = running.as_array()?.iter().find(publishes)?;
    let name = found.pointer("/Names/0")?.as_str()?;
    Some(name.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_that_are_taken() {
        let said = "driver failed programming external connectivity on endpoint app (01f4): Bind for 0.0.0.0:8088 failed: port is \
                    already allocated";
        assert_eq!(taken(said), Some(8088));
        assert_eq!(
            taken("Bind for [::]:80 failed: port is already allocated"),
            Some(80)
        );
        assert_eq!(taken("no such image: app:8088"), None);
        let running = json!([
            {"Names": ["/other"], "Ports": [{"PrivatePort": 8088, "Type": "tcp"}]},
            {"Names": ["/web"], "Ports": [{"PrivatePort": 80, "PublicPort": 8088, "Type": "tcp"}]},
        ]);
        assert_eq!(holder(&running, 8088), Some("web".to_owned()));
        assert_eq!(holder(&running, 80), None);
    }
}
