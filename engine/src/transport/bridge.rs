//! A socket through the standard streams of a process on the host, where forwarding is forbidden or the login user may
//! not open it: whichever program that can do this is there.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::carrier::Process;
use super::quote::word;
use crate::host::{Address, Connection, HostError, User};

/// The command line of a program that joins its standard streams with the socket.
pub(super) async fn command_line(
    host: &dyn Connection,
    user: &User,
    address: &Address,
    why: &str,
) -> Result<String, HostError> {
    let reply = host
        .shell(user, "for t in docker socat nc python3 perl bash; do command -v $t >/dev/null 2>&1 && echo $t; done; true", None, true)
        .await?;
    let found = String::from_utf8_lossy(&reply.stdout).into_owned();
    let has = |tool: &str| found.lines().any(|l| l == tool);
    let line = match address {
        Address::Unix(path) if path.ends_with("docker.sock") && has("docker") => {
            format!("docker -H unix://{} system dial-stdio", word(path))
        }
        Address::Unix(path) if has("socat") => format!("socat - UNIX-CONNECT:{}", word(path)),
        Address::Unix(path) if has("nc") => format!("nc -U {}", word(path)),
        Address::Unix(path) if has("python3") => {
            python("s=socket.socket(socket.AF_UNIX);s.connect(a[1])", &[path])
        }
        Address::Unix(path) if has("perl") => perl(
            "socket(S,1,1,0);connect(S,pack_sockaddr_un($ARGV[0]))",
            &[path],
        ),
        Address::Tcp(host, port) if has("socat") => format!("socat - TCP:{}:{port}", word(host)),
        Address::Tcp(host, port) if has("nc") => format!("nc {} {port}", word(host)),
        Address::Tcp(host, port) if has("python3") => python(
            "s=socket.create_connection((a[1],int(a[2])))",
            &[host, &port.to_string()],
        ),
        Address::Tcp(host, port) if has("bash") => {
            let inner = "exec 3<>\"/dev/tcp/$1/$2\"; cat <&3 & cat >&3; wait";
            format!("bash -c {} bridge {} {port}", word(inner), word(host))
        }
        _ => {
            let place = match address {
                Address::Unix(path) => path.clone(),
                Address::Tcp(host, port) => format!("{host}:{port}"),
            };
            return Err(HostError::failed(format!(
                "{place} cannot be opened ({why}), and none of docker, socat, nc, python3, perl is on the host to do it \
                 in another way: allow forwarding in sshd, use `become`, or install socat"
            )));
        }
    };
    Ok(line)
}

fn python(connect: &str, args: &[&str]) -> String {
    let program = format!(
        "import os,socket,sys,threading\na=sys.argv\n{connect}\n\
         def up():\n  while True:\n    b=os.read(0,65536)\n    if not b:\n      s.shutdown(1);return\n    s.sendall(b)\n\
         threading.Thread(target=up,daemon=True).start()\n\
         while True:\n  b=s.recv(65536)\n  if not b: break\n  os.write(1,b)\n"
    );
    let args: Vec<String> = args.iter().map(|a| word(a)).collect();
    format!("python3 -c {} {}", word(&program), args.join(" "))
}

fn perl(connect: &str, args: &[&str]) -> String {
    let program = format!(
        "use Socket;{connect} or die $!;if(fork){{while(sysread(S,$b,65536)){{syswrite(STDOUT,$b)}}}}\
         else{{while(sysread(STDIN,$b,65536)){{syswrite(S,$b)}}shutdown(S,1)}}"
    );
    let args: Vec<String> = args.iter().map(|a| word(a)).collect();
    format!("perl -e {} {}", word(&program), args.join(" "))
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
