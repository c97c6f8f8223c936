//! Counts how often each rule changed something; shows when a server's quirks appear or disappear.

/// The response rules that are counted. P1 is not, because it changes every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A role removed or added, an empty delta dropped, text and finish reason separated.
    P6,
    /// Token counts moved or removed.
    P7,
    /// `[DONE]` added.
    P12,
    /// A truncated answer reported as an error.
    P13,
    /// An early failure sent as a status, or a whole answer converted to a stream.
    P14,
}

impl Rule {
    pub const ALL: [Rule; 5] = [Rule::P6, Rule::P7, Rule::P12, Rule::P13, Rule::P14];

    pub fn name(self) -> &'static str {
        match self {
            Rule::P6 => "P6",
            Rule::P7 => "P7",
            Rule::P12 => "P12",
            Rule::P13 => "P13",
            Rule::P14 => "P14",
        }
    }
}

/// Counts by rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCounts([u32; Rule::ALL.len()]);

impl RuleCounts {
    pub fn hit(&mut self, rule: Rule) {
        self.0[rule as usize] += 1;
    }

    pub fn add(&mut self, other: RuleCounts) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The rules with a count above 0.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, u32)> + '_ {
        Rule::ALL.into_iter().zip(self.0).filter(|&(_, count)| count > 0)
    }
}
