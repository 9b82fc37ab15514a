//! Logging in: the agent, keys, the password, in the order in which OpenSSH tries them.

use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::{AgentIdentity, client::AgentClient};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, load_secret_key};

use super::SshSettings;
use super::config::Resolved;
use super::host_keys::Check;

/// Logs in. `Err`: what was tried, and what the server would accept.
pub(super) async fn log_in(
    handle: &mut Handle<Check>,
    settings: &SshSettings,
    resolved: &Resolved,
) -> Result<(), String> {
    let user = resolved.user.as_str();
    let mut tried: Vec<String> = Vec::new();
    let failed = |e: russh::Error| format!("the connection was lost while logging in: {e}");
    let offered = match handle.authenticate_none(user).await.map_err(failed)? {
        AuthResult::Success => return Ok(()),
        AuthResult::Failure {
            remaining_methods, ..
        } => remaining_methods,
    };
    let offers = |method: russh::MethodKind| offered.contains(&method);
    if offers(russh::MethodKind::PublicKey) {
        let rsa = handle
            .best_supported_rsa_hash()
            .await
            .ok()
            .flatten()
            .flatten();
        let rsa = rsa.or(Some(HashAlg::Sha512));
        if settings.key.is_none() && with_agent(handle, user, rsa, &mut tried).await? {
            return Ok(());
        }
        let files = settings
            .key
            .clone()
            .map_or_else(|| resolved.keys.clone(), |k| vec![k]);
        for file in files {
            if !file.exists() {
                if settings.key.is_some() {
                    tried.push(format!("key {} (there is no such file)", file.display()));
                }
                continue;
            }
            let key = match load_secret_key(
                &file,
                settings
                    .passphrase
                    .as_ref()
                    .map(crate::value::Secret::expose),
            ) {
                Ok(key) => key,
                Err(russh::keys::Error::KeyIsEncrypted) => {
                    tried.push(format!(
                        "key {} (it is encrypted: put it into an agent, or give `ansible_ssh_passphrase`)",
                        file.display()
                    ));
                    continue;
                }
                Err(e) => {
                    tried.push(format!("key {} (it cannot be read: {e})", file.display()));
                    continue;
                }
            };
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), rsa);
            if handle
                .authenticate_publickey(user, key)
                .await
                .map_err(failed)?
                .success()
            {
                return Ok(());
            }
            tried.push(format!("key {} (refused)", file.display()));
        }
    }
    if let Some(password) = &settings.password {
        if offers(russh::MethodKind::Password) {
            if handle
                .authenticate_password(user, password.expose())
                .await
                .map_err(failed)?
                .success()
            {
                return Ok(());
            }
            tried.push("the password (refused)".to_owned());
        } else if offers(russh::MethodKind::KeyboardInteractive) {
            if interactive(handle, user, password.expose())
                .await
                .map_err(failed)?
            {
                return Ok(());
            }
            tried.push("the password (refused)".to_owned());
        }
    }
    let methods: Vec<String> = offered.iter().map(String::from).collect();
    let tried = if tried.is_empty() {
        "nothing that it accepts".to_owned()
    } else {
        tried.join(", ")
    };
    Err(format!(
        "login as `{user}` was refused. Tried: {tried}. The server accepts: {}. Give a key with `--private-key`, a \
         password with `-k`, or another user with `-u`",
        methods.join(", ")
    ))
}

async fn with_agent(
    handle: &mut Handle<Check>,
    user: &str,
    rsa: Option<HashAlg>,
    tried: &mut Vec<String>,
) -> Result<bool, String> {
    let Ok(mut agent) = AgentClient::connect_env().await else {
        return Ok(false);
    };
    let identities = agent.request_identities().await.unwrap_or_default();
    for identity in identities {
        let (answer, name) = match identity {
            AgentIdentity::PublicKey { key, comment } => {
                let hash = if key.algorithm().is_rsa() { rsa } else { None };
                (
                    handle
                        .authenticate_publickey_with(user, key, hash, &mut agent)
                        .await,
                    comment,
                )
            }
            AgentIdentity::Certificate {
                certificate,
                comment,
            } => (
                handle
                    .authenticate_certificate_with(user, certificate, None, &mut agent)
                    .await,
                comment,
            ),
        };
        match answer {
            Ok(result) if result.success() => return Ok(true),
            Ok(_) => tried.push(format!("agent key {name} (refused)")),
            Err(e) => {
                tried.push(format!("agent key {name} ({e})"));
                break;
            }
        }
    }
    Ok(false)
}

/// A server that asks in its own words gets the password for everything that it does not want echoed.
async fn interactive(
    handle: &mut Handle<Check>,
    user: &str,
    password: &str,
) -> Result<bool, russh::Error> {
    let mut answer = handle
        .authenticate_keyboard_interactive_start(user, None)
        .await?;
    for _ in 0..5 {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let replies = prompts
                    .iter()
                    .map(|p| {
                        if p.echo {
                            String::new()
                        } else {
                            password.to_owned()
                        }
                    })
                    .collect();
                answer = handle
                    .authenticate_keyboard_interactive_respond(replies)
                    .await?;
            }
        }
    }
    Ok(false)
}
