//! The value of a counter, computed anew from what lanes say: a second description of
//! [`Replica::value`](crdt_core::Replica::value), and its mutants.

use std::collections::BTreeMap;

use crdt_core::{Mark, RecordContent, RecordKey, Replica, ReplicaId, SessionMark};

use super::Rules;
use super::ids::{HOME, amount, id, session};
use crate::mutation::Mutation;

/// How claims count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// As they should.
    Sound,
    /// Each claim of a request counts by itself.
    EachClaim,
    /// A grant is not looked at.
    BlindToGrants,
}

impl Rule {
    /// The rule that a mutant counts by.
    pub(super) fn broken_by(rules: &Rules) -> Option<Self> {
        if rules.breaks(Mutation::EachClaimCounts) {
            Some(Self::EachClaim)
        } else if rules.breaks(Mutation::BlindToGrants) {
            Some(Self::BlindToGrants)
        } else {
            None
        }
    }
}

/// What the home's lane says of the session.
#[derive(Default)]
pub(super) struct Home {
    mark: Option<SessionMark>,
    is_gone: bool,
}

/// The counter's value by what the replica's lanes say.
pub(super) fn value(replica: &Replica, rule: Rule) -> i128 {
    let (home, mut sums) = (Home::of(replica), 0);
    let mut claims: BTreeMap<u64, Vec<ReplicaId>> = BTreeMap::new();
    for (lane, _) in replica.digest().iter() {
        let whole = replica.interval(lane, Mark::ZERO).expect("from its begin");
        let Some(whole) = whole else { continue };
        sums += whole.sums.iter().map(|it| it.total.value()).sum::<i128>();
        for record in &whole.records.changed {
            if let RecordKey::Claim(request) = record.key
                && request.session == session()
            {
                claims.entry(request.number).or_default().push(lane);
            }
        }
    }
    let claimed = claims.into_iter().map(|(number, by)| {
        let times = home.counts(number, &by, rule);
        i128::from(amount(number)) * times
    });
    sums + claimed.sum::<i128>()
}

/// Whether a replica reads what its lanes say.
pub(super) fn is_of_lanes(replica: &Replica) -> bool {
    crate::crdt::view::value(replica, 0) == value(replica, Rule::Sound)
}

impl Home {
    /// As a replica holds it.
    pub(super) fn of(replica: &Replica) -> Self {
        let whole = replica.interval(id(HOME), Mark::ZERO);
        let whole = whole.expect("from its begin");
        let mut home = Self::default();
        for record in whole.iter().flat_map(|it| &it.records.changed) {
            match &record.content {
                RecordContent::Session(mark) => home.mark = Some(mark.clone()),
                RecordContent::Gone { .. } => home.is_gone = true,
                RecordContent::Knows | RecordContent::Claim(_) | RecordContent::Heard => {}
            }
        }
        home
    }

    /// Whether the session is closed or forgotten.
    pub(super) fn is_closed(&self) -> bool {
        self.is_gone || self.mark.as_ref().is_some_and(|mark| mark.closed)
    }

    /// How often claims of a request by these count.
    fn counts(&self, number: u64, by: &[ReplicaId], rule: Rule) -> i128 {
        let mark = self.mark.as_ref();
        if self.is_gone || mark.is_some_and(|mark| mark.is_taken(number)) {
            return 0;
        }
        let granted = mark.and_then(|mark| mark.grants().get(&number));
        match (rule, granted) {
            (Rule::Sound | Rule::EachClaim, Some(to)) => i128::from(by.contains(to)),
            (Rule::EachClaim, None) => i128::try_from(by.len()).expect("few nodes"),
            (Rule::Sound, None) | (Rule::BlindToGrants, _) => 1,
        }
    }
}
