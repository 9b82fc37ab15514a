//! A web server that says what it was told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Result;

/// It runs until the test ends.
pub struct Echo {
    port: u16,
}

impl Echo {
    /// Starts it on a free port of this machine.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        Ok(Self { port })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The request comes back as a text. `/fail` in it makes it an error, `/json` JSON.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 {
                return Ok(());
            }
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) || read == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let status = if text.contains("/fail") {
        "500 No"
    } else {
        "200 OK"
    };
    let (kind, body) = if text.contains("/json") {
        let json = serde_json::json!({"you": {"said": text}, "api_token": "x"});
        ("application/json", json.to_string())
    } else {
        ("text/plain", text)
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
