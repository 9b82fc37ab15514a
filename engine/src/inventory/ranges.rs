//! Host ranges as Ansible writes them: `web[01:10]`, `db[a:c]`, `n[0:20:5]`.

/// All names that a pattern stands for. `Err`: what is wrong with it.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some(open) = pattern.find('[') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let close = pattern[open..]
        .find(']')
        .map(|at| open + at)
        .ok_or("a `[` is not closed")?;
    let (head, range, tail) = (
        &pattern[..open],
        &pattern[open + 1..close],
        &pattern[close + 1..],
    );
    let parts: Vec<&str> = range.split(':').collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => (
            *from,
            *to,
            step.parse()
                .ok()
                .filter(|s| *s > 0)
                .ok_or("the step has to be a number")?,
        ),
        _ => {
            return Err(format!(
                "`[{range}]` is not a range; write `[01:10]` or `[a:f]`"
            ));
        }
    };
    let middles: Vec<String> =
        if let (Ok(first), Ok(last)) = (from.parse::<usize>(), to.parse::<usize>()) {
            if from.starts_with('0') && from.len() > 1 && from.len() != to.len() {
                return Err(format!(
                    "`[{range}]`: both ends need the same number of digits"
                ));
            }
            let width = if from.starts_with('0') { from.len() } else { 0 };
            (first..=last)
                .step_by(step)
                .map(|n| format!("{n:0width$}"))
                .collect()
        } else {
            let letter = |s: &str| {
                s.chars()
                    .next()
                    .filter(|c| s.len() == 1 && c.is_ascii_alphabetic())
            };
            match (letter(from), letter(to)) {
                (Some(first), Some(last)) => (first..=last)
                    .step_by(step)
                    .map(|c| c.to_string())
                    .collect(),
                _ => {
                    return Err(format!(
                        "`[{range}]` is not a range; write `[01:10]` or `[a:f]`"
                    ));
                }
            }
        };
    if middles.is_empty() {
        return Err(format!("`[{range}]` is an empty range"));
    }
    let mut names = Vec::new();
    for rest in expand(tail)? {
        names.extend(middles.iter().map(|middle| format!("{head}{middle}{rest}")));
    }
    names.sort_by_key(|n| (n.len(), n.clone()));
    Ok(names)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ranges() {
        for (pattern, expected) in [
            ("web", "web"),
            ("web[1:3]", "web1 web2 web3"),
            ("web[08:11].x", "web08.x web09.x web10.x web11.x"),
            ("db-[a:c]", "db-a db-b db-c"),
            ("n[0:10:5]", "n0 n5 n10"),
        ] {
            assert_eq!(super::expand(pattern).unwrap().join(" "), expected);
        }
        for pattern in ["x[1", "x[1]", "x[a:5]", "x[3:1]", "x[01:100]"] {
            assert!(super::expand(pattern).is_err(), "{pattern}");
        }
    }
}
