//! Paths, addresses of the web and of networks.

use std::net::IpAddr;

use minijinja::{Environment, Error, Value};

use super::{Given, bad, filter, text};

fn split_extension(path: &str) -> (&str, &str) {
    let name_at = path.rfind('/').map_or(0, |at| at + 1);
    let name = &path[name_at..];
    // Dots in front belong to the name.
    let lead = name.len() - name.trim_start_matches('.').len();
    match name[lead..].rfind('.') {
        Some(at) => path.split_at(name_at + lead + at),
        None => (path, ""),
    }
}

fn dirname(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) => {
            let head = &path[..at];
            let trimmed = head.trim_end_matches('/');
            if trimmed.is_empty() {
                &path[..=at]
            } else {
                trimmed
            }
        }
        None => "",
    }
}

fn relative(path: &str, start: &str) -> String {
    let parts = |p: &str| -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for part in p.split('/').filter(|s| !s.is_empty() && *s != ".") {
            if part == ".." && out.last().is_some_and(|l| l != "..") {
                out.pop();
            } else {
                out.push(part.to_owned());
            }
        }
        out
    };
    let (path, start) = (parts(path), parts(start));
    let common = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let mut out = vec!["..".to_owned(); start.len() - common];
    out.extend_from_slice(&path[common..]);
    if out.is_empty() {
        ".".to_owned()
    } else {
        out.join("/")
    }
}

fn urlsplit(value: Value, given: &Given) -> Result<Value, Error> {
    let component = given.text(0, "query")?;
    given.only(1)?;
    let url = text(&value)?;
    let (rest, fragment) = url.split_once('#').unwrap_or((&url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), rest),
    };
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (login, host) = netloc.rsplit_once('@').unwrap_or(("", netloc));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (Some(user), Some(password)),
        None => ((!login.is_empty()).then_some(login), None),
    };
    let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        },
    };
    let port = port.filter(|p| !p.is_empty());
    let port = port
        .map(|p| {
            p.parse::<u16>()
                .map_err(|_| bad(format!("`{p}` is no port")))
        })
        .transpose()?;
    let optional = |v: Option<&str>| v.map_or_else(|| Value::from(()), Value::from);
    let all = [
        ("fragment", Value::from(fragment)),
        (
            "hostname",
            optional(Some(&*host.to_ascii_lowercase()).filter(|h| !h.is_empty())),
        ),
        ("netloc", Value::from(netloc)),
        ("password", optional(password)),
        ("path", Value::from(path)),
        ("port", port.map_or_else(|| Value::from(()), Value::from)),
        ("query", Value::from(query)),
        ("scheme", Value::from(scheme)),
        ("username", optional(user)),
    ];
    match component {
        None => Ok(Value::from_pairs(all)),
        Some(name) => all
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, found)| found)
            .ok_or_else(|| bad(format!("a URL has no part `{name}`"))),
    }
}

/// An address with its prefix length.
fn address(text: &str) -> Option<(IpAddr, u32)> {
    let (host, prefix) = match text.split_once('/') {
        Some((host, prefix)) => (host, Some(prefix)),
        None => (text, None),
    };
    let ip: IpAddr = host.trim().parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(str::trim) {
        None => most,
        Some(mask) => match mask.parse::<u32>() {
            Ok(n) => n,
            Err(_) => {
                let IpAddr::V4(mask) = mask.parse().ok()? else {
                    return None;
                };
                let bits = u32::from(mask);
                (bits.leading_ones() + bits.trailing_zeros() >= 32).then(|| bits.leading_ones())?
            }
        },
    };
    (prefix <= most).then_some((ip, prefix))
}

fn masked(ip: IpAddr, prefix: u32, fill: bool) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            let host = if fill { !mask } else { 0 };
            IpAddr::from((u32::from(ip) & mask | host).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            let host = if fill { !mask } else { 0 };
            IpAddr::from((u128::from(ip) & mask | host).to_be_bytes())
        }
    }
}

