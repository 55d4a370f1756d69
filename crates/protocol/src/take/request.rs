//! Requests of sessions over several shards: counted once, however often they come.
//!
//! Each shard keeps its own marks of a session, so a request is looked at in all of its shards
//! before any takes it. Where some have it already (the others were lost with a crash), the others
//! take it too. A refusal by the session's home is for good, and durable before it is told: a late
//! copy of the request must not count after its client has heard that it does not.

mod error;

use alloc::vec::Vec;

use crdt_core::{CounterIndex, Mark, ReplicaId, RequestState, Sum};

use super::{Adds, Named, Part, TAKEN_AT_ONCE_MAX};
use crate::{Place, RequestHead, Round, Shard, ShardIndex, Shards};

pub use error::RequestError;

/// A promise: the request counts, and whoever waits for the round may say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestReceipt {
    /// The round that makes it durable; already complete where all of it was.
    pub round: Round,
    /// Which lane has each shard's part, and at which mark.
    pub marks: Vec<(ShardIndex, ReplicaId, Mark)>,
    /// Whether all of it had been counted before.
    pub was_counted: bool,
}

/// A request that does not count, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRefusal {
    /// Why.
    pub error: RequestError,
    /// The round after which this may be told.
    pub round: Round,
}

/// What a request asks of one shard.
#[derive(Clone, Copy)]
struct ShardPart<'a> {
    shard: ShardIndex,
    placed: &'a [(Place, Sum)],
    named: &'a [Named],
}

/// A part that was open a moment ago, and is not any more.
struct NotTaken;

/// Where one shard's part stands.
struct Look {
    shard: ShardIndex,
    state: RequestState,
    /// With which the state is durable.
    round: Round,
    /// Of an open part: why it cannot be taken.
    obstacle: Option<RequestError>,
}

impl Adds {
    /// Takes the adds as one request of a session, or tells that it counts already. Several adds for
    /// one counter are taken as their sum. A request that touches no shard counts at once.
    ///
    /// # Errors
    ///
    /// When it does not count, or not all of it. The session's home has then refused it for good
    /// where the adds were to blame; otherwise nothing has changed.
    pub fn take_request(
        &mut self,
        shards: &impl Shards,
        head: &RequestHead,
        counters_max: u64,
    ) -> Result<RequestReceipt, RequestRefusal> {
        let home = head.id.session.home;
        let is_home = shards.with(0, |shard| shard.replica().id() == home);
        match (is_home, head.is_moved) {
            (true, true) => return Err(RequestError::MovedToHome.at_once()),
            (false, false) => return Err(RequestError::NotHome { home }.at_once()),
            (true, false) | (false, true) => {}
        }
        self.place_known(shards);
        let merged = self.merge(shards);
        merged.map_err(|error| RequestError::from(error).at_once())?;
        let parts = self.shard_parts();
        if self.placed.len() + self.named.len() > TAKEN_AT_ONCE_MAX {
            return process(&parts, head, counters_max, |at, run| {
                shards.with(parts[at].shard, run);
            });
        }
        let indices: Vec<ShardIndex> = parts.iter().map(|part| part.shard).collect();
        shards.with_several(&indices, |held| {
            process(&parts, head, counters_max, |at, run| run(held[at]))
        })
    }

    /// The adds by shard, ascending.
    fn shard_parts(&self) -> Vec<ShardPart<'_>> {
        let placed = self.placed.iter().map(|(place, _)| place.shard);
        let mut indices: Vec<ShardIndex> = placed
            .chain(self.named.iter().map(|add| add.shard))
            .collect();
        indices.sort_unstable();
        indices.dedup();
        let part = |shard| {
            let placed = range(&self.placed, |(place, _)| place.shard, shard);
            let named = range(&self.named, |add| add.shard, shard);
            ShardPart {
                shard,
                placed,
                named,
            }
        };
        indices.into_iter().map(part).collect()
    }
}

/// What belongs to a shard, of a list in the order of shards.
fn range<T>(all: &[T], of: impl Fn(&T) -> ShardIndex, shard: ShardIndex) -> &[T] {
    let first = all.partition_point(|it| of(it) < shard);
    let behind = all.partition_point(|it| of(it) <= shard);
    &all[first..behind]
}

/// Looks at all parts, decides, and takes or refuses. `with` runs something on a part's shard: on
/// one that is held all the time, or on each in its turn; then others may change them meanwhile.
fn process(
    parts: &[ShardPart<'_>],
    head: &RequestHead,
    counters_max: u64,
    mut with: impl FnMut(usize, &mut dyn FnMut(&mut Shard)),
) -> Result<RequestReceipt, RequestRefusal> {
    let mut looks = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        with(at, &mut |shard| {
            looks.push(part.look(shard, head, counters_max));
            shard.reserved_counters += part.named.len() as u64;
        });
    }
    let verdict = decide(&looks, head);
    let mut round = Round::NONE;
    let mut receipt = RequestReceipt {
        was_counted: !looks.is_empty(),
        ..RequestReceipt::default()
    };
    let mut is_whole = true;
    for (at, part) in parts.iter().enumerate() {
        with(at, &mut |shard| {
            shard.reserved_counters -= part.named.len() as u64;
            match &verdict {
                Ok(()) => is_whole &= part.take(shard, head, &mut receipt).is_ok(),
                Err(error) => round = round.max(refuse(shard, head, error)),
            }
        });
    }
    match (verdict, is_whole) {
        (Ok(()), true) => Ok(receipt),
        // Another copy of the request was refused meanwhile, or its session closed.
        (Ok(()), false) => Err(RequestRefusal {
            error: RequestError::InPart {
                counted: receipt.marks.iter().map(|&(shard, ..)| shard).collect(),
                because: None,
            },
            round: receipt.round,
        }),
        (Err(error), _) => Err(RequestRefusal {
            round: looks.iter().map(|look| look.round).fold(round, Round::max),
            error,
        }),
    }
}

