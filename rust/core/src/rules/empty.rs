//! P6: empty deltas are dropped.

use super::progress::ChoiceProgress;
use super::template::FastPath;
use crate::openai::{Choice, Finish, Role};

/// Whether a delta is dropped: it is empty, and not the first one with a role; or its choice has already
/// finished. Fast path: kept by a choice that is not dropped.
pub(super) fn is_droppable(choice: &Choice, progress: &ChoiceProgress) -> bool {
    if progress.has_finished(choice.index) {
        return true;
    }
    let introduces = !progress.has_begun(choice.index) && matches!(choice.role, Role::Given(..));
    !introduces && choice.finish == Finish::Open && !choice.has_content && !choice.has_logprobs
}

/// The fast path of a chunk from which a choice was dropped.
pub(super) const DROPPED: FastPath = FastPath::Passed;
