//! All caps of the segment, in one array, and which of them a request counts under.
//!
//! A request counts under at most one cap of each [`CapKind`]. It is granted only if it fits under all of
//! them at once, and is then charged to all of them. **A new kind of cap is one line of the table below**,
//! and a key of the configuration that fills the vector of its limits. The line has four columns:
//!
//! 1. the name of the kind
//! 2. its [`Scope`]: what the queue does about a request that waits for it
//! 3. the limits at the start, one for each cap of the kind, from [`Sizes`]
//! 4. the index of the cap that a request counts under, from its row and the backend that it is placed on
//!    (`None` while it waits)
//!
//! Tenants come last: most of their caps are unused, and the invariants check only those before.
//!
//! A cap for each model, if tiers named their model, would be
//!
//! ```text
//! Model, Service, |sizes| sizes.models.clone(), |row, _| Some(row.model.into());
//! ```
//!
//! Everything else follows: `fits`, `charge`, `refund`, reservations, the rebuild after a crash and the
//! invariants run over all kinds. The tests of this file add a kind by such a line.

use super::part::Part;
use super::row::Row;
use super::sizes::{Sizes, TENANTS};
use crate::limits::caps::{Cap, Resources, UNLIMITED};

/// What a cap limits, and so what the queue does about a request that waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One backend. What it may use now depends on more than its cap: see `Backend::effective`.
    Backend,
    /// Several backends, of all tenants; which cap it is depends on the backend. A reservation of a backend
    /// covers it too.
    Machine,
    /// Several backends, of all tenants; which cap it is depends on the request alone, so that it is
    /// checked once and not for each candidate. A reservation covers it too.
    Service,
    /// One tenant. Its flow is parked until one of its requests ends, so that it delays no other tenant.
    Tenant,
}

/// Where a request is placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct On {
    pub(crate) backend: usize,
    pub(crate) node: Option<usize>,
}

type Limits = Vec<Option<u32>>;

