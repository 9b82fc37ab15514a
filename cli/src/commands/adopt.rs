//! Print the task of a container that was made by hand.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use runbook_engine::host::Probe;
use runbook_engine::resource::Kind as _;
use runbook_engine::run::exit;
use runbook_engine::vault::Key;
use runbook_modules::docker::adopt::{Adopted, adopted};
use runbook_modules::docker::{Container, ContainerKey};

use super::vault;
use crate::call::HostArgs;
use crate::{connect, report};

/// Print the task that describes a container that was made by hand.
///
/// Carried out where the container is, the task changes nothing. In place of secrets it has variables: `--secrets` writes them,
/// encrypted, into a file of variables. What somebody has given as a secret is told by its name and its look, so look through
/// the task before you share it.
#[derive(clap::Args)]
pub struct Args {
    /// The host
    host: String,
    /// The container
    container: String,
    /// Write the values of the secrets into this new file of variables, encrypted with the vault's password
    #[arg(long, value_name = "FILE")]
    secrets: Option<String>,
    #[command(flatten)]
    hosts: HostArgs,
}

pub async fn run(args: Args) -> anyhow::Result<u8> {
    args.hosts.without_limit("name the host")?;
    let mut key = None;
    if let Some(file) = &args.secrets {
        let exists = std::path::Path::new(file).exists();
        ensure!(!exists, "{file} is there already; name a new file");
        key = Some(vault::to_encrypt(&args.hosts.vault, None)?);
    }
    let Some((inventory, fleet)) = connect::fleet(&args.hosts)? else {
        return Ok(exit::WRONG);
    };
    let local = ["localhost", "127.0.0.1"].contains(&args.host.as_str());
    if !inventory.hosts.contains_key(&args.host) && !local {
        report::say_error(&format!(
            "there is no host `{}` in the inventory",
            args.host
        ));
        return Ok(exit::WRONG);
    }
    let user = args.hosts.become_.then(|| {
        let user = args.hosts.become_user.as_deref();
        user.unwrap_or("root").to_owned()
    });
    let link = match fleet.link(&args.host).await {
        Ok(link) => link,
        Err(error) => {
            report::say_error(&error.to_string());
            return Ok(exit::UNREACHABLE);
        }
    };
    let read = read(&link.probe_as(user.as_deref()), &args.container).await;
    drop(link);
    fleet.close().await;
    match read {
        Ok(adopted) => told(&args, key.as_ref(), &adopted),
        Err(why) => {
            report::say_error(&format!("{}: {why:#}", args.host));
            Ok(exit::FAILED)
        }
    }
}

async fn read(probe: &Probe, name: &str) -> anyhow::Result<Adopted> {
    let key = ContainerKey {
        name: name.to_owned(),
    };
    let mut states = Container.read(probe, std::slice::from_ref(&key)).await;
    let state = states.pop().context("nothing was read")??;
    adopted(name, &state).map_err(anyhow::Error::msg)
}

fn told(args: &Args, key: Option<&Key>, adopted: &Adopted) -> anyhow::Result<u8> {
    if let (Some(file), Some(key)) = (&args.secrets, key) {
        let mut text = String::new();
        for (name, secret) in &adopted.secrets {
            text.push_str(&vault::sealed(key, Some(name), secret.expose().as_bytes())?);
        }
        vault::write(file, text.as_bytes())?;
    }
    let mut out = format!(
        "# Container {} of {}, as it is now.\n",
        args.container, args.host
    );
    if !adopted.secrets.is_empty() {
        let names: Vec<&str> = adopted.secrets.keys().map(String::as_str).collect();
        let file = args
            .secrets
            .as_deref()
            .unwrap_or("a file of variables that is encrypted");
        let _ = writeln!(
            out,
            "# Its secrets are variables, for {file}: {}",
            names.join(", ")
        );
    }
    out.push_str(&adopted.yaml(&format!("Container {}", args.container)));
    report::say(out.trim_end());
    Ok(exit::DONE)
}
