//! Taking what peers serve: intervals, alone or in sets.
//!
//! Some records mean something only to one who holds another lane far enough, so an interval has
//! [`needs`](Interval::needs). Two lanes can need each other; so lanes are taken in *sets*, applied
//! as one, just when every need is covered by what is held afterwards. What a replica holds is always
//! such a set. A need of a lane that has forked blocks nobody: that lane may never come, and the
//! alarm names it.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{Received, Replica};
use crate::{Fork, Interval, Mark, ReceiveError, ReplicaId, history::History};

impl Replica {
    /// Takes an interval that a peer served, its counters already called by this replica's
    /// indices. Also accepted: one that overlaps what is held, and one that came from a relay.
    ///
    /// # Errors
    ///
    /// When it leaves a gap, contradicts itself, needs what is not held, or shows that its lane has
    /// forked; above all when it knows more of this replica's own lane than the replica does.
    /// Nothing has changed then.
    pub fn receive(&mut self, interval: Interval) -> Result<Received, ReceiveError> {
        self.receive_set(Vec::from([interval]))
    }

    /// Takes several intervals as one, each as in [`receive`](Self::receive): what one needs may be
    /// in another.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive), for the first interval that cannot be taken. Nothing has
    /// changed then.
    pub fn receive_set(&mut self, mut set: Vec<Interval>) -> Result<Received, ReceiveError> {
        let received = self.try_receive_set(&mut set)?;
        let is_news = received.contains(&Received::Taken);
        Ok(if is_news {
            Received::Taken
        } else {
            Received::Known
        })
    }

    /// As [`receive_set`](Self::receive_set), for who may go on with less of a set that is refused:
    /// it stays as it was then, and is empty otherwise. What became of each interval, in their order.
    ///
    /// # Errors
    ///
    /// As [`receive_set`](Self::receive_set).
    pub fn try_receive_set(
        &mut self,
        set: &mut Vec<Interval>,
    ) -> Result<Vec<Received>, ReceiveError> {
        let mut ahead = BTreeMap::<ReplicaId, History>::new();
        let mut received = Vec::with_capacity(set.len());
        for interval in set.iter() {
            let is_news = self.continues(interval, &mut ahead)?;
            received.push(if is_news {
                Received::Taken
            } else {
                Received::Known
            });
        }
        let is_taken = |(_, received): &(&Interval, &Received)| **received == Received::Taken;
        for (interval, _) in set.iter().zip(&received).filter(is_taken) {
            for &(needed, mark) in &interval.needs {
                let held = ahead.get(&needed).unwrap_or_else(|| self.expected(needed));
                self.covers(interval.lane, needed, mark, held)?;
            }
        }
        self.pending.extend(ahead);
        let news = set.drain(..).zip(&received);
        let news = news.filter(|(_, it)| **it == Received::Taken);
        self.received.extend(news.map(|(interval, _)| interval));
        Ok(received)
    }

    /// Whether an interval tells something new, on top of those of its set before it, with which the
    /// lanes will be `ahead` of what is expected.
    fn continues(
        &mut self,
        interval: &Interval,
        ahead: &mut BTreeMap<ReplicaId, History>,
    ) -> Result<bool, ReceiveError> {
        let lane = interval.lane;
        if let Some(what) = interval.contradiction() {
            return Err(ReceiveError::Malformed { lane, what });
        }
        if lane == self.id {
            self.admits(lane, interval.to)?;
            return Ok(false);
        }
        let expected = ahead.get(&lane).unwrap_or_else(|| self.expected(lane));
        let continues = expected.continues(interval);
        if let Err(ReceiveError::Fork(fork)) = &continues {
            self.forked.insert(fork.lane);
        }
        let is_news = continues?;
        if is_news {
            let history = ahead.entry(lane);
            let expected = || self.expected(lane).clone();
            history.or_insert_with(expected).advance(interval);
        }
        Ok(is_news)
    }

    /// Notes that a lane has forked: what needs it does not wait for it from now on.
    pub fn note_fork(&mut self, lane: ReplicaId) {
        self.forked.insert(lane);
    }

    /// Needs of held lanes that what is held does not cover, as `(lane, needed lane, mark)`. There
    /// are none unless a lane has forked, or a log lost what it had synced.
    pub fn uncovered_needs(&self) -> impl Iterator<Item = (ReplicaId, ReplicaId, Mark)> {
        self.lanes.iter().flat_map(|(&lane, held)| {
            let needs = held.needs().iter();
            let uncovered = needs.filter(|(needed, (_, mark))| {
                self.held(**needed).version < mark.version && !self.forked.contains(needed)
            });
            uncovered.map(move |(&needed, &(_, mark))| (lane, needed, mark))
        })
    }

    /// Whether a need of `lane` is covered once `held` is what is held of the needed one.
    fn covers(
        &self,
        lane: ReplicaId,
        needed: ReplicaId,
        mark: Mark,
        held: &History,
    ) -> Result<(), ReceiveError> {
        if self.forked.contains(&needed) {
            return Ok(());
        }
        if needed == self.id {
            // Nobody can need more of the own lane than there is.
            let admitted: Result<(), Fork> = self.admits(needed, mark);
            return admitted.map_err(ReceiveError::Fork);
        }
        if held.mark().version < mark.version {
            return Err(ReceiveError::Needs {
                lane,
                needed,
                version: mark.version,
                held: held.mark().version,
            });
        }
        Ok(())
    }
}
