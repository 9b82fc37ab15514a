//! Asks for what plays want to be asked for: `vars_prompt`.

use std::collections::BTreeMap;

use anyhow::ensure;
use runbook_engine::compile::program::Program;
use runbook_engine::playbook::Prompt;
use runbook_engine::value::{Secret, Value};

use crate::interrupt::Interrupts;
use crate::question;

/// Asks for all of it, in the order of the plays, and puts the answers into the program. Whatever runs a program has to
/// call this first; what only looks at one need not. What was answered before, when a plan was made or a run begun, is
/// not asked again; `answers` holds that, by play and name, and keeps what is answered now.
///
/// # Errors
/// There is no terminal.
pub fn ask(program: &mut Program, answers: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for play in 0..program.plays.len() {
        let prompts = program.plays[play].prompts.clone();
        if prompts.is_empty() {
            continue;
        }
        // Ctrl-C gives the terminal back as it was.
        let _ = Interrupts::listen();
        let mut given = Vec::new();
        for prompt in &prompts {
            let key = format!("{play} {}", prompt.name);
            let text = match answers.get(&key) {
                Some(text) => text.clone(),
                None => answer(prompt)?,
            };
            answers.insert(key, text.clone());
            given.push(if prompt.private {
                Value::Secret(Secret::new(text))
            } else {
                Value::Str(text)
            });
        }
        program.answer(play, given);
    }
    Ok(())
}

fn answer(prompt: &Prompt) -> anyhow::Result<String> {
    loop {
        let first = once(prompt, &prompt.question)?;
        if !prompt.confirm {
            return Ok(first);
        }
        let again = once(prompt, &format!("{} once more", prompt.question))?;
        if first == again {
            return Ok(first);
        }
        crate::report::note("The two answers differ.");
    }
}

fn once(prompt: &Prompt, question: &str) -> anyhow::Result<String> {
    let instead = format!(
        "give the answer with `-e {}=…`, or in a file with `-e @FILE`",
        prompt.name
    );
    let question = question.trim_end().trim_end_matches(':');
    // What a private answer would be is not shown either.
    let shown = match &prompt.default {
        Some(default) if !prompt.private => format!("{question} [{default}]"),
        Some(_) => format!("{question} [empty: the default]"),
        None => question.to_owned(),
    };
    let typed = if prompt.private {
        question::secret(&shown, &instead)?
    } else {
        Secret::new(question::text(&shown, &instead)?)
    };
    let text = match &prompt.default {
        Some(default) if typed.expose().is_empty() => default.clone(),
        _ => typed.expose().to_owned(),
    };
    ensure!(!text.contains('\0'), "an answer holds no NUL");
    Ok(text)
}
