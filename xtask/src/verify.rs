//! The judgement on totals: what the nodes show against what was acknowledged.
//!
//! This is the guarantee *conservation* of `specs/guarantees.md`: at rest, a counter's value is the
//! sum of its acknowledged likes; a like without an answer counts once or not at all. It is judged
//! for every counter on every node, by a pure function. Waiting for the nodes to come to rest is
//! here too, because it asks the same question again and again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Counts, Tried, Values};
use crate::deployment::{Deployment, DeploymentError};

/// How often the nodes are asked whether they agree, besides the time the question takes.
const POLL: Duration = Duration::from_millis(2);

/// What one node shows, against what was acknowledged. With several nodes: the worst of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Likes shown.
    pub(crate) counted: i128,
    /// Acknowledged likes that are not shown, added up over the counters that lack some.
    pub(crate) lost: u64,
    /// Likes shown beyond the acknowledged and unanswered ones, added up likewise.
    pub(crate) extra: u64,
}

impl Verdict {
    /// Nothing lost and nothing invented.
    pub(crate) fn is_exact(self) -> bool {
        self.lost == 0 && self.extra == 0
    }
}

/// Judges one node.
pub(crate) fn judge(counts: &Counts, shown: &Values) -> Verdict {
    let mut verdict = Verdict::default();
    let unseen = counts.iter().filter(|(name, _)| !shown.contains_key(*name));
    let pairs = shown
        .iter()
        .map(|(name, &value)| (counts.get(name).copied().unwrap_or_default(), value))
        .chain(unseen.map(|(_, &tried)| (tried, 0)));
    for (
        Tried {
            acknowledged,
            indeterminate,
        },
        value,
    ) in pairs
    {
        let value = i128::from(value);
        let least = i128::from(acknowledged);
        let most = least + i128::from(indeterminate);
        verdict.counted += value;
        verdict.lost += u64::try_from(least - value).unwrap_or(0);
        verdict.extra += u64::try_from(value - most).unwrap_or(0);
    }
    verdict
}

/// Judges all nodes, and gives the worst verdict.
pub(crate) fn judge_all(counts: &Counts, shown: &[Values]) -> Verdict {
    shown
        .iter()
        .map(|values| judge(counts, values))
        .max_by_key(|verdict| u128::from(verdict.lost) + u128::from(verdict.extra))
        .unwrap_or_default()
}

/// How the wait for rest ended.
#[derive(Debug)]
pub(crate) struct AtRest {
    /// The worst node.
    pub(crate) verdict: Verdict,
    /// How long after `since` all nodes were first seen to be exact and equal, if they were.
    pub(crate) convergence: Option<Duration>,
}

/// Asks all nodes until every one is exact and all are equal, or until `patience` is over; the
/// last answers are the ones that are judged.
pub(crate) async fn wait_for_rest(
    deployment: &Deployment,
    counts: &Counts,
    since: Instant,
    patience: Duration,
) -> Result<AtRest, DeploymentError> {
    let begun = Instant::now();
    loop {
        let shown = deployment.values().await?;
        let seen = Instant::now();
        let verdict = judge_all(counts, &shown);
        if verdict.is_exact() && shown.iter().all(|values| *values == shown[0]) {
            return Ok(AtRest {
                verdict,
                convergence: Some(seen - since),
            });
        }
        if begun.elapsed() > patience {
            return Ok(AtRest {
                verdict,
                convergence: None,
            });
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64, u64)]) -> Counts {
        entries
            .iter()
            .map(|&(name, acknowledged, indeterminate)| {
                (
                    name.to_owned(),
                    Tried {
                        acknowledged,
                        indeterminate,
                    },
                )
            })
            .collect()
    }

    fn shown(entries: &[(&str, i64)]) -> Values {
        entries
            .iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect()
    }

    #[test]
    fn equal_totals_are_exact() {
        let verdict = judge(
            &counts(&[("a", 3, 0), ("b", 4, 0)]),
            &shown(&[("a", 3), ("b", 4)]),
        );
        assert_eq!(
            verdict,
            Verdict {
                counted: 7,
                lost: 0,
                extra: 0
            }
        );
    }

    #[test]
    fn a_loss_is_not_hidden_by_an_equal_gain_of_another_counter() {
        let verdict = judge(
            &counts(&[("a", 3, 0), ("b", 4, 0)]),
            &shown(&[("a", 2), ("b", 5)]),
        );
        assert_eq!(
            verdict,
            Verdict {
                counted: 7,
                lost: 1,
                extra: 1
            }
        );
    }

    #[test]
    fn an_unanswered_like_may_count_or_not() {
        let tried = counts(&[("a", 3, 2)]);
        for (value, lost, extra) in [(2, 1, 0), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 1)] {
            let counted = i128::from(value);
            assert_eq!(
                judge(&tried, &shown(&[("a", value)])),
                Verdict {
                    counted,
                    lost,
                    extra
                }
            );
        }
    }

    #[test]
    fn a_missing_counter_is_lost_and_an_unknown_one_is_extra() {
        let verdict = judge(&counts(&[("a", 3, 0)]), &shown(&[("phantom", 1)]));
        assert_eq!(
            verdict,
            Verdict {
                counted: 1,
                lost: 3,
                extra: 1
            }
        );
    }

    #[test]
    fn the_worst_node_is_the_verdict() {
        let tried = counts(&[("a", 3, 0)]);
        let verdict = judge_all(&tried, &[shown(&[("a", 3)]), shown(&[("a", 1)])]);
        assert_eq!(
            verdict,
            Verdict {
                counted: 1,
                lost: 2,
                extra: 0
            }
        );
    }
}
