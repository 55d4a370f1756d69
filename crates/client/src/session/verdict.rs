//! What a failed attempt says of a request of a session, which may have been sent before: to its home,
//! or to any node. It knows neither nodes nor time.
//!
//! The rule that carries the weight: a node that refuses a request speaks for itself alone. The home's
//! word is the last one only while the request was never sent to anybody else; and a refusal that is
//! about the moment (the node is starting, it is not the home) says nothing of what was sent before.

use crate::{Error, error::Changes};

/// What is known of a request that was refused, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not count and never will, or counts in part for good: the error says so.
    Final,
    /// Nobody has it: its adds may go into another session.
    Anew,
    /// It may count. It is sent again, with the same number: to the home or, once that is given up, to
    /// any node.
    Again,
    /// It may count, and nobody will say so any more.
    Unknown,
}

/// Where a request was sent, and where it may have been before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempted {
    /// This attempt was at the session's home.
    pub(crate) at_home: bool,
    /// Before it, somebody may have had the request.
    pub(crate) may_count: bool,
    /// Another node than the home may have it.
    pub(crate) was_moved: bool,
}

/// What an attempt that ended with this error says.
pub(crate) fn verdict(error: &Error, attempted: Attempted) -> Verdict {
    let Attempted {
        at_home,
        may_count,
        was_moved,
    } = attempted;
    match error.changes() {
        Changes::InPart => Verdict::Final,
        Changes::Unknown => Verdict::Again,
        Changes::None if !may_count => {
            if error.is_retryable() {
                Verdict::Anew
            } else {
                Verdict::Final
            }
        }
        Changes::None => match error.reason().as_deref() {
            Some(
                "SESSION_CLOSED"
                | "SESSION_MALFORMED"
                | "REQUEST_NUMBER_INVALID"
                | "REQUEST_HAS_OTHER_ADDS",
            ) => Verdict::Unknown,
            _ if error.is_retryable() => Verdict::Again,
            // A proxy that refuses without a reason of ours knows nothing of what was sent before.
            Some(_) if at_home && !was_moved => Verdict::Final,
            Some(_) | None => Verdict::Again,
        },
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::error::Effect;

    const FIRST: Attempted = Attempted {
        at_home: true,
        may_count: false,
        was_moved: false,
    };
    const AGAIN: Attempted = Attempted {
        may_count: true,
        ..FIRST
    };
    const ELSEWHERE: Attempted = Attempted {
        at_home: false,
        may_count: true,
        was_moved: true,
    };
    const BACK_HOME: Attempted = Attempted {
        at_home: true,
        ..ELSEWHERE
    };

    fn refused(code: Code, reason: &str) -> Error {
        let details = ErrorDetails::with_error_info(reason, "tally.v1", []);
        let status = Status::with_error_details(code, "no", details);
        Error::from_status("a:1", "add", Effect::Adds, status)
    }

    fn verdicts(error: &Error) -> [Verdict; 4] {
        [FIRST, AGAIN, ELSEWHERE, BACK_HOME].map(|attempted| verdict(error, attempted))
    }

    #[test]
    fn a_refusal_is_final_from_the_home_of_a_request_that_was_never_sent_elsewhere() {
        use Verdict::{Again, Final};
        for (code, reason) in [
            (Code::OutOfRange, "VALUE_OUT_OF_RANGE"),
            (Code::ResourceExhausted, "COUNTERS_EXHAUSTED"),
            (Code::FailedPrecondition, "REQUEST_REFUSED"),
            (Code::InvalidArgument, "COUNTER_NAME_INVALID"),
        ] {
            let verdicts = verdicts(&refused(code, reason));
            assert_eq!(verdicts, [Final, Final, Again, Again], "{reason}");
        }
    }

    #[test]
    fn a_refusal_of_the_moment_says_nothing_of_what_was_sent_before() {
        use Verdict::{Again, Anew};
        for (code, reason) in [
            (Code::Unavailable, "RECOVERING"),
            (Code::Unavailable, "STOPPING"),
            (Code::FailedPrecondition, "INCARNATION_CONFLICT"),
            (Code::FailedPrecondition, "NOT_SESSIONS_HOME"),
            (Code::FailedPrecondition, "NODE_UNKNOWN_TO_HOME"),
            (Code::ResourceExhausted, "CLAIMS_EXHAUSTED"),
        ] {
            let verdicts = verdicts(&refused(code, reason));
            assert_eq!(verdicts, [Anew, Again, Again, Again], "{reason}");
        }
    }

    #[test]
    fn a_closed_session_leaves_a_request_that_was_sent_before_in_doubt() {
        use Verdict::{Anew, Unknown};
        let closed = refused(Code::FailedPrecondition, "SESSION_CLOSED");
        assert_eq!(verdicts(&closed), [Anew, Unknown, Unknown, Unknown]);
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_wherever_it_was_lost() {
        let lost = Status::unavailable("connection reset");
        let lost = Error::from_status("a:1", "add", Effect::Adds, lost);
        assert_eq!(verdicts(&lost), [Verdict::Again; 4]);
    }

    #[test]
    fn a_refusal_by_something_else_than_a_node_is_not_the_last_word_on_what_was_sent() {
        use Verdict::{Again, Final};
        let status = Status::permission_denied("a proxy");
        let denied = Error::from_status("a:1", "add", Effect::Adds, status);
        assert_eq!(verdicts(&denied), [Final, Again, Again, Again]);
    }

    #[test]
    fn what_counts_in_part_is_final_wherever_it_is_said() {
        let part = refused(Code::FailedPrecondition, "REQUEST_COUNTS_IN_PART");
        assert_eq!(verdicts(&part), [Verdict::Final; 4]);
    }
}
