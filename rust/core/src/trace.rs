//! State transitions as events of the `tracing` crate, for whoever debugs. Without the feature `trace` nothing is left
//! of them, not even their arguments.

/// Something has gone from one state to another. Behind `=>`: which one, in fields that are shown by `Display`.
macro_rules! transition {
    ($old:expr => $new:expr, $($field:ident = $value:expr),+) => {
        #[cfg(feature = "trace")]
        tracing::trace!($($field = %$value,)+ old = $old, new = $new);
    };
}

/// A step of a request's exchange, which may change its phase.
macro_rules! step {
    ($id:expr, $request:ident, $step:expr) => {{
        #[cfg(feature = "trace")]
        let old = $request.exchange.phase();
        let result = $step;
        #[cfg(feature = "trace")]
        if old != $request.exchange.phase() {
            $crate::trace::transition!(old => $request.exchange.phase(), request = $id);
        }
        result
    }};
}

pub(crate) use {step, transition};
