//! Proving who we are: agent, keys, certificates, keyboard-interactive, password.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};

use super::known_hosts::fingerprint;
use super::session::Greeter;
use super::settings::Route;

/// What was tried, for the message when nothing helped.
#[derive(Default)]
struct Tried {
    what: Vec<String>,
    offered: Option<MethodSet>,
}

/// One way to prove it.
enum Way {
    Agent(AgentIdentity),
    File(PathBuf),
    Interactive,
    Password,
}

/// How a try ended.
enum Outcome {
    Accepted,
    /// This way counted, and the server wants another one as well.
    Partly,
    Refused,
    /// The server ended the connection.
    Ended(String),
}

/// Why it is not proven.
pub(super) enum Unproven {
    /// The server said no: what was tried, and what it offers.
    Refused(String),
    /// The connection broke before it had said anything.
    Broken,
}

/// Tries each way in turn.
pub(super) async fn prove(handle: &mut Handle<Greeter>, route: &Route) -> Result<(), Unproven> {
    let mut tried = Tried::default();
    let mut agent = agent(route, &mut tried).await;
    let mut ways = ways(route, agent.as_mut(), &mut tried).await;
    if ways.is_empty() {
        // Nothing to try, but the answer tells what the server offers.
        match handle.authenticate_none(&route.user).await {
            Ok(russh::client::AuthResult::Success) => return Ok(()),
            Ok(russh::client::AuthResult::Failure {
                remaining_methods, ..
            }) => tried.offered = Some(remaining_methods),
            Err(_) => return Err(Unproven::Broken),
        }
    }
    let mut index = 0;
    while index < ways.len() {
        let kind = match &ways[index] {
            Way::Agent(_) | Way::File(_) => MethodKind::PublicKey,
            Way::Interactive => MethodKind::KeyboardInteractive,
            Way::Password => MethodKind::Password,
        };
        if tried.offered.as_ref().is_some_and(|o| !o.contains(&kind)) {
            index += 1;
            continue;
        }
        let outcome = match &ways[index] {
            Way::Agent(identity) => {
                with_agent(handle, route, agent.as_mut(), identity, &mut tried).await
            }
            Way::File(path) => with_file(handle, route, path, &mut tried).await,
            Way::Interactive => interactive(handle, route, &mut tried).await,
            Way::Password => password(handle, route, &mut tried).await,
        };
        match outcome {
            Outcome::Accepted => return Ok(()),
            Outcome::Ended(why) => {
                tried
                    .what
                    .push(format!("then the server ended the connection: {why}"));
                break;
            }
            Outcome::Partly => {
                ways.remove(index);
                index = 0;
            }
            Outcome::Refused => index += 1,
        }
    }
    // Who ends the connection after too many tries has said what else there would be.
    let has_answered = tried.offered.as_ref().is_some_and(|m| !m.is_empty());
    if handle.is_closed() && !has_answered {
        return Err(Unproven::Broken);
    }
    Err(Unproven::Refused(explain(route, &tried)))
}