/// The queries of `ipaddr` that playbooks use; what is no address is false.
fn ipaddr(value: Value, given: &Given) -> Result<Value, Error> {
    let query = given.text(0, "query")?.unwrap_or_default();
    given.only(1)?;
    if matches!(value.kind(), minijinja::value::ValueKind::Seq) {
        let mut out = Vec::new();
        for item in super::items(&value)? {
            let found = one_address(&text(&item)?, &query)?;
            if found.is_true() {
                out.push(found);
            }
        }
        return Ok(Value::from(out));
    }
    one_address(&text(&value)?, &query)
}

fn one_address(written: &str, query: &str) -> Result<Value, Error> {
    let Some((ip, prefix)) = address(written) else {
        return Ok(Value::from(false));
    };
    let net = masked(ip, prefix, false);
    Ok(match query {
        "" => Value::from(written),
        "address" | "ip" => Value::from(ip.to_string()),
        "network" | "network_id" => Value::from(net.to_string()),
        "netmask" => {
            let all: IpAddr = if ip.is_ipv4() {
                [255_u8; 4].into()
            } else {
                [255_u8; 16].into()
            };
            Value::from(masked(all, prefix, false).to_string())
        }
        "broadcast" => Value::from(masked(ip, prefix, true).to_string()),
        "prefix" => Value::from(prefix),
        "subnet" | "network/prefix" => Value::from(format!("{net}/{prefix}")),
        "version" => Value::from(if ip.is_ipv4() { 4 } else { 6 }),
        "ipv4" => {
            if ip.is_ipv4() {
                Value::from(written)
            } else {
                Value::from(false)
            }
        }
        "ipv6" => {
            if ip.is_ipv6() {
                Value::from(written)
            } else {
                Value::from(false)
            }
        }
        "host" => Value::from(format!("{ip}/{prefix}")),
        network => match address(network) {
            Some((outer, length)) if outer.is_ipv4() == ip.is_ipv4() => {
                let inside =
                    prefix >= length && masked(ip, length, false) == masked(outer, length, false);
                if inside {
                    Value::from(written)
                } else {
                    Value::from(false)
                }
            }
            Some(_) => Value::from(false),
            None => {
                return Err(bad(format!(
                    "`ipaddr` does not know `{network}`; it knows address, network, netmask, broadcast, prefix, subnet, \
                     version, ipv4, ipv6, host and networks such as 192.0.2.0/24"
                )));
            }
        },
    })
}

pub(super) fn add(env: &mut Environment<'static>) {
    let path = |env: &mut Environment<'static>, name, f: fn(&str) -> Value| {
        filter(env, name, move |value, given| {
            given.only(0)?;
            Ok(f(&text(&value)?))
        });
    };
    path(env, "basename", |p| {
        Value::from(p.rsplit('/').next().unwrap_or_default())
    });
    path(env, "dirname", |p| Value::from(dirname(p)));
    path(env, "splitext", |p| {
        let (stem, extension) = split_extension(p);
        Value::from(vec![Value::from(stem), Value::from(extension)])
    });
    path(env, "win_basename", |p| {
        Value::from(p.rsplit(['\\', '/']).next().unwrap_or_default())
    });
    path(env, "win_dirname", |p| {
        let head = p.rfind(['\\', '/']).map_or("", |at| &p[..=at]);
        let trimmed = head.trim_end_matches(['\\', '/']);
        // The separator of a root belongs to it.
        let root = trimmed.is_empty() || trimmed.ends_with(':');
        Value::from(if root { head } else { trimmed })
    });
    path(env, "win_splitdrive", |p| {
        let at = if p.as_bytes().get(1) == Some(&b':') && p.is_char_boundary(2) {
            2
        } else {
            0
        };
        Value::from(vec![Value::from(&p[..at]), Value::from(&p[at..])])
    });
    filter(env, "relpath", |value, given| {
        let start = given
            .text(0, "start")?
            .ok_or_else(|| bad("`relpath` takes the folder to start from"))?;
        given.only(1)?;
        Ok(Value::from(relative(&text(&value)?, &start)))
    });
    filter(env, "urlsplit", urlsplit);
    filter(env, "ipaddr", ipaddr);
}
