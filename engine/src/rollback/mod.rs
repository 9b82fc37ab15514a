//! Taking a run back: the states before, in reverse order, where they are still the ones that the run left.
//!
//! A rollback is a run of its own: predicted, shown, journalled and told as any other, and it can be taken back itself.
//! What others have changed since is shown and left, unless it is named. What can stay where it is (a schema that the
//! version before works with) stays, unless it is named. A change that cannot be taken back at all is a point of no
//! return: it is not crossed unless it is named.

mod aside;
mod back;
mod choice;
mod left;
mod remaining;
mod steps;
mod wait;
mod walk;

pub use aside::{Aside, Whereabouts};
pub use back::{Back, Fate, Within};
pub use choice::Choice;
pub use left::{Left, Looked, left, look};
pub use remaining::Remaining;
pub use steps::{Did, Step, Told};
pub use walk::{Handlers, Rollback};

#[cfg(test)]
mod tests;
