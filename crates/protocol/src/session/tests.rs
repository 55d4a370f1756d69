//! What clients hold of a session, and what they may number.

use proptest::prelude::*;

use super::*;

const CLUSTER: ClusterHash = ClusterHash(5);

fn session(home: u128, start: u64, count: u64) -> SessionId {
    SessionId {
        home: ReplicaId::new(home),
        start: StartId::new(start),
        count,
    }
}

fn bytes_of(session: SessionId) -> Vec<u8> {
    let cluster = CLUSTER;
    SessionToken { cluster, session }.to_bytes()
}

proptest! {
    #[test]
    fn a_session_is_what_its_bytes_say(home: u128, start in 1..=u64::MAX, count: u64) {
        let session = session(home, start, count);
        let bytes = bytes_of(session);
        prop_assert!(bytes.len() <= SESSION_BYTES_MAX);
        prop_assert_eq!(SessionToken::parse(&bytes, CLUSTER), Ok(session));
    }

    #[test]
    fn altered_bytes_are_no_session(at in 0..BYTES, by in 1..=u8::MAX, home: u128) {
        let mut bytes = bytes_of(session(home, 1, 2));
        bytes[at] ^= by;
        prop_assert!(SessionToken::parse(&bytes, CLUSTER).is_err());
    }

    #[test]
    fn no_bytes_are_too_strange(bytes: Vec<u8>) {
        prop_assert!(SessionToken::parse(&bytes, CLUSTER).is_err());
    }
}

#[test]
fn what_is_wrong_with_a_session_is_said() {
    let whole = bytes_of(session(1, 2, 3));
    let parse = |bytes: &[u8]| SessionToken::parse(bytes, CLUSTER);
    assert_eq!(parse(&[]), Err(SessionError::Length(0)));
    assert_eq!(parse(&whole[..44]), Err(SessionError::Length(44)));
    let mut newer = whole.clone();
    newer[0] = 2;
    assert_eq!(parse(&newer), Err(SessionError::Format(2)));
    let mut altered = whole.clone();
    altered[20] ^= 1;
    assert_eq!(parse(&altered), Err(SessionError::Altered));
    let elsewhere = SessionToken::parse(&whole, ClusterHash(6));
    assert_eq!(elsewhere, Err(SessionError::Cluster));
    assert_eq!(
        parse(&bytes_of(session(1, 0, 3))),
        Err(SessionError::Altered)
    );
}

#[test]
fn a_request_has_its_number_within_the_window() {
    let session = session(1, 2, 3);
    let head = |number, below| RequestHead::new(session, number, below, false);
    assert_eq!(head(0, 0), Err(RequestNumberError::Zero));
    let answered = RequestNumberError::Answered {
        number: 4,
        answered_below: 5,
    };
    assert_eq!(head(4, 5), Err(answered));
    assert_eq!(head(5, 5).map(|head| head.id.number), Ok(5));
    assert_eq!(head(1_024, 0).map(|head| head.answered_below), Ok(1));
    for (number, below) in [(1_025, 0), (1_025, 1), (1_029, 5)] {
        let answered_below = below.max(1);
        let past = RequestNumberError::PastWindow {
            number,
            answered_below,
            last: answered_below + 1_023,
        };
        assert_eq!(head(number, below), Err(past));
    }
    assert!(head(u64::MAX, u64::MAX).is_ok());
}
