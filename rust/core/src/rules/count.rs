//! How often the rules had something to put right: a quirk that appears, or goes, shows in these.

/// The response rules that are counted. P1 is not: it changes everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A role cut or added, an empty delta dropped, text split off the finish chunk.
    P6,
    /// Token counts moved or cut.
    P7,
    /// `[DONE]` added.
    P12,
    /// A truncated answer told.
    P13,
    /// An early failure given a status, or a whole answer turned into a stream.
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

    /// Each rule that had something to do.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, u32)> + '_ {
        Rule::ALL.into_iter().zip(self.0).filter(|&(_, count)| count > 0)
    }
}
