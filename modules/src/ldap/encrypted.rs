//! TLS with a directory server: from the beginning (`ldaps`), or asked for on the plain port (StartTLS).

use runbook_engine::host::Stream;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::net::tls::{self, Failed, Trust};

/// The StartTLS request (RFC 4511, section 4.14.1) as message 1, before the name of the operation.
const REQUEST: [u8; 9] = [0x30, 29, 0x02, 1, 1, 0x77, 24, 0x80, 22];
/// The name of the operation.
const START_TLS: &[u8; 22] = b"1.3.6.1.4.1.1466.20037";
/// No answer to it is longer.
const LONGEST: usize = 4096;

/// How a session is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// It begins in plain, and the client asks for encryption before it says anything else.
    pub start: bool,
    /// Who is believed.
    pub trust: Trust,
}

impl Tls {
    /// The stream to a server of this name, encrypted.
    ///
    /// # Errors
    /// Where the server does not encrypt, is not trusted, or does not answer.
    pub async fn begin(&self, mut stream: Stream, name: &str) -> Result<Stream, Failed> {
        if self.start {
            asked(&mut stream).await?;
        }
        tls::encrypted(stream, name, &self.trust).await
    }
}

/// Asks the server to encrypt what follows.
async fn asked(stream: &mut Stream) -> Result<(), Failed> {
    let io = |e: std::io::Error| Failed::Stream(format!("StartTLS was not answered: {e}"));
    let strange = || Failed::Refused("the answer to StartTLS cannot be understood".to_owned());
    stream.write_all(&REQUEST).await.map_err(io)?;
    stream.write_all(START_TLS).await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    // To the last byte of the answer, and no further: the next one is TLS already.
    let mut answer = vec![0; 2];
    stream.read_exact(&mut answer).await.map_err(io)?;
    while length(&answer).is_none() && answer.len() < 6 {
        answer.push(stream.read_u8().await.map_err(io)?);
    }
    let size = length(&answer).filter(|n| *n <= LONGEST);
    let mut body = vec![0; size.ok_or_else(strange)?];
    stream.read_exact(&mut body).await.map_err(io)?;
    answer.extend(body);
    match outcome(&answer) {
        Some((0, _)) => Ok(()),
        Some((code, said)) => Err(Failed::Refused(format!(
            "the server does not start TLS: {said} (code {code}); has it a certificate (`olcTLSCertificateFile`)?"
        ))),
        None => Err(strange()),
    }
}

/// The length that the head of an element names, where it is whole.
fn length(head: &[u8]) -> Option<usize> {
    match *head.get(1)? {
        short @ 0..=0x7f => Some(short.into()),
        long @ 0x81..=0x84 => {
            let bytes = head.get(2..2 + usize::from(long & 0x7f))?;
            Some(bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
        }
        _ => None,
    }
}

/// The first element (X.690): its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let size = length(bytes)?;
    let head = match bytes[1] {
        0..=0x7f => 2,
        long => 2 + usize::from(long & 0x7f),
    };
    let content = bytes.get(head..head + size)?;
    Some((bytes[0], content, &bytes[head + size..]))
}

/// Code and message of an extended response.
fn outcome(message: &[u8]) -> Option<(u32, String)> {
    let (0x30, message, _) = element(message)? else {
        return None;
    };
    let (0x02, _, operation) = element(message)? else {
        return None;
    };
    let (0x78, response, _) = element(operation)? else {
        return None;
    };
    let (0x0a, code, rest) = element(response)? else {
        return None;
    };
    let (0x04, _matched, rest) = element(rest)? else {
        return None;
    };
    let (0x04, said, _) = element(rest)? else {
        return None;
    };
    let code = code.iter().fold(0, |n, b| n << 8 | u32::from(*b));
    Some((code, String::from_utf8_lossy(said).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_start_tls() {
        let yes = [0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0];
        assert_eq!(outcome(&yes), Some((0, String::new())));
        let mut no = vec![0x30, 0x81, 16, 2, 1, 1, 0x78, 11, 0x0a, 1, 2, 4, 0, 4, 4];
        no.extend(b"no !");
        assert_eq!(outcome(&no), Some((2, "no !".to_owned())));
        for cut in 0..no.len() {
            assert_eq!(outcome(&no[..cut]), None, "cut at {cut}");
        }
        // A bind's response is none.
        let other = [0x30, 12, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0];
        assert_eq!(outcome(&other), None);
    }
}
