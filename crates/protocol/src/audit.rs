//! The audit: whether the nodes of a cluster hold the same, while all of them move on.
//!
//! **What can be compared.** A lane at a mark is the same everywhere: that is the one idea of this
//! system, and what the audit checks. So two nodes are compared lane by lane, at a mark that both
//! have had, and by fingerprints ([`crdt_core::Fingerprint`]): one number a lane. Whoever holds a
//! copy tells where it stands now; the lane's owner, who has had every mark, remembers the last
//! fingerprints of its own lane, and answers for that mark. So a lane is compared however busy it
//! is. Where the owner is not there, two copies at the same mark are compared; the lane rests
//! then, so the copies get to its end.
//!
//! **What explains a difference.** The records of the lane, as both have them ([`RecordComparison`]).
//! Here no common mark is needed, record by record: a record that changed last at a version that
//! both have passed must be the same. There is no tree of hashes between a lane and its records: a
//! lane is cut by shards already, a difference is an emergency and not the usual, and what a tree
//! saves is the sending of records, not their reading. It would have to be kept by the nodes, or
//! be made by reading what is sent here.
//!
//! This leaves out how nodes are asked, and how their lanes are read ([`Audited`] does that, on the
//! node). It runs where the auditor is.

mod pace;
mod records;

use alloc::vec::Vec;

use crdt_core::{Fingerprint, LanePrint, Mark, ReplicaId};

pub use pace::{Audited, AuditedEffect, AuditedError, AuditedLimits, check_shard};
pub use records::{
    RecordComparison, RecordDifference, RecordEffect, RecordPage, RecordState, RecordSummary, Side,
};

/// What the owner of a lane is asked: what did it hold at this mark?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastQuestion {
    /// The node to ask, by its place in the auditor's list.
    pub node: usize,
    /// Its lane.
    pub lane: ReplicaId,
    /// The mark that another node holds.
    pub mark: Mark,
}

/// What the owner says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastAnswer {
    /// It held this.
    Known(Fingerprint),
    /// It was too long ago, or before the audit began there.
    Unknown,
    /// The mark is not on the lane's history.
    Forked,
}

/// What became of the comparison of one lane on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both hold the same.
    Equal,
    /// They hold different things at the same mark.
    Differs,
    /// They hold different histories of the lane.
    Forked,
    /// The node holds nothing of the lane yet.
    NotHeld,
    /// The owner does not know any more, or not yet, what it held at that mark.
    NotKept,
    /// The owner is not there, and no other node holds the lane to the same mark.
    NoCommonMark,
}

impl Verdict {
    /// Whether the lane was compared.
    #[must_use]
    pub fn is_compared(self) -> bool {
        matches!(self, Self::Equal | Self::Differs | Self::Forked)
    }

    /// Whether it was found to be another lane.
    #[must_use]
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Differs | Self::Forked)
    }
}

/// One lane of a shard, on one node, beside another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The lane.
    pub lane: ReplicaId,
    /// The node, by its place in the auditor's list.
    pub node: usize,
    /// The other one: the owner where it answers; nobody where nobody could be compared with.
    pub with: Option<usize>,
    /// The mark at which they were compared, or at which the node stands.
    pub mark: Mark,
    /// What came of it.
    pub verdict: Verdict,
}

/// What one node holds of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHolds {
    /// The node, by its place in the auditor's list.
    pub node: usize,
    /// Its incarnation.
    pub replica: ReplicaId,
    /// The lanes that it holds.
    pub lanes: Vec<LanePrint>,
}

/// The comparison of one shard: of the nodes that have answered.
///
/// ```
/// use crdt_core::{Fingerprint, LanePrint, Mark, ReplicaId, StartId, Version};
/// use protocol::{NodeHolds, PastAnswer, ShardAudit, Verdict};
///
/// let lane = ReplicaId::new(1);
/// let holds = |node, replica, version, fingerprint| NodeHolds {
///     node,
///     replica: ReplicaId::new(replica),
///     lanes: vec![LanePrint {
///         lane,
///         mark: Mark { version: Version::new(version), start: StartId::new(7) },
///         fingerprint: Fingerprint::new(fingerprint),
///     }],
/// };
/// // The second node is a version behind the owner.
/// let mut audit = ShardAudit::new(&[holds(0, 1, 5, 0xabc), holds(1, 2, 4, 0xdef)]);
/// let question = audit.questions()[0];
/// assert_eq!((question.node, question.mark.version), (0, Version::new(4)));
/// audit.answer(&question, PastAnswer::Known(Fingerprint::new(0xdef)));
/// assert_eq!(audit.compared()[0].verdict, Verdict::Equal);
/// ```
#[derive(Clone, Debug)]
pub struct ShardAudit {
    compared: Vec<Compared>,
    /// What the node of each comparison holds.
    prints: Vec<Fingerprint>,
}

