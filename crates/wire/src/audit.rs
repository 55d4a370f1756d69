//! What auditors and nodes say to each other, as protobuf and back.

use crdt_core::{
    CounterName, CounterNameError, Fingerprint, LanePrint, Mark, ReplicaId, Total, Version,
};
use protocol::{PastAnswer, RecordPage, RecordState};
use thiserror::Error;

use crate::{DecodeError, replica_id_from_bytes, replica_id_to_bytes, v1};

/// Why an answer of a node is none.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum AuditAnswerError {
    /// A replica id is none.
    #[error(transparent)]
    ReplicaId(#[from] DecodeError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] CounterNameError),
    /// What is known of a lane at a mark is not said.
    #[error("an answer of knowledge {found}, which this program does not know")]
    Knowledge {
        /// The number.
        found: i32,
    },
    /// The records do not come in the order of their names.
    #[error("the record of {counter:?} does not come in the order of names")]
    Order {
        /// The record that is out of order.
        counter: CounterName,
    },
}

/// What a node holds, as protobuf.
#[must_use]
pub fn prints_to_wire(prints: &[LanePrint]) -> Vec<v1::LaneFingerprint> {
    let to_wire = |print: &LanePrint| v1::LaneFingerprint {
        replica_id: replica_id_to_bytes(print.lane),
        mark: Some(print.mark.into()),
        fingerprint: print.fingerprint.get(),
    };
    prints.iter().map(to_wire).collect()
}

/// What a node holds, from protobuf.
///
/// # Errors
///
/// When a replica id is none.
pub fn prints_from_wire(prints: &[v1::LaneFingerprint]) -> Result<Vec<LanePrint>, DecodeError> {
    let from_wire = |print: &v1::LaneFingerprint| {
        Ok(LanePrint {
            lane: replica_id_from_bytes(&print.replica_id)?,
            mark: print.mark.unwrap_or_default().into(),
            fingerprint: Fingerprint::new(print.fingerprint),
        })
    };
    prints.iter().map(from_wire).collect()
}

/// Marks that are asked for, as protobuf.
#[must_use]
pub fn marks_to_wire(at: &[(ReplicaId, Mark)]) -> Vec<v1::AuditedMark> {
    let to_wire = |&(lane, mark): &(ReplicaId, Mark)| v1::AuditedMark {
        replica_id: replica_id_to_bytes(lane),
        mark: Some(mark.into()),
    };
    at.iter().map(to_wire).collect()
}

/// Marks that are asked for, from protobuf.
///
/// # Errors
///
/// When a replica id is none.
pub fn marks_from_wire(at: &[v1::AuditedMark]) -> Result<Vec<(ReplicaId, Mark)>, DecodeError> {
    let from_wire = |at: &v1::AuditedMark| {
        let lane = replica_id_from_bytes(&at.replica_id)?;
        Ok((lane, at.mark.unwrap_or_default().into()))
    };
    at.iter().map(from_wire).collect()
}

/// An answer, as protobuf.
#[must_use]
pub fn past_to_wire(answer: PastAnswer) -> v1::PastFingerprint {
    let (knowledge, fingerprint) = match answer {
        PastAnswer::Known(fingerprint) => (v1::PastKnowledge::Known, fingerprint),
        PastAnswer::Unknown => (v1::PastKnowledge::NotKept, Fingerprint::default()),
        PastAnswer::Forked => (v1::PastKnowledge::Forked, Fingerprint::default()),
    };
    v1::PastFingerprint {
        knowledge: knowledge.into(),
        fingerprint: fingerprint.get(),
    }
}

/// An answer, from protobuf.
///
/// # Errors
///
/// When it says something that is not known here.
pub fn past_from_wire(answer: &v1::PastFingerprint) -> Result<PastAnswer, AuditAnswerError> {
    match v1::PastKnowledge::try_from(answer.knowledge) {
        Ok(v1::PastKnowledge::Known) => Ok(PastAnswer::Known(Fingerprint::new(answer.fingerprint))),
        Ok(v1::PastKnowledge::NotKept) => Ok(PastAnswer::Unknown),
        Ok(v1::PastKnowledge::Forked) => Ok(PastAnswer::Forked),
        Ok(v1::PastKnowledge::Unspecified) | Err(_) => Err(AuditAnswerError::Knowledge {
            found: answer.knowledge,
        }),
    }
}

