//! Copies of what a container mounts, made while it is stopped.

use runbook_engine::host::Target;
use runbook_engine::resource::{Kept, WriteError};
use runbook_engine::transport::quote::word;

use super::aside;
use super::state::{ContainerState, ContainerWant};

/// How a copy is named among the things kept.
pub(super) const COPY: &str = "copy:";
/// In place of a copy of what was not there stands an empty file of this ending.
const ABSENT: &str = ".absent";

/// What is known of the paths before the new container started.
#[derive(Default)]
pub(super) struct Saved {
    /// The copies.
    pub kept: Vec<Kept>,
    /// Paths at which there was nothing, with their marks.
    absent: Vec<(String, String)>,
}

fn place(path: &str, from: &ContainerState) -> String {
    aside::old_name(path.trim_end_matches('/'), &from.id)
}

/// Is there room for so many copies of each? Asked while the container still runs. A copy needs its room and a tenth
/// more.
pub(super) async fn room(
    host: &Target,
    want: &ContainerWant,
    from: &ContainerState,
    copies: u8,
) -> Result<(), WriteError> {
    for path in &want.save {
        let (p, c) = (word(path), word(&place(path, from)));
        let script = format!(
            "[ -e {p} ] || exit 0; [ ! -e {c} ] || {{ echo {c} 'is in the way'; exit 1; }}; \
             n=$(du -sk {p} | cut -f1) && n=$((n * {copies})) && f=$(df -Pk {p} | awk 'NR==2{{print $4}}') || exit 1; \
             [ \"$f\" -gt \"$((n + n / 10))\" ] || {{ echo \"it needs $n KiB, free are $f KiB\"; exit 1; }}"
        );
        let reply = host.script(&script, None).await?;
        if reply.status != 0 {
            return Err(cannot(path, &reply));
        }
    }
    Ok(())
}

/// Makes the copies. Nothing writes to the paths meanwhile.
pub(super) async fn save(
    host: &Target,
    name: &str,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<Saved, WriteError> {
    let mut saved = Saved::default();
    for path in &want.save {
        let copy = place(path, from);
        let mark = format!("{copy}{ABSENT}");
        let (p, c, m) = (word(path), word(&copy), word(&mark));
        // Where not even its folder is there is no place for the mark.
        let script = format!(
            "if [ ! -e {p} ] && [ ! -L {p} ]; then ( : > {m} ) 2>/dev/null && echo marked || echo absent; exit 0; fi; \
             cp -a --reflink=auto {p} {c} 2>/dev/null || {{ rm -rf {c}; cp -a {p} {c}; }} || \
             {{ rm -rf {c}; exit 1; }}; du -sk {c} | cut -f1"
        );
        let reply = host.script(&script, None).await;
        let reply = match reply {
            Ok(reply) if reply.status == 0 => reply,
            other => {
                drop_copies(host, &saved.kept).await;
                return Err(match other {
                    Ok(reply) => cannot(path, &reply),
                    Err(error) => error.into(),
                });
            }
        };
        let said = String::from_utf8_lossy(&reply.stdout).trim().to_owned();
        let kept = |place: &str, size| aside::kept(name, format!("{COPY}{place}"), Some(size));
        match said.parse::<u64>() {
            Ok(size) => saved.kept.push(kept(&copy, size.saturating_mul(1024))),
            Err(_) => {
                if said == "marked" {
                    saved.kept.push(kept(&mark, 0));
                }
                saved.absent.push((path.clone(), mark));
            }
        }
    }
    Ok(saved)
}

/// Of what is to be unpacked into and has no copy any more (a way back that was cut off had used it), copies are made anew.
pub(super) async fn complete(
    host: &Target,
    name: &str,
    want: &ContainerWant,
    from: &ContainerState,
    saved: &mut Saved,
) -> Result<(), WriteError> {
    let is_there = |path: &String| {
        let place = format!("{COPY}{}", place(path, from));
        let kept = saved.kept.iter().any(|kept| kept.place == place);
        kept || saved.absent.iter().any(|(absent, _)| absent == path)
    };
    let lost = want.unpack.keys().filter(|path| !is_there(path));
    let lost = ContainerWant {
        save: lost.cloned().collect(),
        ..ContainerWant::default()
    };
    let again = save(host, name, &lost, from).await?;
    saved.kept.extend(again.kept);
    saved.absent.extend(again.absent);
    Ok(())
}

/// The copies that a change which was cut off had made.
pub(super) async fn found(
    host: &Target,
    name: &str,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<Saved, WriteError> {
    let mut saved = Saved::default();
    for path in &want.save {
        let copy = place(path, from);
        let mark = format!("{copy}{ABSENT}");
        let (c, m) = (word(&copy), word(&mark));
        let script = format!(
            "if [ -e {c} ] || [ -L {c} ]; then n=$(du -sk {c}) || exit 1; echo \"$n\" | cut -f1; \
             elif [ -e {m} ]; then echo marked; fi"
        );
        let reply = host.script(&script, None).await?;
        if reply.status != 0 {
            return Err(cannot(path, &reply));
        }
        let said = String::from_utf8_lossy(&reply.stdout).trim().to_owned();
        let kept = |place: &str, size| aside::kept(name, format!("{COPY}{place}"), Some(size));
        match said.parse::<u64>() {
            Ok(size) => saved.kept.push(kept(&copy, size.saturating_mul(1024))),
            Err(_) if said == "marked" => {
                saved.kept.push(kept(&mark, 0));
                saved.absent.push((path.clone(), mark));
            }
            Err(_) => {}
        }
    }
    Ok(saved)
}

/// Removes copies of what still stands in its place as it was.
pub(super) async fn forget(
    host: &Target,
    want: &ContainerWant,
    from: &ContainerState,
) -> Result<(), WriteError> {
    for path in &want.save {
        let copy = place(path, from);
        let mark = format!("{copy}{ABSENT}");
        let script = format!("rm -rf -- {} {}", word(&copy), word(&mark));
        let reply = host.script(&script, None).await?;
        if reply.status != 0 {
            return Err(cannot(path, &reply));
        }
    }
    Ok(())
}

fn cannot(path: &str, reply: &runbook_engine::host::Reply) -> WriteError {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&reply.stdout),
        String::from_utf8_lossy(&reply.stderr)
    );
    WriteError::failed(format!("no copy of {path} can be kept: {}", said.trim()))
}

