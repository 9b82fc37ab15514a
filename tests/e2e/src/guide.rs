//! The tables of the guides: which task does each step.

/// A line of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The step, such as `D47`.
    pub step: String,
    /// What the vendor's guide does there.
    pub what: String,
    /// The task that does it here; where `file` is empty, why there is none.
    pub task: String,
    /// The file of that task, below `playbooks/`.
    pub file: String,
    /// Why it cannot be taken back; empty where it can.
    pub no_way_back: String,
}

/// How a step may be said to have no task.
pub const WITHOUT_TASK: [&str; 3] = [
    "not obtainable here: ",
    "dropped by the vendor: ",
    "done by a person: ",
];

/// The lines of the table whose steps begin with this letter.
#[must_use]
pub fn rows(text: &str, letter: char) -> Vec<Row> {
    let is_step = |cell: &str| {
        let number = cell.strip_prefix(letter).unwrap_or_default();
        number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit())
    };
    let lines = text.lines().filter(|l| l.starts_with("| "));
    lines
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            match cells.as_slice() {
                [step, what, task, file, back] if is_step(step) => Some(Row {
                    step: (*step).to_owned(),
                    what: (*what).to_owned(),
                    task: (*task).to_owned(),
                    file: (*file).to_owned(),
                    no_way_back: (*back).to_owned(),
                }),
                _ => None,
            }
        })
        .collect()
}