fn explain(route: &Route, tried: &Tried) -> String {
    let offered = tried.offered.as_ref().map_or_else(String::new, |methods| {
        let names: Vec<&str> = methods.iter().map(<&'static str>::from).collect();
        format!("; the server offers {}", names.join(", "))
    });
    let what = if tried.what.is_empty() {
        "there was nothing to try: no agent, no key file, no password".to_owned()
    } else {
        format!("tried {}", tried.what.join(", "))
    };
    format!(
        "the login as {} was refused: {what}{offered}. Name a key with `--private-key` or `ansible_ssh_private_key_file`, \
         add it to the agent with `ssh-add`, or give a password with `-k`",
        route.user
    )
}

type Agent = AgentClient<tokio::net::UnixStream>;

async fn agent(route: &Route, tried: &mut Tried) -> Option<Agent> {
    let socket = route.agent.as_ref()?;
    match AgentClient::connect_uds(socket).await {
        Ok(agent) => Some(agent),
        Err(e) => {
            tried
                .what
                .push(format!("the agent at {} ({e})", socket.display()));
            None
        }
    }
}

/// In OpenSSH's order: named keys first, then the agent's, then the default files. A password that was given is meant:
/// it goes before keys that nobody named, lest those use up the tries that the server allows.
async fn ways(route: &Route, agent: Option<&mut Agent>, tried: &mut Tried) -> Vec<Way> {
    let mut identities = match agent {
        Some(agent) => agent.request_identities().await.unwrap_or_else(|e| {
            tried.what.push(format!("the agent ({e})"));
            Vec::new()
        }),
        None => Vec::new(),
    };
    let mut files: Vec<PathBuf> = route.keys.clone();
    // A key that both have is used through the agent, which knows its passphrase.
    let mut first = Vec::new();
    files.retain(|path| {
        let Some(public) = public_of(path) else {
            return true;
        };
        let at = identities.iter().position(|identity| {
            matches!(identity, AgentIdentity::PublicKey { key, .. } if key.key_data() == public.key_data())
        });
        match at {
            Some(at) => {
                first.push(identities.remove(at));
                false
            }
            None => true,
        }
    });
    if route.identities_only {
        identities.clear();
    }
    let agent_ways = first.into_iter().chain(identities).map(Way::Agent);
    let file_ways = files.into_iter().map(Way::File);
    let mut keys: Vec<Way> = if route.keys_named {
        file_ways.chain(agent_ways).collect()
    } else {
        agent_ways.chain(file_ways).collect()
    };
    if route.password.is_none() {
        return keys;
    }
    let mut secrets = vec![Way::Password, Way::Interactive];
    if route.keys_named {
        keys.append(&mut secrets);
        keys
    } else {
        secrets.append(&mut keys);
        secrets
    }
}

/// The public half of a key file: beside it, or within it where its format shows it unencrypted.
fn public_of(path: &Path) -> Option<PublicKey> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    if let Ok(key) = russh::keys::load_public_key(PathBuf::from(beside)) {
        return Some(key);
    }
    let key = PrivateKey::from_openssh(std::fs::read(path).ok()?).ok()?;
    Some(key.public_key().clone())
}

fn judged(answer: Result<russh::client::AuthResult, russh::Error>, tried: &mut Tried) -> Outcome {
    match answer {
        Ok(russh::client::AuthResult::Success) => Outcome::Accepted,
        Ok(russh::client::AuthResult::Failure {
            remaining_methods,
            partial_success,
        }) => {
            tried.offered = Some(remaining_methods);
            if partial_success {
                Outcome::Partly
            } else {
                Outcome::Refused
            }
        }
        Err(e) => Outcome::Ended(e.to_string()),
    }
}

/// The hash for RSA signatures that the server knows; other keys have their own.
async fn hash_for(handle: &Handle<Greeter>, algorithm: &Algorithm) -> Option<HashAlg> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return None;
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(hash)) => hash,
        // It did not say; every server of the last ten years knows this one.
        _ => Some(HashAlg::Sha512),
    }
}

async fn with_agent(
    handle: &mut Handle<Greeter>,
    route: &Route,
    agent: Option<&mut Agent>,
    identity: &AgentIdentity,
    tried: &mut Tried,
) -> Outcome {
    let Some(agent) = agent else {
        return Outcome::Refused;
    };
    let answer = match identity {
        AgentIdentity::PublicKey { key, comment } => {
            tried
                .what
                .push(format!("agent key {} ({comment})", fingerprint(key)));
            let hash = hash_for(handle, &key.algorithm()).await;
            handle
                .authenticate_publickey_with(&route.user, key.clone(), hash, agent)
                .await
        }
        AgentIdentity::Certificate {
            certificate,
            comment,
        } => {
            tried.what.push(format!(
                "agent certificate {} ({comment})",
                certificate.key_id()
            ));
            let hash = hash_for(handle, &certificate.algorithm()).await;
            handle
                .authenticate_certificate_with(&route.user, certificate.clone(), hash, agent)
                .await
        }
    };
    match answer {
        Ok(answer) => judged(Ok(answer), tried),
        Err(russh::AgentAuthError::Send(_)) => Outcome::Ended("connection closed".to_owned()),
        Err(russh::AgentAuthError::Key(e)) => {
            tried
                .what
                .push(format!("which the agent did not sign with ({e})"));
            Outcome::Refused
        }
    }
}

async fn with_file(
    handle: &mut Handle<Greeter>,
    route: &Route,
    path: &Path,
    tried: &mut Tried,
) -> Outcome {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            tried
                .what
                .push(format!("key {shown} (cannot be read: {e})"));
            return Outcome::Refused;
        }
    };
    let key = match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => key,
        Err(e) => match unlocked(handle, route, path, &text, tried, &e).await {
            Ok(key) => key,
            Err(outcome) => return outcome,
        },
    };
    let key = Arc::new(key);
    for certificate in certificates(route, path, key.public_key()) {
        tried.what.push(format!(
            "certificate {} of key {shown}",
            certificate.key_id()
        ));
        let answer = handle
            .authenticate_openssh_cert(&route.user, key.clone(), certificate)
            .await;
        match judged(answer, tried) {
            Outcome::Refused => {}
            other => return other,
        }
    }
    tried.what.push(format!("key {shown}"));
    let hash = hash_for(handle, &key.algorithm()).await;
    let answer = handle
        .authenticate_publickey(&route.user, PrivateKeyWithHashAlg::new(key, hash))
        .await;
    judged(answer, tried)
}

