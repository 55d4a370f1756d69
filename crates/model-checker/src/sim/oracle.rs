//! What must hold, as pure functions with the names of the guarantees.
//!
//! - `conservation` and `convergence`, in one: a replica that holds a lane at some mark shows
//!   exactly what the lane's owner had put into it by then, at all times ([`lane_is_exact`]). So
//!   equal digests show equal values, and nothing is counted twice or by halves. Each value that is
//!   read is what these lanes hold, with each claimed request once. At rest it is also added up from
//!   the single requests.
//! - `idempotence`: at rest each request counts once or not at all, as its client was told, and no
//!   claim is left where the session's home and who claims are there. Where the lane of its home, or of who claimed
//!   it, may have forked, a request may count in both histories.
//! - `no_phantom`: a counter that only grows is never below 0 or above everything invoked.
//! - `durability`, `read_your_writes`, `availability`: at the places where they can break.
//! - `monotonic_reads`: on one directory, and wherever the token of a read is covered, a growing counter
//!   does not go down.
//! - `incarnation_safety`: a fork is reported if there is one, and only then.

use std::fmt;

use crdt_core::{CounterName, Replica, ReplicaId};

use super::ledger::{Ledger, Totals};
use super::queue::SimTime;
use crate::guarantee::Property;

/// A guarantee, or another check, that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What did not hold.
    pub violated: Property,
    /// Where it was seen, if in one place.
    pub node: Option<usize>,
    /// When.
    pub at: SimTime,
    /// What was expected and what was found.
    pub says: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is violated at {}", self.violated, self.at)?;
        if let Some(node) = self.node {
            write!(f, ", node {node}")?;
        }
        write!(f, ": {}", self.says)
    }
}

/// Whether a replica shows of a lane exactly what its owner had at the mark the replica names;
/// else what is wrong. `counters` are those of the shard, by number and name.
pub(super) fn lane_is_exact<'a>(
    replica: &Replica,
    (shard, lane): (usize, ReplicaId),
    ledger: &Ledger,
    counters: impl Iterator<Item = (usize, &'a CounterName)>,
) -> Result<(), String> {
    let held = replica.held(lane);
    let number = ledger.number(lane);
    let Some(expected): Option<&Totals> = ledger.totals(shard, number, held) else {
        return Err(format!(
            "lane {} of shard {shard} is held at {held}, where it never was",
            number.0
        ));
    };
    for (counter, name) in counters {
        let found = replica
            .find(name.as_str())
            .map_or(0, |index| replica.sum_of(lane, index).value());
        if found != expected[counter] {
            return Err(format!(
                "lane {} of shard {shard} is held at {held}, where its owner had counted {} for \
                 {name}, but {found} is found",
                number.0, expected[counter]
            ));
        }
    }
    Ok(())
}

/// Whether a growing counter's value is one that its clients can have caused.
pub(super) fn no_phantom(value: i128, invoked: i128) -> bool {
    (0..=invoked).contains(&value)
}

/// Whether a growing counter that was read before may now be read as this.
pub(super) fn monotonic_reads(before: i128, now: i128) -> bool {
    now >= before
}

#[cfg(test)]
mod tests {
    use crdt_core::{Mark, RequestId, SessionId, StartId, Sum};

    use super::*;
    use crate::sim::ledger::{Committed, OwnClaim};

    #[test]
    fn a_lane_is_exact_only_with_the_sums_of_its_mark() {
        let name: CounterName = "up-0".parse().expect("a valid name");
        let mut ledger = Ledger::new(1);
        let owner = ledger.register(ReplicaId::new(9));
        let mut replica = Replica::new(ReplicaId::new(9), StartId::new(1));
        let index = replica.counter(&name);
        let to = replica.add(index, Sum::of(3)).expect("in range");
        replica.commit().expect("an add was taken");
        replica.synced();
        let exact = |ledger: &Ledger| {
            lane_is_exact(
                &replica,
                (0, replica.id()),
                ledger,
                [(0, &name)].into_iter(),
            )
        };
        exact(&ledger).expect_err("nobody has committed this");
        let session = SessionId {
            home: ReplicaId::new(9),
            start: StartId::new(1),
            count: 0,
        };
        let items = [(0, 3), (0, 1)];
        let request = ledger.ask(RequestId { session, number: 1 }, &items);
        let adds = items.map(|item| ledger.take(request, item, 0, (owner, false)));
        let commit = |ledger: &mut Ledger, adds: &[usize]| {
            let committed = Committed {
                shard: 0,
                of: owner,
                after: Mark::ZERO,
                to,
                adds,
                grants: &[],
                needs: &[],
                has_gaps: false,
            };
            ledger.commit(&committed, |_| OwnClaim::Open, |_| Mark::ZERO);
        };
        commit(&mut ledger, &adds);
        exact(&ledger).expect_err("one add is missing");
        commit(&mut ledger, &adds[..1]);
        exact(&ledger).expect("3 it is");
    }
}
