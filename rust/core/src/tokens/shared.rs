//! The learned ratios of all models, in the segment: what one worker learns, all know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ratio::LearnedRatio;
use crate::routing::ModelIndex;
use crate::shm::{Layout, Open, Region, plain};

#[repr(C)]
#[derive(Debug)]
struct Stored {
    /// Bits of the ratio; 0: nothing learned yet.
    bytes_per_token: AtomicU64,
    lessons: AtomicU64,
}

plain!(Stored);

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
        let stored = self.stored(model);
        let bits = stored.bytes_per_token.load(Ordering::Relaxed);
        match bits {
            0 => LearnedRatio::default(),
            bits => {
                LearnedRatio::restored(f64::from_bits(bits), stored.lessons.load(Ordering::Relaxed))
            }
        }
    }

    /// Two workers that learn at the same moment may lose one lesson: there are plenty.
    pub fn set(&self, model: ModelIndex, ratio: LearnedRatio) {
        let stored = self.stored(model);
        stored.lessons.store(ratio.lessons(), Ordering::Relaxed);
        stored.bytes_per_token.store(ratio.bytes_per_token().to_bits(), Ordering::Relaxed);
    }

    fn stored(&self, model: ModelIndex) -> &Stored {
        &self.region.open(self.parts.0)[usize::from(model)]
    }
}