/// Whether a request is taken by all shards that do not have it yet.
fn decide(looks: &[Look], head: &RequestHead) -> Result<(), RequestError> {
    let session = head.id.session;
    let is_any = |is: fn(&RequestState) -> bool| looks.iter().any(|look| is(&look.state));
    if is_any(|state| matches!(state, RequestState::Closed)) {
        return Err(RequestError::Closed { session });
    }
    if is_any(|state| matches!(state, RequestState::UnknownToHome)) {
        let home = session.home;
        return Err(RequestError::UnknownToHome { home });
    }
    let obstacles = || looks.iter().filter_map(|look| look.obstacle.clone());
    if let Some(other_adds) = obstacles().find(|it| *it == RequestError::OtherAdds) {
        return Err(other_adds);
    }
    let is_refused = is_any(|state| matches!(state, RequestState::Refused(_)));
    let obstacle = obstacles().next();
    if !is_refused && obstacle.is_none() {
        return Ok(());
    }
    let counted = looks
        .iter()
        .filter(|look| matches!(look.state, RequestState::Counted { .. }));
    let counted: Vec<ShardIndex> = counted.map(|look| look.shard).collect();
    match obstacle {
        // Another node may take the rest.
        Some(RequestError::ClaimsExhausted) => Err(RequestError::ClaimsExhausted),
        Some(RequestError::Take(error)) if !counted.is_empty() => Err(RequestError::InPart {
            counted,
            because: Some(error),
        }),
        Some(error) if !is_refused => Err(error),
        _ if counted.is_empty() => Err(RequestError::Refused),
        _ => Err(RequestError::InPart {
            counted,
            because: None,
        }),
    }
}

impl ShardPart<'_> {
    fn adds(&self) -> usize {
        self.placed.len() + self.named.len()
    }

    fn look(&self, shard: &Shard, head: &RequestHead, counters_max: u64) -> Look {
        let replica = shard.replica();
        let state = replica.request(head.id);
        let is_home = head.id.session.home == replica.id();
        let obstacle = match state {
            RequestState::Open if !is_home && !replica.has_room_for_claim(self.adds()) => {
                Some(RequestError::ClaimsExhausted)
            }
            RequestState::Open => {
                let part = Part {
                    shard: self.shard,
                    placed: self.placed,
                    named: self.named,
                };
                part.check(shard, counters_max)
                    .err()
                    .map(RequestError::from)
            }
            RequestState::Counted { .. } => {
                let claimed = replica.claimed_adds(head.id);
                let is_other = claimed.is_some_and(|claimed| !self.is_made_of(claimed));
                is_other.then_some(RequestError::OtherAdds)
            }
            RequestState::Refused(_) | RequestState::Closed | RequestState::UnknownToHome => None,
        };
        let round = match state {
            RequestState::Counted { lane, mark } if lane == replica.id() => {
                shard.durable_round(mark)
            }
            RequestState::Refused(mark) => shard.durable_round(mark),
            RequestState::Open
            | RequestState::Counted { .. }
            | RequestState::Closed
            | RequestState::UnknownToHome => Round::NONE,
        };
        Look {
            shard: self.shard,
            state,
            round,
            obstacle,
        }
    }

    /// Whether a claim has just these adds.
    fn is_made_of(&self, claimed: &[(CounterIndex, Sum)]) -> bool {
        let mut claimed = claimed.to_vec();
        claimed.sort_unstable_by_key(|&(counter, _)| counter);
        let placed = self.placed.iter();
        let placed = placed.map(|&(place, sum)| (place.counter, sum));
        // What was claimed has its place.
        self.named.is_empty() && placed.eq(claimed)
    }

    /// Takes an open part. One that counts already is noted as well; any other is told.
    fn take(
        &self,
        shard: &mut Shard,
        head: &RequestHead,
        receipt: &mut RequestReceipt,
    ) -> Result<(), NotTaken> {
        let own = shard.replica().id();
        match shard.replica().request(head.id) {
            RequestState::Counted { lane, mark } => {
                if lane == own {
                    receipt.round = receipt.round.max(shard.durable_round(mark));
                }
                receipt.marks.push((self.shard, lane, mark));
            }
            RequestState::Open => {
                let placed = self.placed.iter();
                let mut adds: Vec<(CounterIndex, Sum)> =
                    placed.map(|&(place, sum)| (place.counter, sum)).collect();
                for add in self.named {
                    adds.push((shard.replica_mut().counter(&add.name), add.sum));
                }
                let mark = shard.take_request(head.id, head.answered_below, &adds);
                receipt.round = receipt.round.max(shard.next_round());
                receipt.marks.push((self.shard, own, mark));
                receipt.was_counted = false;
            }
            RequestState::Refused(_) | RequestState::Closed | RequestState::UnknownToHome => {
                return Err(NotTaken);
            }
        }
        Ok(())
    }
}

/// Makes a refusal final in one shard where the home decides it; the round that makes it so.
fn refuse(shard: &mut Shard, head: &RequestHead, error: &RequestError) -> Round {
    let is_home = head.id.session.home == shard.replica().id();
    let is_final = matches!(
        error,
        RequestError::Take(_) | RequestError::InPart { .. } | RequestError::Refused
    );
    if is_home && is_final && shard.replica().request(head.id) == RequestState::Open {
        shard.refuse_request(head.id, head.answered_below)
    } else {
        Round::NONE
    }
}

#[cfg(test)]
mod tests;