/// A page of records, as protobuf.
#[must_use]
pub fn records_to_wire(page: &RecordPage) -> v1::ListLaneRecordsResponse {
    let record = |(counter, state): &(CounterName, RecordState)| {
        let [incremented_low, incremented_high] = halves(state.total.incremented);
        let [decremented_low, decremented_high] = halves(state.total.decremented);
        v1::LaneRecord {
            counter: counter.as_str().to_owned(),
            version: state.version.get(),
            incremented_low,
            incremented_high,
            decremented_low,
            decremented_high,
        }
    };
    let until = page.until.as_ref().map(|name| name.as_str().to_owned());
    v1::ListLaneRecordsResponse {
        mark: Some(page.mark.into()),
        records: page.records.iter().map(record).collect(),
        next_page_token: until.unwrap_or_default(),
    }
}

/// A page of records, from protobuf.
///
/// # Errors
///
/// When a name is none, or the records are not in the order of names.
pub fn records_from_wire(
    page: &v1::ListLaneRecordsResponse,
) -> Result<RecordPage, AuditAnswerError> {
    let record = |record: &v1::LaneRecord| {
        let total = Total {
            incremented: whole([record.incremented_low, record.incremented_high]),
            decremented: whole([record.decremented_low, record.decremented_high]),
        };
        let version = Version::new(record.version);
        let counter = CounterName::new(&record.counter)?;
        Ok::<_, AuditAnswerError>((counter, RecordState { version, total }))
    };
    let records = page
        .records
        .iter()
        .map(record)
        .collect::<Result<Vec<_>, _>>()?;
    let until = match &*page.next_page_token {
        "" => None,
        name => Some(CounterName::new(name)?),
    };
    let is_late =
        |(name, _): &(CounterName, RecordState)| until.as_ref().is_some_and(|until| name > until);
    let out_of_order = records.windows(2).find(|pair| pair[0].0 >= pair[1].0);
    let out_of_order = out_of_order.map(|pair| &pair[1]);
    if let Some((counter, _)) = out_of_order.or_else(|| records.last().filter(|it| is_late(it))) {
        let counter = counter.clone();
        return Err(AuditAnswerError::Order { counter });
    }
    Ok(RecordPage {
        mark: page.mark.unwrap_or_default().into(),
        records,
        until,
    })
}

fn halves(word: u128) -> [u64; 2] {
    let [low, high] = [word & u128::from(u64::MAX), word >> 64];
    [low, high].map(|half| u64::try_from(half).expect("half of a word"))
}

fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use crdt_core::StartId;

    use super::*;

    fn page(names: &[&str], until: Option<&str>) -> RecordPage {
        let name = |name: &str| CounterName::new(name).expect("a name");
        let state = RecordState {
            version: Version::new(3),
            total: Total {
                incremented: (7 << 64) + 5,
                decremented: u128::from(u64::MAX),
            },
        };
        RecordPage {
            mark: Mark {
                version: Version::new(9),
                start: StartId::new(1),
            },
            records: names.iter().map(|&it| (name(it), state)).collect(),
            until: until.map(name),
        }
    }

    #[test]
    fn what_is_said_comes_back() {
        for page in [
            page(&["a", "b"], None),
            page(&["a"], Some("c")),
            page(&[], None),
        ] {
            assert_eq!(records_from_wire(&records_to_wire(&page)), Ok(page));
        }
        let known = PastAnswer::Known(Fingerprint::new(u64::MAX));
        for answer in [known, PastAnswer::Unknown, PastAnswer::Forked] {
            assert_eq!(past_from_wire(&past_to_wire(answer)), Ok(answer));
        }
        let prints = [LanePrint {
            lane: ReplicaId::new(u128::MAX),
            mark: page(&[], None).mark,
            fingerprint: Fingerprint::new(5),
        }];
        assert_eq!(
            prints_from_wire(&prints_to_wire(&prints)),
            Ok(prints.into())
        );
        let at = [(ReplicaId::new(7), page(&[], None).mark)];
        assert_eq!(marks_from_wire(&marks_to_wire(&at)), Ok(at.into()));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for page in [
            page(&["b", "a"], None),
            page(&["a", "a"], None),
            page(&["b"], Some("a")),
        ] {
            let refused = records_from_wire(&records_to_wire(&page));
            assert!(
                matches!(refused, Err(AuditAnswerError::Order { .. })),
                "{refused:?}"
            );
        }
        let unknown = v1::PastFingerprint {
            knowledge: 9,
            fingerprint: 0,
        };
        let error = AuditAnswerError::Knowledge { found: 9 };
        assert_eq!(past_from_wire(&unknown), Err(error));
    }
}
