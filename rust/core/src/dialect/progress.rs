//! How far the choices of one streamed answer have come.

use crate::openai::{Choice, Finish, Role};

/// A set of choices, by index.
type ChoiceSet = u128;

/// Which choices have begun, and which have finished. Indices must be below
/// [`crate::openai::MAX_CHOICES`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChoiceProgress {
    begun: ChoiceSet,
    finished: ChoiceSet,
}

impl ChoiceProgress {
    /// P6: a delta that says nothing is dropped, but for the first one's role; so is what comes
    /// after a choice has finished.
    pub(super) fn is_droppable(self, choice: &Choice) -> bool {
        if self.finished & bit(choice.index) != 0 {
            return true;
        }
        let introduces = !self.has_begun(choice.index) && matches!(choice.role, Role::Given(..));
        !introduces
            && choice.finish == Finish::Open
            && !choice.carries_something
            && !choice.has_logprobs
    }

    /// Notes that something of a choice has come. Returns whether it is the first of it.
    pub(super) fn begin(&mut self, index: u32) -> bool {
        let first = !self.has_begun(index);
        self.begun |= bit(index);
        first
    }

    pub(super) fn finish(&mut self, index: u32) {
        self.finished |= bit(index);
    }

    fn has_begun(self, index: u32) -> bool {
        self.begun & bit(index) != 0
    }

    /// Whether all `n` choices that were asked for, and every one that was begun, have finished.
    pub(super) fn is_complete(self, n: u32) -> bool {
        self.has_finished_all_begun() && self.finished.count_ones() >= n
    }

    /// Whether at least one choice was begun and all that were have finished.
    pub(super) fn has_finished_all_begun(self) -> bool {
        self.begun != 0 && self.begun == self.finished
    }

    pub(super) fn choices_begun(self) -> u32 {
        self.begun.count_ones()
    }
}

fn bit(index: u32) -> ChoiceSet {
    1 << index
}
