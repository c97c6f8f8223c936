//! The invariants, asserted in debug builds after each operation, before it unlocks.
//!
//! A few sums are compared after every operation. Everything is recounted so often that it costs [`BUDGET`]
//! rows an operation on average: after every one while there are few rows.

use std::cell::Cell;

use super::invariants::Invariants;
use super::recount::{Disagreement, Recount, RecountSizes};
use crate::state::caps::CapKind;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;

/// Rows, tenants and flows that are recounted for each operation, on average.
const BUDGET: usize = 256;

thread_local! {
    /// Rows that may be recounted and were not yet.
    static BALANCE: Cell<usize> = const { Cell::new(0) };
}

impl Ledger<'_> {
    /// Panics if an invariant is broken.
    pub(crate) fn assert_invariants(&mut self) {
        if let Err(what) = self.compare_sums() {
            panic!("admission: {what}");
        }
        let globals = &self.globals;
        let cost =
            globals.free.high_water() + globals.tenants.high_water() + globals.flows.high_water();
        let balance = BALANCE.get() + BUDGET;
        if balance < cost {
            BALANCE.set(balance);
            return;
        }
        BALANCE.set(0);
        let found = self.invariants(&mut Recount::new(RecountSizes::of(self)));
        let Invariants { broken, .. } = found;
        assert!(broken.is_none(), "admission: {found:?}");
    }

    /// Compares sums that need no row.
    fn compare_sums(&self) -> Result<(), Disagreement> {
        let mut reservations = 0;
        for (at, state) in self.backends.iter().enumerate() {
            let used = self.caps.get(CapKind::Backend, at).used.slots;
            if state.by_priority.iter().sum::<u32>() != used {
                return Err("slots of a backend by priority");
            }
            reservations += u32::from(state.reserved_for != NONE);
        }
        if reservations != self.globals.reservations {
            return Err("the count of reservations");
        }
        for (at, state) in self.tiers.iter().enumerate() {
            let used = self.caps.get(CapKind::Tier, at).used.slots;
            if state.priorities.iter().map(|queue| queue.used).sum::<u32>() != used {
                return Err("slots of a tier by priority");
            }
            if state.priorities.iter().map(|queue| queue.requests).sum::<u32>() != state.requests {
                return Err("requests in a queue");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::api::offer::{Offer, Tenant};
    use crate::fixture::{admission, granted, offer};
    use crate::state::caps::CapKind;
    use crate::state::ledger::Ledger;
    use crate::time::SECOND;

    /// Changes one counter and nothing else.
    type Fault = fn(&mut Ledger<'_>);

    const FAULTS: &[(&str, Fault)] = &[
        ("a slot too many under a cap", |ledger| {
            ledger.caps.get_mut(CapKind::Tenant, 2).used.slots += 1;
        }),
        ("tokens that are not given back", |ledger| {
            ledger.caps.get_mut(CapKind::Backend, 0).used.kv += 1;
        }),
        ("a request counted twice", |ledger| ledger.globals.arrived += 1),
        ("a queue that is shorter than it says", |ledger| ledger.tiers[0].requests += 1),
        ("a tenant without its requests", |ledger| ledger.tenants[2].requests = 0),
        ("a reservation of nobody", |ledger| ledger.globals.reservations += 1),
        ("an orphan too many", |ledger| ledger.globals.orphans += 1),
    ];

    #[test]
    fn each_fault_is_found_by_the_operation_that_makes_it_and_mended_by_the_next() {
        for (name, fault) in FAULTS {
            let admission = admission();
            let offer = Offer { tenant: Tenant::named(9), ..offer() };
            granted(admission.offer(&offer, SECOND));
            let found = catch_unwind(AssertUnwindSafe(|| admission.with(*fault)));
            assert!(found.is_err(), "{name}");
            assert!(admission.invariants().ok, "{name}");
        }
    }

    #[test]
    fn a_permit_without_an_owner_is_found() {
        let admission = admission();
        granted(admission.offer(&offer(), SECOND));
        let found = catch_unwind(AssertUnwindSafe(|| {
            admission.with(|ledger| ledger.rows[0].owner.worker = 1);
        }));
        assert!(found.is_err());
    }
}