impl ShardAudit {
    /// Compares what can be compared at once.
    #[must_use]
    pub fn new(nodes: &[NodeHolds]) -> Self {
        let mut lanes: Vec<ReplicaId> = nodes
            .iter()
            .flat_map(|node| node.lanes.iter().map(|print| print.lane))
            .collect();
        lanes.sort_unstable();
        lanes.dedup();
        let mut audit = Self {
            compared: Vec::new(),
            prints: Vec::new(),
        };
        for lane in lanes {
            let holders: Vec<Holder> = nodes.iter().map(|node| Holder::of(node, lane)).collect();
            let owner = nodes.iter().position(|node| node.replica == lane);
            match owner.map(|place| holders[place]) {
                Some(owner) => audit.beside_owner(lane, owner, &holders),
                None => audit.beside_each_other(lane, &holders),
            }
        }
        audit
    }

    fn note(&mut self, lane: ReplicaId, it: Holder, with: Option<usize>, verdict: Verdict) {
        let print = it.print.unwrap_or_default();
        self.prints.push(print.1);
        self.compared.push(Compared {
            lane,
            node: it.node,
            with,
            mark: print.0,
            verdict,
        });
    }

    fn beside_owner(&mut self, lane: ReplicaId, owner: Holder, holders: &[Holder]) {
        for &it in holders.iter().filter(|it| it.node != owner.node) {
            let verdict = match (it.print, owner.print) {
                (None, _) => Verdict::NotHeld,
                (Some(print), Some(own)) => beside(print, own),
                // The owner has told before it had anything of the lane, or has forgotten it: what
                // it says of that mark now decides.
                (Some(_), None) => Verdict::NotKept,
            };
            self.note(lane, it, Some(owner.node), verdict);
        }
    }

    fn beside_each_other(&mut self, lane: ReplicaId, holders: &[Holder]) {
        for (place, &it) in holders.iter().enumerate() {
            let Some(print) = it.print else {
                self.note(lane, it, None, Verdict::NotHeld);
                continue;
            };
            let verdict = |other: &Holder| other.print.map(|theirs| beside(print, theirs));
            let is_compared = |other: &&Holder| verdict(other).is_some_and(Verdict::is_compared);
            if let Some(other) = holders[..place].iter().find(is_compared) {
                let verdict = verdict(other).unwrap_or(Verdict::NotHeld);
                self.note(lane, it, Some(other.node), verdict);
            } else if !holders[place + 1..].iter().any(|it| is_compared(&it)) {
                self.note(lane, it, None, Verdict::NoCommonMark);
            }
        }
    }

    /// What the owners must be asked now.
    #[must_use]
    pub fn questions(&self) -> Vec<PastQuestion> {
        let open = self.compared.iter();
        let open = open.filter(|it| it.verdict == Verdict::NotKept);
        open.filter_map(|it| {
            it.with.map(|node| PastQuestion {
                node,
                lane: it.lane,
                mark: it.mark,
            })
        })
        .collect()
    }

    /// What an owner says. An answer to no question changes nothing.
    pub fn answer(&mut self, question: &PastQuestion, answer: PastAnswer) {
        for (it, &print) in self.compared.iter_mut().zip(&self.prints) {
            let is_meant = it.verdict == Verdict::NotKept
                && (it.with, it.lane, it.mark)
                    == (Some(question.node), question.lane, question.mark);
            if is_meant {
                it.verdict = match answer {
                    PastAnswer::Known(fingerprint) if fingerprint == print => Verdict::Equal,
                    PastAnswer::Known(_) => Verdict::Differs,
                    PastAnswer::Unknown => Verdict::NotKept,
                    PastAnswer::Forked => Verdict::Forked,
                };
            }
        }
    }

    /// What has come of it so far.
    #[must_use]
    pub fn compared(&self) -> &[Compared] {
        &self.compared
    }
}

/// A node, and what it holds of one lane.
#[derive(Clone, Copy, Debug)]
struct Holder {
    node: usize,
    print: Option<(Mark, Fingerprint)>,
}

impl Holder {
    fn of(node: &NodeHolds, lane: ReplicaId) -> Self {
        let print = node.lanes.iter().find(|print| print.lane == lane);
        Self {
            node: node.node,
            print: print.map(|print| (print.mark, print.fingerprint)),
        }
    }
}

/// Two nodes that hold the lane. [`Verdict::NotKept`] stands for "at other marks".
fn beside(one: (Mark, Fingerprint), other: (Mark, Fingerprint)) -> Verdict {
    if one.0.version != other.0.version {
        Verdict::NotKept
    } else if one.0.start != other.0.start {
        Verdict::Forked
    } else if one.1 == other.1 {
        Verdict::Equal
    } else {
        Verdict::Differs
    }
}

#[cfg(test)]
mod tests;
