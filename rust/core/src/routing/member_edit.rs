//! The change to one member of a request.

/// How one top-level member is changed for the backend.
pub(super) enum MemberEdit {
    Keep,
    Drop,
    Replace(Vec<u8>),
}
