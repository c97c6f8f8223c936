//! Which choices of a streamed answer have begun and finished; decides whether the answer is complete.

use super::MAX_CHOICES;
use super::event::Completeness;

/// Bit sets of choices by index. A choice has begun once part of it was passed on.
#[derive(Debug, Clone, Default)]
pub(super) struct ChoiceProgress {
    /// The first 128 choices; nearly always all.
    first: Sets,
    /// Each further 128 choices, for requests with many prompts.
    more: Vec<Sets>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sets {
    begun: u128,
    finished: u128,
}

const SET: u32 = u128::BITS;

impl ChoiceProgress {
    /// For `n` choices. Memory is bounded, because [`Self::accepts`] refuses higher indices.
    pub(super) fn of(n: u32) -> Self {
        let more = n.div_ceil(SET).saturating_sub(1) as usize;
        ChoiceProgress { first: Sets::default(), more: vec![Sets::default(); more] }
    }

    /// Whether an answer may have a choice of this index.
    pub(super) fn accepts(&self, index: u32) -> bool {
        u64::from(index) < MAX_CHOICES || (index / SET) as usize <= self.more.len()
    }

    fn sets(&self, index: u32) -> Sets {
        if index < SET { self.first } else { self.more[(index / SET) as usize - 1] }
    }

    fn sets_mut(&mut self, index: u32) -> &mut Sets {
        if index < SET { &mut self.first } else { &mut self.more[(index / SET) as usize - 1] }
    }

    /// Marks a choice as begun. Returns whether it was not before.
    pub(super) fn begin(&mut self, index: u32) -> bool {
        let sets = self.sets_mut(index);
        let first = sets.begun & bit(index) == 0;
        sets.begun |= bit(index);
        first
    }

    pub(super) fn finish(&mut self, index: u32) {
        self.sets_mut(index).finished |= bit(index);
    }

    pub(super) fn has_begun(&self, index: u32) -> bool {
        self.sets(index).begun & bit(index) != 0
    }

    pub(super) fn has_finished(&self, index: u32) -> bool {
        self.sets(index).finished & bit(index) != 0
    }

    /// `n`: number of choices that were asked for.
    pub(super) fn completeness(&self, n: u32) -> Completeness {
        let all = || std::iter::once(&self.first).chain(&self.more);
        let begun: u32 = all().map(|sets| sets.begun.count_ones()).sum();
        if begun == 0 || all().any(|sets| sets.begun != sets.finished) {
            Completeness::Open
        } else if begun < n {
            Completeness::Fewer(begun)
        } else {
            Completeness::Complete
        }
    }
}

fn bit(index: u32) -> u128 {
    1 << (index % SET)
}

#[cfg(test)]
mod tests {
    use super::{ChoiceProgress, Completeness};

    #[test]
    fn choices_beyond_the_first_set_count_like_those_in_it() {
        let mut progress = ChoiceProgress::of(300);
        assert!(progress.accepts(299) && progress.accepts(383) && !progress.accepts(384));
        for index in (0..300).rev() {
            assert!(!progress.has_begun(index));
            assert!(progress.begin(index) && !progress.begin(index));
            assert_eq!(progress.completeness(300), Completeness::Open);
            progress.finish(index);
            assert!(progress.has_finished(index));
            let begun = 300 - index;
            let all = if index == 0 { Completeness::Complete } else { Completeness::Fewer(begun) };
            assert_eq!(progress.completeness(300), all);
        }
    }

    #[test]
    fn any_answer_may_have_128_choices_and_no_more_than_that_unasked() {
        for n in [0, 1, 128] {
            let progress = ChoiceProgress::of(n);
            assert!(progress.accepts(127) && !progress.accepts(128) && !progress.accepts(u32::MAX));
            assert_eq!(progress.completeness(n), Completeness::Open);
        }
    }
}
