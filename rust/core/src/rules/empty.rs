//! P6: what says nothing is dropped.

use super::progress::ChoiceProgress;
use super::template::FastPath;
use crate::openai::{Choice, Finish, Role};

/// A delta that says nothing is dropped, but for the first one's role; so is what comes after a choice has
/// finished. Fast path: kept by a choice that stays.
pub(super) fn is_droppable(choice: &Choice, progress: &ChoiceProgress) -> bool {
    if progress.has_finished(choice.index) {
        return true;
    }
    let introduces = !progress.has_begun(choice.index) && matches!(choice.role, Role::Given(..));
    !introduces
        && choice.finish == Finish::Open
        && !choice.carries_something
        && !choice.has_logprobs
}

/// Of a chunk from which a choice was dropped.
pub(super) const DROPPED: FastPath = FastPath::Passed;
