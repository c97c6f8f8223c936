//! Estimates tokens as bytes divided by a ratio that is learned from reported counts.

use super::counter::{PromptSize, TokenCounter};

/// Bytes per token before anything was learned: English prose in common vocabularies.
const FIRST_GUESS: f64 = 4.0;
/// Weight of one new report in the moving average: it follows a change within about fifty requests.
const WEIGHT: f64 = 0.02;
/// Ratios outside are ignored: the backend truncated the prompt or did not count cached tokens.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.5..=16.0;
/// Shorter prompts are ignored: they consist mostly of the chat template, whose tokens have no bytes here.
const SHORTEST_LESSON: u64 = 16;

/// An exponentially weighted mean of bytes per token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedRatio {
    bytes_per_token: f64,
    lessons: u64,
}

impl Default for LearnedRatio {
    fn default() -> Self {
        LearnedRatio { bytes_per_token: FIRST_GUESS, lessons: 0 }
    }
}

impl LearnedRatio {
    pub fn bytes_per_token(&self) -> f64 {
        self.bytes_per_token
    }

    pub(super) fn lessons(&self) -> u64 {
        self.lessons
    }

    pub(super) fn restored(bytes_per_token: f64, lessons: u64) -> Self {
        LearnedRatio { bytes_per_token, lessons }
    }
}

impl TokenCounter for LearnedRatio {
    fn count(&self, prompt: PromptSize) -> u64 {
        let text = (prompt.bytes as f64 / self.bytes_per_token).ceil() as u64;
        text.min(prompt.text_bound()).saturating_add(prompt.known).max(1)
    }

    fn learn(&mut self, prompt: PromptSize, prompt_tokens: u64) {
        // The reported count does not separate media from text, and prompts sent as tokens have no bytes.
        if prompt_tokens < SHORTEST_LESSON || prompt.known > 0 {
            return;
        }
        let seen = prompt.bytes as f64 / prompt_tokens as f64;
        if !PLAUSIBLE.contains(&seen) {
            return;
        }
        self.lessons += 1;
        // The first reports form a plain mean, so that a new model's ratio is found quickly.
        let weight = WEIGHT.max(1.0 / self.lessons as f64);
        self.bytes_per_token += weight * (seen - self.bytes_per_token);
    }
}

#[cfg(test)]
mod tests {
    use super::{LearnedRatio, PromptSize, TokenCounter};

    fn text(bytes: usize) -> PromptSize {
        PromptSize { bytes, known: 0 }
    }

    #[test]
    fn starts_at_four_bytes_a_token_and_never_leaves_the_bound() {
        let ratio = LearnedRatio::default();
        assert_eq!(ratio.count(text(400)), 100);
        assert_eq!(ratio.count(text(0)), 1);
        assert_eq!(ratio.count(text(1)), 1);
        assert_eq!(ratio.count(PromptSize { bytes: 0, known: 7 }), 7, "sent as tokens");
    }

    #[test]
    fn follows_reports_and_forgets_old_ones() {
        let mut ratio = LearnedRatio::default();
        ratio.learn(text(300), 200);
        assert!((ratio.bytes_per_token() - 1.5).abs() < 1e-9, "the first report is believed whole");
        for _ in 0..400 {
            ratio.learn(text(600), 200);
        }
        assert!((ratio.bytes_per_token() - 3.0).abs() < 0.01);
    }

    #[test]
    fn ignores_reports_that_cannot_be_a_ratio() {
        let mut ratio = LearnedRatio::default();
        ratio.learn(text(100_000), 1_026); // a silently cut prompt
        ratio.learn(text(40), 12); // mostly template
        ratio.learn(text(0), 50);
        assert!((ratio.bytes_per_token() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn media_are_reckoned_at_their_price_and_teach_nothing() {
        let mut ratio = LearnedRatio::default();
        assert_eq!(ratio.count(PromptSize { bytes: 400, known: 2048 }), 100 + 2048);
        ratio.learn(PromptSize { bytes: 400, known: 1024 }, 700);
        assert!((ratio.bytes_per_token() - 4.0).abs() < 1e-9);
    }
}
