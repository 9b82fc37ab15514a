//! Questions to the person at the terminal.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::{Mutex, PoisonError};

use runbook_engine::value::Secret;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr,
};

/// The question that waits for its answer, if one does.
static OPEN: Mutex<Option<Open>> = Mutex::new(None);

struct Open {
    /// The terminal and how it was set before it hid what is typed.
    hidden: Option<(File, Termios)>,
}

impl Open {
    fn close(self) {
        if let Some((terminal, before)) = self.hidden {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
            let _ = writeln!(&terminal);
        }
    }
}

fn set(open: Option<Open>) -> Option<Open> {
    let mut now = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *now, open)
}

/// Is one waiting for its answer?
pub fn is_open() -> bool {
    OPEN.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some()
}

/// Gives the terminal back as it was, before the program ends in the middle of a question.
pub fn give_back() {
    if let Some(open) = set(None) {
        open.close();
    }
}

/// Forgets what was typed before the question was there to be read.
fn forget_keys() {
    let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
}

/// A question that is answered by yes.
pub fn yes(question: &str) -> bool {
    forget_keys();
    let _ = write!(anstream::stderr(), "{question} [y/N] ");
    set(Some(Open { hidden: None }));
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).is_ok();
    set(None);
    read && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

/// A question that is answered by one of these words, and asked until it is; `None`: nobody is there any more.
pub fn choose(question: &str, words: &[&str]) -> Option<usize> {
    forget_keys();
    loop {
        let _ = write!(anstream::stderr(), "{question} [{}] ", words.join("/"));
        set(Some(Open { hidden: None }));
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        set(None);
        if !matches!(read, Ok(1..)) {
            return None;
        }
        let answer = line.trim().to_lowercase();
        if let Some(at) = words.iter().position(|word| *word == answer) {
            return Some(at);
        }
    }
}

fn terminal(instead: &str) -> anyhow::Result<File> {
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    terminal.map_err(|_| anyhow::anyhow!("there is no terminal to ask on; {instead}"))
}

/// Asks for a text on the terminal. `instead` says what to do where there is none.
///
/// # Errors
/// There is no terminal, or it cannot be read.
pub fn text(prompt: &str, instead: &str) -> anyhow::Result<String> {
    let terminal = terminal(instead)?;
    write!(&terminal, "{prompt}: ")?;
    set(Some(Open { hidden: None }));
    let mut line = String::new();
    let read = BufReader::new(&terminal).read_line(&mut line);
    set(None);
    anyhow::ensure!(read? > 0, "the terminal was closed; {instead}");
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for a secret on the terminal, without showing what is typed. `instead` says what to do where there is none.
///
/// # Errors
/// There is no terminal, or it cannot be read.
pub fn secret(prompt: &str, instead: &str) -> anyhow::Result<Secret> {
    let terminal = terminal(instead)?;
    write!(&terminal, "{prompt}: ")?;
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    set(Some(Open {
        hidden: Some((terminal.try_clone()?, before)),
    }));
    let set_so = tcsetattr(&terminal, OptionalActions::Now, &hidden);
    let mut line = String::new();
    let read = BufReader::new(&terminal).read_line(&mut line);
    give_back();
    set_so?;
    let line = zeroize::Zeroizing::new(line);
    anyhow::ensure!(read? > 0, "the terminal was closed; {instead}");
    Ok(Secret::new(line.trim_end_matches(['\n', '\r'])))
}
