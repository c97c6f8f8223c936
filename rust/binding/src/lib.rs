//! `penstock._core`: the Python face of `penstock_core`, and nothing else.

mod acts;
mod admission;
mod bytes;
mod calls;
mod client;
mod clock;
mod ending;
mod engine;
mod events;
mod faults;
mod flow;
mod gateway;
mod ids;
mod inlet;
mod lane;
mod lifetime;
mod offering;
mod outage;
mod outlet;
mod poller;
mod pool;
mod release;
mod retry;
mod segment;
mod serves;
mod slots;
mod snapshot;
mod socket;
mod standing;
mod transport;
mod upstream;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::admission::Admission;
    #[pymodule_export]
    use crate::client::Call;
    #[cfg(feature = "faults")]
    #[pymodule_export]
    use crate::faults::arm_panic;
    #[pymodule_export]
    use crate::gateway::{Gateway, endpoints};
    #[pymodule_export]
    use crate::lane::LaneConnection;
    #[pymodule_export]
    use crate::lane::terms::LaneTerms;
    #[pymodule_export]
    use crate::poller::Poller;
    #[pymodule_export]
    use crate::segment::Segment;
    #[pymodule_export]
    use crate::upstream::UpstreamConnection;
}
