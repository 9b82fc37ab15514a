//! Versions of the archive, as the folders of its updates are named.

/// Numbers with dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// `5.32.0`; `None` for what is no version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let numbers: Option<Vec<u32>> = text.split('.').map(|n| n.parse().ok()).collect();
        numbers
            .filter(|n| n.len() >= 2 && !text.contains('+'))
            .map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}
