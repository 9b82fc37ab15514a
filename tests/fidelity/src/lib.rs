//! How far a check tells the truth: each of many playbooks is checked and then run with the real program, and what the
//! check said of each task is compared with what the run did.
//!
//! Compared are host, task, item, status, changes and diff of every task whose outcome the check claimed to know. What
//! it called unknown or conditional is counted apart; so is what it knew under an assumption. An action that a check
//! cannot run (a command that does not only read) counts as predicted when it was said to be done and was done; where it
//! then fails, that is counted apart, and nothing after it is compared.

mod ansible;
mod compare;
pub mod corpus;
mod generate;
mod generated;
mod random;
mod report;
mod script;
mod shrink;
mod trial;

pub use ansible::Rivals;
pub use compare::{Compared, Figures, NOT_COUNTED, Wrong, compare};
pub use generate::{generate, generate_files};
pub use generated::{Generated, generated, listed};
pub use report::{OPEN, Options, Report, measure};
pub use script::Script;
pub use trial::{Place, each_alone, of_script, snapshot};
