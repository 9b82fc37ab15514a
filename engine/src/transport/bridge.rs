//! A socket through the standard streams of a process on the host, where forwarding is forbidden or the login user may
//! not open it: whichever program that can do this is there.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::carrier::Process;
use super::connection::Carried;
use super::quote::word;
use crate::host::{Address, Connection as _, HostError, User};

/// A program on the host that joins its standard streams with a socket.
pub(super) struct Bridge {
    /// The script that becomes it.
    pub line: String,
    /// Its name, for messages.
    pub program: &'static str,
    /// The socket, for messages.
    pub place: String,
}

/// Looks for a way, as the user for whom it is.
pub(super) async fn find(
    host: &Carried,
    user: &User,
    address: &Address,
    why: &str,
) -> Result<Bridge, HostError> {
    let mut script = String::from(
        "for t in docker socat nc perl python3 bash; do command -v $t >/dev/null 2>&1 && echo $t; done; \
         nc -h 2>&1 | grep -q -e ' -U\\|[[]-.*U' && echo nc-U; id -un | sed 's/^/user /'",
    );
    if let Address::Unix(path) = address {
        let place = word(path);
        script.push_str(&format!(
            "; if [ ! -e {place} ]; then echo absent; elif [ ! -S {place} ]; then echo other; \
             elif [ ! -w {place} ]; then echo denied; ls -ldL {place} | sed 's/^/ls /'; fi"
        ));
    }
    let reply = host.shell(user, &script, None, true).await?;
    let found = String::from_utf8_lossy(&reply.stdout).into_owned();
    let has = |word: &str| found.lines().any(|l| l == word);
    let after = |word: &str| {
        found
            .lines()
            .find_map(|l| l.strip_prefix(word))
            .unwrap_or_default()
    };
    let place = match address {
        Address::Unix(path) => path.clone(),
        Address::Tcp(host, port) => format!("{host}:{port}"),
    };
    let name = host.name();
    let wrong = if has("absent") {
        Some("there is no such socket (is the server running?)".to_owned())
    } else if has("other") {
        Some("it is no socket".to_owned())
    } else if has("denied") {
        let mode: Vec<&str> = after("ls ").split_whitespace().take(4).collect();
        Some(format!(
            "{} may not open it ({}): use `become`, or add the user to the socket's group",
            after("user "),
            mode.join(" ")
        ))
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(HostError::failed(format!(
            "{name}: {place} cannot be opened: {wrong}"
        )));
    }
    let (program, line) = match address {
        Address::Unix(path) if path.ends_with("docker.sock") && has("docker") => (
            "docker system dial-stdio",
            format!(
                "exec docker -H {} system dial-stdio",
                word(&format!("unix://{path}"))
            ),
        ),
        Address::Unix(path) if has("socat") && !path.contains([',', ':', '!']) => (
            "socat",
            format!("exec socat - {}", word(&format!("UNIX-CONNECT:{path}"))),
        ),
        Address::Unix(path) if has("nc-U") => ("nc -U", format!("exec nc -U {}", word(path))),
        Address::Unix(path) if has("perl") => (
            "perl",
            perl(
                "socket(S,AF_UNIX,SOCK_STREAM,0) or die $!;connect(S,pack_sockaddr_un($ARGV[0]))",
                &[path],
            ),
        ),
        Address::Unix(path) if has("python3") => (
            "python3",
            python("s=socket.socket(socket.AF_UNIX);s.connect(a[1])", &[path]),
        ),
        Address::Tcp(to, port) if has("socat") && !to.contains(':') => (
            "socat",
            format!("exec socat - {}", word(&format!("TCP:{to}:{port}"))),
        ),
        Address::Tcp(to, port) if has("nc") => ("nc", format!("exec nc {} {port}", word(to))),
        Address::Tcp(to, port) if has("python3") => (
            "python3",
            python(
                "s=socket.create_connection((a[1],int(a[2])))",
                &[to, &port.to_string()],
            ),
        ),
        Address::Tcp(to, port) if has("perl") => (
            "perl",
            perl(
                "use IO::Socket::INET;*S=IO::Socket::INET->new(PeerAddr=>$ARGV[0],PeerPort=>$ARGV[1])",
                &[to, &port.to_string()],
            ),
        ),
        Address::Tcp(to, port) if has("bash") => {
            let inner = "exec 3<>\"/dev/tcp/$1/$2\"; cat <&3 & cat >&3; wait";
            (
                "bash",
                format!("exec bash -c {} bridge {} {port}", word(inner), word(to)),
            )
        }
        _ => {
            return Err(HostError::failed(format!(
                "{name}: {place} cannot be opened ({why}), and none of socat, nc, perl, python3 is on the host to do it \
                 in another way: allow forwarding in its sshd_config (AllowTcpForwarding, AllowStreamLocalForwarding), \
                 or install socat"
            )));
        }
    };
    Ok(Bridge {
        line,
        program,
        place,
    })
}

fn python(connect: &str, args: &[&str]) -> String {
    let program = format!(
        "import os,socket,sys,threading\na=sys.argv\n{connect}\n\
         def up():\n  while True:\n    b=os.read(0,65536)\n    if not b:\n      s.shutdown(1);return\n    s.sendall(b)\n\
         threading.Thread(target=up,daemon=True).start()\n\
         while True:\n  b=s.recv(65536)\n  if not b: break\n  os.write(1,b)\n"
    );
    let args: Vec<String> = args.iter().map(|a| word(a)).collect();
    format!("exec python3 -c {} {}", word(&program), args.join(" "))
}

fn perl(connect: &str, args: &[&str]) -> String {
    let program = format!(
        "use Socket;{connect} or die $!;if(fork){{while(sysread(S,$b,65536)){{syswrite(STDOUT,$b)}}}}\
         else{{while(sysread(STDIN,$b,65536)){{syswrite(S,$b)}}shutdown(S,1)}}"
    );
    let args: Vec<String> = args.iter().map(|a| word(a)).collect();
    format!("exec perl -e {} {}", word(&program), args.join(" "))
}

/// The standard streams of a process as one stream.
pub(super) struct Joined {
    process: Process,
}

impl Joined {
    pub fn new(process: Process) -> Self {
        Self { process }
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.process.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for Joined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.process.stdin).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.process.stdin).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.process.stdin).poll_shutdown(cx)
    }
}