/// A key that is locked: nobody is asked for its passphrase before the server has said that it would take it.
async fn unlocked(
    handle: &mut Handle<Greeter>,
    route: &Route,
    path: &Path,
    text: &str,
    tried: &mut Tried,
    error: &russh::keys::Error,
) -> Result<PrivateKey, Outcome> {
    let shown = path.display();
    if let Some(public) = public_of(path) {
        let hash = hash_for(handle, &public.algorithm()).await;
        let mut question = Question { accepted: false };
        let answer = handle
            .authenticate_publickey_with(&route.user, public, hash, &mut question)
            .await;
        if !question.accepted {
            tried.what.push(format!("key {shown}"));
            return Err(match answer {
                Ok(answer) => judged(Ok(answer), tried),
                Err(_) => Outcome::Ended("connection closed".to_owned()),
            });
        }
    }
    let passphrases = route.passphrases.clone();
    let asked = path.to_owned();
    let named = route.keys_named && route.keys.first().is_some_and(|k| k == path);
    let passphrase = match route.passphrase.clone().filter(|_| named) {
        Some(given) => Some(given),
        None => tokio::task::spawn_blocking(move || passphrases.of(&asked))
            .await
            .ok()
            .flatten(),
    };
    let Some(passphrase) = passphrase else {
        tried.what.push(format!(
            "key {shown} (has a passphrase, and none was given: {error})"
        ));
        return Err(Outcome::Refused);
    };
    russh::keys::decode_secret_key(text, Some(passphrase.expose())).map_err(|_| {
        tried
            .what
            .push(format!("key {shown} (the passphrase does not open it)"));
        Outcome::Refused
    })
}

/// Finds out whether the server would take a key, without signing anything.
struct Question {
    accepted: bool,
}

/// The signature that was not given.
struct NotSigned;

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl russh::Signer for Question {
    type Error = NotSigned;
    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        self.accepted = true;
        Err(NotSigned)
    }
}

/// Certificates for a key: beside it (`KEY-cert.pub`) or named in the configuration.
fn certificates(route: &Route, path: &Path, public: &PublicKey) -> Vec<Certificate> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-cert.pub");
    let mut places = vec![PathBuf::from(beside)];
    places.extend(route.certificates.iter().cloned());
    let read = places
        .iter()
        .filter_map(|place| russh::keys::load_openssh_certificate(place).ok());
    read.filter(|c| c.public_key() == public.key_data())
        .collect()
}

async fn password(handle: &mut Handle<Greeter>, route: &Route, tried: &mut Tried) -> Outcome {
    let Some(password) = &route.password else {
        return Outcome::Refused;
    };
    tried.what.push("the password".to_owned());
    let answer = handle
        .authenticate_password(&route.user, password.expose())
        .await;
    judged(answer, tried)
}

async fn interactive(handle: &mut Handle<Greeter>, route: &Route, tried: &mut Tried) -> Outcome {
    let Some(password) = &route.password else {
        return Outcome::Refused;
    };
    tried
        .what
        .push("the password, keyboard-interactive".to_owned());
    let mut answer = handle
        .authenticate_keyboard_interactive_start(&route.user, None)
        .await;
    // A server may ask several times; one that goes on after the password was given wants what we do not have.
    for _ in 0..4 {
        match answer {
            Ok(KeyboardInteractiveAuthResponse::Success) => return Outcome::Accepted,
            Ok(KeyboardInteractiveAuthResponse::Failure {
                remaining_methods,
                partial_success,
            }) => {
                tried.offered = Some(remaining_methods);
                return if partial_success {
                    Outcome::Partly
                } else {
                    Outcome::Refused
                };
            }
            Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                let secret = |p: &russh::client::Prompt| {
                    if p.echo {
                        String::new()
                    } else {
                        password.expose().to_owned()
                    }
                };
                let responses = prompts.iter().map(secret).collect();
                answer = handle
                    .authenticate_keyboard_interactive_respond(responses)
                    .await;
            }
            Err(e) => return Outcome::Ended(e.to_string()),
        }
    }
    Outcome::Ended("it asks for more than a password".to_owned())
}