macro_rules! cap_kinds {
    ($($(#[$attribute:meta])* $kind:ident, $scope:ident, $limits:expr, $index:expr;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum CapKind { $($(#[$attribute])* $kind),+ }

        impl CapKind {
            pub(crate) const COUNT: usize = [$($(#[$attribute])* CapKind::$kind),+].len();

            /// The limits of all caps at the start, by kind.
            fn limits(sizes: &Sizes) -> [Limits; Self::COUNT] {
                [$($(#[$attribute])* { let limits: fn(&Sizes) -> Limits = $limits; limits(sizes) }),+]
            }

            /// The caps that a request counts under; `first`: where each kind begins in the array.
            #[inline]
            fn path(first: &[u32; Self::COUNT], row: &Row, on: Option<On>) -> CapPath {
                CapPath([$($(#[$attribute])* {
                    let index: fn(&Row, Option<On>) -> Option<usize> = $index;
                    match index(row, on) {
                        Some(index) => first[CapKind::$kind as usize] + index as u32,
                        None => NO_CAP,
                    }
                }),+])
            }
        }

        impl CapPath {
            /// Calls `visit` for each cap of a scope. Inlined, as it is done for each candidate of each request.
            #[inline(always)]
            pub(crate) fn each_of(&self, scope: Scope, mut visit: impl FnMut(usize)) {
                $($(#[$attribute])* if scope == Scope::$scope {
                    visit(self.0[CapKind::$kind as usize] as usize);
                })+
            }
        }
    };
}

cap_kinds! {
    Backend, Backend, |sizes| sizes.backends.iter().map(|b| Some(b.slots)).collect(), |_, on| Some(on?.backend);
    Node, Machine, |sizes| sizes.nodes.clone(), |_, on| on?.node;
    Tier, Service, |sizes| sizes.tiers.iter().map(|t| t.concurrency).collect(), |row, _| Some(row.tier.into());
    #[cfg(test)]
    Whole, Service, |_| vec![Some(tests::WHOLE)], |row, _| (row.streams == 0).then_some(0);
    Tenant, Tenant, |_| vec![None; TENANTS], |row, _| Some(row.tenant as usize);
}

/// Where the caps of each kind begin in the array. The first cap of the array has no limit: it stands for
/// the kinds that a request does not count under, so that all paths have the same length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CapLayout {
    first: [u32; CapKind::COUNT],
    pub(crate) count: usize,
}

const NO_CAP: u32 = 0;

impl CapLayout {
    pub(crate) fn new(sizes: &Sizes) -> Self {
        let mut count = 1;
        let first = CapKind::limits(sizes).map(|limits| {
            let first = count;
            count += limits.len();
            first as u32
        });
        CapLayout { first, count }
    }
}

/// The caps that one request counts under: an index into the array for each kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CapPath([u32; CapKind::COUNT]);

impl CapPath {
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().map(|cap| cap as usize)
    }

    pub(crate) fn without(mut self, kind: CapKind) -> Self {
        self.0[kind as usize] = NO_CAP;
        self
    }
}

/// The array of all caps.
pub(crate) struct Caps<'a> {
    pub(crate) all: Part<'a, [Cap]>,
    layout: CapLayout,
}

impl<'a> Caps<'a> {
    pub(crate) fn new(all: &'a mut [Cap], layout: CapLayout) -> Self {
        Caps { all: Part(all), layout }
    }

    /// Writes the limits at the start.
    pub(crate) fn begin(&mut self, sizes: &Sizes) {
        let limits = CapKind::limits(sizes).into_iter().flatten();
        for (cap, limit) in self.all.iter_mut().zip([None].into_iter().chain(limits)) {
            *cap = Cap::new(limit);
        }
    }

    fn at(&self, kind: CapKind, index: usize) -> usize {
        self.layout.first[kind as usize] as usize + index
    }

    #[inline]
    pub(crate) fn get(&self, kind: CapKind, index: usize) -> &Cap {
        &self.all[self.at(kind, index)]
    }

    pub(crate) fn get_mut(&mut self, kind: CapKind, index: usize) -> &mut Cap {
        let at = self.at(kind, index);
        &mut self.all[at]
    }

    /// The caps that may be in use when this many tenants are known.
    pub(crate) fn of_tenants(&self, tenants: usize) -> &[Cap] {
        &self.all[..self.at(CapKind::Tenant, tenants)]
    }

    /// Whether no cap of a path is exceeded.
    pub(crate) fn are_kept(&self, path: &CapPath) -> bool {
        path.iter().all(|cap| self.all[cap].has_room(0))
    }

    /// The caps that a request counts under on a backend; while it waits, those that do not depend on one.
    #[inline]
    pub(crate) fn path(&self, row: &Row, on: Option<On>) -> CapPath {
        CapKind::path(&self.layout.first, row, on)
    }

    /// Whether this many more slots fit under all caps of a scope.
    #[inline]
    pub(crate) fn fits(&self, path: &CapPath, scope: Scope, slots: u32) -> bool {
        let mut fits = true;
        path.each_of(scope, |cap| fits &= self.all[cap].has_room(slots));
        fits
    }

    /// As [`Self::fits`], but keeps `kept` slots of each cap with reservations.
    #[inline]
    pub(crate) fn fits_beside_reservations(
        &self,
        path: &CapPath,
        scope: Scope,
        slots: u32,
        kept: impl Fn(usize) -> u32,
    ) -> bool {
        let mut fits = true;
        path.each_of(scope, |at| {
            let cap = &self.all[at];
            let kept = if cap.reserved == 0 { 0 } else { kept(at) };
            fits &= cap.has_room(slots + kept);
        });
        fits
    }

    pub(crate) fn is_under(path: &CapPath, cap: usize) -> bool {
        path.iter().any(|one| one == cap)
    }

    /// The least limit of a path, in slots.
    #[inline]
    pub(crate) fn bound(&self, path: &CapPath) -> u32 {
        path.iter().map(|cap| self.all[cap].bound()).fold(UNLIMITED, u32::min)
    }

    #[inline]
    pub(crate) fn charge(&mut self, path: &CapPath, resources: Resources) {
        for cap in path.iter() {
            self.all[cap].used = self.all[cap].used.plus(resources);
        }
    }

    #[inline]
    pub(crate) fn refund(&mut self, path: &CapPath, resources: Resources) {
        for cap in path.iter() {
            self.all[cap].used = self.all[cap].used.minus(resources);
        }
    }

    /// Calls `change` with each cap that a reservation covers.
    pub(crate) fn each_reserved(path: &CapPath, mut change: impl FnMut(usize)) {
        path.each_of(Scope::Machine, &mut change);
        path.each_of(Scope::Service, &mut change);
    }

    pub(crate) fn reserve(&mut self, path: &CapPath, slots: u32) {
        Self::each_reserved(path, |cap| self.all[cap].reserved += slots);
    }

    pub(crate) fn unreserve(&mut self, path: &CapPath, slots: u32) {
        Self::each_reserved(path, |cap| self.all[cap].reserved -= slots);
    }

    /// Nothing is used or reserved.
    pub(crate) fn clear(&mut self) {
        for cap in &mut *self.all {
            (cap.used, cap.reserved) = (Resources::default(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CapKind;
    use crate::api::decision::{Decision, Notification};
    use crate::api::offer::Offer;
    use crate::api::report::PermitOutcome;
    use crate::fixture::{admission, granted, offer};
    use crate::time::SECOND;

    /// Slots of requests whose answers are not streamed.
    pub(super) const WHOLE: u32 = 2;

    #[test]
    fn one_line_adds_a_kind_of_cap() {
        assert_eq!(CapKind::Whole as usize + 2, CapKind::COUNT);
        let admission = admission();
        let whole = Offer { streams: false, ..offer() };
        let first = granted(admission.offer(&whole, SECOND));
        granted(admission.offer(&whole, SECOND));
        let Decision::Queued(third) = admission.offer(&whole, SECOND) else {
            panic!("two are the limit")
        };
        let wide = Offer { slots: 3, ..whole };
        assert!(matches!(admission.offer(&wide, SECOND), Decision::Refused(_)), "ever");
        let Decision::Queued(stream) = admission.offer(&offer(), SECOND) else {
            panic!("behind another in its queue")
        };
        let mut notifications = Vec::new();
        admission.take_grants(0, &mut notifications);
        let ticket_of = |notification: &Notification| match notification {
            Notification::Granted(grant) => grant.ticket,
            Notification::Refused(..) => panic!("{notification:?}"),
        };
        assert_eq!(notifications.iter().map(ticket_of).collect::<Vec<_>>(), [stream]);
        admission.rebuild();
        assert!(admission.invariants().ok);
        admission.release(first.ticket, PermitOutcome::Success, SECOND);
        notifications.clear();
        admission.take_grants(0, &mut notifications);
        assert_eq!(notifications.iter().map(ticket_of).collect::<Vec<_>>(), [third]);
        assert!(admission.invariants().ok);
    }
}