async fn drop_copies(host: &Target, saved: &[Kept]) {
    for copy in saved.iter().filter_map(|k| k.place.strip_prefix(COPY)) {
        let _ = host
            .script(&format!("rm -rf -- {}", word(copy)), None)
            .await;
    }
}

/// Removes the copies that were made of what a container mounted.
pub(super) async fn drop_earlier(host: &Target, want: &ContainerWant, earlier: &ContainerState) {
    for path in &want.save {
        let copy = place(path, earlier);
        let script = format!(
            "rm -rf -- {} {}",
            word(&copy),
            word(&format!("{copy}{ABSENT}"))
        );
        let _ = host.script(&script, None).await;
    }
}

/// The copies take the place of what a failed container may have written, and what was not there goes. What stays
/// undone is named.
pub(super) async fn restore(host: &Target, saved: &Saved) -> Option<String> {
    let mut left = Vec::new();
    let copies = saved.kept.iter().filter_map(|k| k.place.strip_prefix(COPY));
    for copy in copies.filter(|copy| !copy.ends_with(ABSENT)) {
        let Some((path, _)) = copy.rsplit_once(".runbook-") else {
            continue;
        };
        let (p, c) = (word(path), word(copy));
        // A mount point cannot be renamed: then its content is replaced.
        let script = format!(
            "f={c}.failed; if mv {p} \"$f\" 2>/dev/null; then mv {c} {p} && rm -rf \"$f\"; \
             elif [ -d {p} ]; then find {p} -mindepth 1 -maxdepth 1 -exec rm -rf {{}} + && cp -a {c}/. {p}/ && rm -rf {c}; \
             else cp -a {c} {p} && rm -rf {c}; fi"
        );
        match host.script(&script, None).await {
            Ok(reply) if reply.status == 0 => {}
            _ => left.push(format!(
                "{path} is as the new container left it; its copy is {copy}"
            )),
        }
    }
    for (path, mark) in &saved.absent {
        let script = format!("rm -rf -- {} && rm -f -- {}", word(path), word(mark));
        match host.script(&script, None).await {
            Ok(reply) if reply.status == 0 => {}
            _ => left.push(format!(
                "{path} was not there before the new container, and could not be removed"
            )),
        }
    }
    (!left.is_empty()).then(|| left.join("; "))
}

/// What was saved of a container earlier is copied to its place again; what is there by now has been saved itself. The
/// copies stay: it may have to be undone.
pub(super) async fn bring(
    host: &Target,
    want: &ContainerWant,
    earlier: &ContainerState,
) -> Result<(), WriteError> {
    for path in &want.save {
        let copy = place(path, earlier);
        let (p, c, m) = (word(path), word(&copy), word(&format!("{copy}{ABSENT}")));
        let script = format!(
            "if [ -e {m} ]; then rm -rf {p}; exit; fi; [ -e {c} ] || [ -L {c} ] || exit 0; if [ -d {p} ]; then find {p} -mindepth 1 -maxdepth 1 -exec rm -rf {{}} + && \
             cp -a {c}/. {p}/; else cp -a {c} {p}; fi"
        );
        let reply = host.script(&script, None).await?;
        if reply.status != 0 {
            return Err(WriteError::failed(format!(
                "what was saved of {path} could not be brought back: {}",
                String::from_utf8_lossy(&reply.stderr).trim()
            )));
        }
    }
    Ok(())
}
