//! TLS, spoken by the controller over streams that hosts open.

use std::fmt;
use std::sync::Arc;

use runbook_engine::host::Stream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};

/// Where systems keep the certificates of the authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Which servers are believed to be who they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Does the certificate have to be good?
    pub validate: bool,
    /// PEM file on the controller with the authorities to trust, in place of those of its system.
    pub ca_path: Option<String>,
}

/// Why a stream could not be encrypted.
#[derive(Debug)]
pub enum Failed {
    /// It ended, or could not be read or written.
    Stream(String),
    /// The server's certificate is not trusted, or the two do not agree on how to speak.
    Refused(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

/// The stream, encrypted, with a server of this name or address (RFC 8446, and TLS 1.2 of RFC 5246).
///
/// # Errors
/// Where the authorities cannot be read, the certificate is not trusted, or the stream ends.
pub async fn encrypted(stream: Stream, name: &str, trust: &Trust) -> Result<Stream, Failed> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failed::Refused(format!("TLS cannot be set up: {e}")))?;
    let config = if trust.validate {
        let authorities = authorities(trust.ca_path.as_deref()).map_err(Failed::Refused)?;
        builder
            .with_root_certificates(authorities)
            .with_no_client_auth()
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth()
    };
    let server = ServerName::try_from(name.to_owned()).map_err(|_| {
        Failed::Refused(format!("`{name}` is no name that a certificate could have"))
    })?;
    let connected = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await;
    match connected {
        Ok(stream) => Ok(Box::new(stream)),
        // What the library itself finds wrong it wraps like this.
        Err(error) if error.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
            Err(Failed::Refused(format!(
                "no TLS with {name}: {error} (`validate_certs: false` or `ca_path` may be what is needed)"
            )))
        }
        Err(error) => Err(Failed::Stream(format!("no TLS with {name}: {error}"))),
    }
}

fn authorities(path: Option<&str>) -> Result<rustls::RootCertStore, String> {
    let file = match path {
        Some(path) => path,
        None => AUTHORITIES
            .into_iter()
            .find(|p| std::path::Path::new(p).exists())
            .ok_or_else(|| {
                "the controller has no file of trusted authorities; name one with `ca_path`"
                    .to_owned()
            })?,
    };
    let mut store = rustls::RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file)
        .map_err(|e| format!("{file} on the controller cannot be read: {e}"))?;
    store.add_parsable_certificates(found.flatten());
    if store.is_empty() {
        return Err(format!("{file} on the controller holds no certificate"));
    }
    Ok(store)
}

/// Takes any certificate, as `validate_certs: false` asks; signatures are checked all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
