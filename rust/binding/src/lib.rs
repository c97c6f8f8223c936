//! `penstock._core`: the Python face of `penstock_core`, and nothing else.

mod admission;
mod attributes;
mod bytes;
mod client;
mod clock;
mod deferred;
mod driver;
mod events;
#[cfg(feature = "faults")]
mod faults;
mod gateway;
mod handle;
mod lane;
mod poller;
mod read_half;
mod segment;
mod snapshot;
mod socket;
mod transport;
mod upstream;
mod write_half;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::admission::Admission;
    #[pymodule_export]
    use crate::attributes::RequestAttributes;
    #[cfg(feature = "faults")]
    #[pymodule_export]
    use crate::faults::arm_panic;
    #[pymodule_export]
    use crate::gateway::{Gateway, endpoints};
    #[pymodule_export]
    use crate::handle::RequestHandle;
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
