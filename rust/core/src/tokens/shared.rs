//! The learned ratios of all models, in the shared segment: all workers use what one learns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_admission::shm::{Layout, Open, Region};

use super::ratio::LearnedRatio;
use crate::routing::ModelIndex;

/// The bits of the ratio (0: nothing learned yet), and the number of reports behind it.
type Stored = [AtomicU64; 2];

#[derive(Debug, Clone, Copy)]
pub struct RatiosParts(Open<Stored>);

impl RatiosParts {
    pub fn add(layout: &mut Layout, models: usize) -> Self {
        RatiosParts(layout.open(models))
    }
}

#[derive(Debug, Clone)]
pub struct Ratios {
    region: Arc<Region>,
    parts: RatiosParts,
}

impl Ratios {
    pub fn new(region: Arc<Region>, parts: RatiosParts) -> Self {
        Ratios { region, parts }
    }

    pub fn get(&self, model: ModelIndex) -> LearnedRatio {
        let [bits, lessons] = self.stored(model);
        match bits.load(Ordering::Relaxed) {
            0 => LearnedRatio::default(),
            bits => LearnedRatio::restored(f64::from_bits(bits), lessons.load(Ordering::Relaxed)),
        }
    }

    /// If two workers write at the same moment, one report may be lost, which does not matter for an average.
    pub fn set(&self, model: ModelIndex, ratio: LearnedRatio) {
        let [bits, lessons] = self.stored(model);
        lessons.store(ratio.lessons(), Ordering::Relaxed);
        bits.store(ratio.bytes_per_token().to_bits(), Ordering::Relaxed);
    }

    fn stored(&self, model: ModelIndex) -> &Stored {
        &self.region.open(self.parts.0)[usize::from(model)]
    }
}
