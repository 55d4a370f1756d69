//! Tokens as bytes and back.

use proptest::{collection::vec, prelude::*};

use super::*;

const HERE: ClusterHash = ClusterHash(7);

fn token(marks: impl IntoIterator<Item = (ShardIndex, u128, u64, u64)>) -> Token {
    let mark = |(shard, lane, version, start)| {
        let (version, start) = (Version::new(version), StartId::new(start));
        ((shard, ReplicaId::new(lane)), Mark { version, start })
    };
    Token::of_marks(HERE, marks.into_iter().map(mark).collect())
}

proptest! {
    #[test]
    fn tokens_survive_their_bytes(
        marks in vec((0..16u32, 0..4u128, any::<u64>(), 0..3u64), 0..40),
    ) {
        let token = token(marks);
        prop_assert_eq!(Token::parse(&token.to_bytes(), HERE, 16), Ok(token.clone()));
        let elsewhere = Token::parse(&token.to_bytes(), ClusterHash(8), 16);
        prop_assert_eq!(elsewhere, Err(TokenError::Cluster));
    }

    #[test]
    fn any_bytes_are_a_token_or_refused(mut bytes in vec(any::<u8>(), 0..80), ours in 0..3) {
        if ours > 0 && bytes.len() > 10 {
            bytes[0] = FORMAT;
            bytes[1..9].copy_from_slice(&HERE.0.to_be_bytes());
        }
        if ours > 1 && bytes.len() > 40 {
            bytes[9] = 1; // one writer, and then bytes of any kind
            bytes[34..].iter_mut().for_each(|byte| *byte &= 0x83);
        }
        if let Ok(token) = Token::parse(&bytes, HERE, 300) {
            prop_assert_eq!(token.to_bytes(), bytes);
        }
    }
}

/// What clients keep today is read tomorrow.
#[test]
fn the_bytes_of_a_token_are_pinned() {
    let bytes = token([(3, 0xab, 300, 5), (3, 0xac, 1, 6), (200, 0xab, 2, 4)]).to_bytes();
    let expected: Vec<u8> = [
        &[3][..],
        &7_u64.to_be_bytes(),
        &[3],
        &0xab_u128.to_be_bytes(),
        &4_u64.to_be_bytes(),
        &0xab_u128.to_be_bytes(),
        &5_u64.to_be_bytes(),
        &0xac_u128.to_be_bytes(),
        &6_u64.to_be_bytes(),
        &[3, 2, 1, 0xac, 2, 2, 1],
        &[0xc8, 1, 1, 0, 2],
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn what_is_no_token_says_why() {
    let parse = |bytes: &[u8]| Token::parse(bytes, HERE, 16).expect_err("no token");
    let too_large = TokenError::Shard {
        found: 16,
        shard_count: 16,
    };
    assert_eq!(parse(&token([(16, 1, 1, 1)]).to_bytes()), too_large);
    let good = token([(3, 1, 1, 1), (4, 1, 1, 1)]).to_bytes();
    let [one, two] = [(3, 1, 1, 1), (4, 1, 1, 1)].map(|mark| token([mark]).to_bytes());
    let turned = [&one[..34], &two[34..], &one[34..]].concat();
    assert_eq!(good.len(), turned.len());
    let bytes = good.len();
    assert_eq!(parse(&turned), TokenError::Altered { bytes });
    let cut = &good[..bytes - 1];
    assert_eq!(parse(cut), TokenError::Altered { bytes: bytes - 1 });
    assert_eq!(parse(&[2; 35]), TokenError::Format(2));
    assert_eq!(parse(&[3; 5]), TokenError::Length(5));
    assert_eq!(parse(&[]), TokenError::Length(0));
    let long = [&good[..], &alloc::vec![0; TOKEN_BYTES_MAX]].concat();
    assert_eq!(parse(&long), TokenError::Length(long.len()));
}

#[test]
fn a_token_that_would_be_too_long_is_refused_by_every_read() {
    let lanes = |count| {
        let marks = (0..256).flat_map(|shard| (0..count).map(move |lane| (shard, lane)));
        token(marks.map(|(shard, lane)| (shard, lane, 1 << 28, 9)))
    };
    let fits = lanes(20);
    assert_eq!(Token::parse(&fits.to_bytes(), HERE, 256), Ok(fits));
    for replicas in [30, 70, 300] {
        let long = lanes(replicas).to_bytes();
        assert!(long.len() < 20, "{}", long.len());
        let marks = 256 * u64::try_from(replicas).expect("small");
        let refused = Token::parse(&long, HERE, 256);
        assert_eq!(refused, Err(TokenError::TooLong { marks }));
    }
}
