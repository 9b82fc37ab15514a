//! Sessions over TLS with a real slapd that has a certificate of an authority made here.

use std::path::{Path, PathBuf};
use std::process::Command;

use runbook_engine::host::HostError;
use runbook_engine::value::Secret;
use runbook_modules::ldap::server::Server;
use runbook_modules::ldap::session::{Depth, Session};

use crate::host::Host;
use crate::slapd::{self, ADMIN, BASE, PASSWORD, Slapd};

/// Has this program. Else a notice.
fn has_openssl(test: &str) -> bool {
    let has = Path::new("/usr/bin/openssl").exists();
    if !has {
        crate::skip::skip(test, "openssl is not installed");
    }
    has
}

/// An authority of this name in the folder: `NAME.pem` and `NAME.key`.
fn authority(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(format!("{name}.pem"));
    slapd::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", &format!("/CN={name}")])
            .args([
                "-keyout",
                &folder.join(format!("{name}.key")).to_string_lossy(),
            ])
            .args(["-out", &file.to_string_lossy()]),
    );
    file
}

/// A certificate for `localhost` and nothing else: `server.pem` and `server.key`.
fn certificate(folder: &Path, authority: &str) {
    let at = |name: String| folder.join(name).to_string_lossy().into_owned();
    slapd::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-CA", &at(format!("{authority}.pem"))])
            .args(["-CAkey", &at(format!("{authority}.key"))])
            .args(["-subj", "/CN=directory"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &at("server.key".to_owned())])
            .args(["-out", &at("server.pem".to_owned())]),
    );
}

/// A server with a certificate, and the port where it encrypts from the beginning. `more` is for its configuration.
fn with_certificate(more: &str) -> (Slapd, u16) {
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path(), "ours");
    authority(folder.path(), "other");
    certificate(folder.path(), "ours");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let global = format!(
        "olcTLSCACertificateFile: {}\nolcTLSCertificateFile: {}\nolcTLSCertificateKeyFile: {}\n{more}",
        at("ours.pem"),
        at("server.pem"),
        at("server.key")
    );
    let port = slapd::free_port();
    let urls = format!("ldaps://127.0.0.1:{port}");
    let slapd = Slapd::start_as(&[], folder, &global, &urls);
    (slapd, port)
}

fn server(text: &str) -> Server {
    let password = Secret::new(PASSWORD);
    Server::from_args(None, Some(text), Some(ADMIN), Some(&password)).unwrap()
}

async fn asked(server: &Server) -> Result<usize, HostError> {
    let host = Host::new();
    let session = Session::of(&host.probe, server).await?;
    let found = session.search("", Depth::Base, &["namingContexts"]).await;
    Ok(found.unwrap().len())
}

async fn refusal(server: &Server) -> String {
    asked(server).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_session_is_encrypted_with_whom_it_trusts() {
    let name = "a_session_is_encrypted_with_whom_it_trusts";
    if !slapd::available(name) || !has_openssl(name) {
        return;
    }
    let (slapd, port) = with_certificate("");
    slapd.add(
        format!(
            "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: dcm4che\no: x\n"
        )
        .as_bytes(),
    );
    let ca = |name: &str| slapd.folder.path().join(name).display().to_string();
    let (ours, other) = (ca("ours.pem"), ca("other.pem"));
    let ldaps = server(&format!("ldaps://localhost:{port}"));
    let plain = server(&format!("ldap://localhost:{}", slapd.port));
    for (server, start) in [(&ldaps, false), (&plain, true)] {
        let with = |validate, ca_path| server.clone().encrypted(start, validate, ca_path).unwrap();
        assert_eq!(asked(&with(None, Some(&ours))).await.unwrap(), 1, "{start}");
        assert_eq!(asked(&with(Some(false), None)).await.unwrap(), 1, "{start}");
        let told = refusal(&with(None, Some(&other))).await;
        assert!(told.contains("invalid peer certificate"), "{told}");
        assert!(told.contains("`ca_path`"), "{told}");
        // The authorities of the system know nothing of it, if there are any.
        let told = refusal(&with(None, None)).await;
        assert!(told.contains("ca_path"), "{told}");
        let told = refusal(&with(None, Some("/nowhere/ca.pem"))).await;
        assert!(
            told.contains("/nowhere/ca.pem on the controller cannot be read"),
            "{told}"
        );
    }
    // The certificate is of the name, not of the address.
    let by_address = server(&format!("ldaps://127.0.0.1:{port}"));
    let by_address = by_address.encrypted(false, None, Some(&ours)).unwrap();
    let told = refusal(&by_address).await;
    assert!(told.contains("not valid for name"), "{told}");
    let log = std::fs::read_to_string(slapd.folder.path().join("log")).unwrap();
    assert!(log.contains("TLS established"), "{log}");
    assert!(log.contains("STARTTLS"), "{log}");
}

#[tokio::test]
async fn a_server_that_wants_encryption_is_spoken_to() {
    let name = "a_server_that_wants_encryption_is_spoken_to";
    if !slapd::available(name) || !has_openssl(name) {
        return;
    }
    let (slapd, port) = with_certificate("olcSecurity: tls=1\n");
    let plain = server(&format!("ldap://localhost:{}", slapd.port));
    let told = refusal(&plain).await;
    assert!(told.contains("onfidentiality"), "{told}");
    let ours = slapd.folder.path().join("ours.pem").display().to_string();
    let started = plain.encrypted(true, None, Some(&ours)).unwrap();
    assert_eq!(asked(&started).await.unwrap(), 1);
    // The other way round nothing is understood, and that is said.
    let wrong = server(&format!("ldaps://localhost:{}", slapd.port));
    let told = refusal(&wrong).await;
    assert!(told.contains("no TLS with localhost"), "{told}");
    let wrong = server(&format!("ldap://localhost:{port}")).encrypted(true, None, None);
    let told = refusal(&wrong.unwrap()).await;
    assert!(told.contains("StartTLS was not answered"), "{told}");
}

#[tokio::test]
async fn a_server_without_a_certificate_does_not_start_tls() {
    let name = "a_server_without_a_certificate_does_not_start_tls";
    if !slapd::available(name) {
        return;
    }
    let slapd = Slapd::start(&[]);
    let plain = server(&format!("ldap://localhost:{}", slapd.port));
    let told = refusal(&plain.encrypted(true, None, None).unwrap()).await;
    assert!(told.contains("the server does not start TLS"), "{told}");
    assert!(told.contains("olcTLSCertificateFile"), "{told}");
}
