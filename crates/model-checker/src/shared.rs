//! Values that many states of a world have in common, and functions whose answers are kept.
//!
//! Successive states differ in one node, so a state holds its nodes by reference, and each node is
//! hashed once. And because a replica is a pure state machine, "this node takes that step" has one
//! answer: it is computed by the real code the first time and looked up from then on. Both only
//! save time; a world without them has the same states.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

/// The hash that tells values apart here: 64 bits, as Stateright's own fingerprints.
pub fn fingerprint(value: &impl Hash) -> u64 {
    // Its keys are constants, so that equal runs are equal to the last bit.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// An immutable value with its hash. Cheap to clone, compare and hash.
pub struct Shared<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash> Shared<T> {
    /// Hashes and shares a value.
    pub fn new(value: T) -> Self {
        Self {
            hash: fingerprint(&value),
            value: Arc::new(value),
        }
    }
}

impl<T> Shared<T> {
    /// The value's hash.
    #[must_use]
    pub fn hash_of(&self) -> u64 {
        self.hash
    }
}

/// Shown as the value alone.
impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            hash: self.hash,
            value: Arc::clone(&self.value),
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A key that is a hash already is not hashed again.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are 64-bit numbers");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The answers of one pure function, by the hash of its arguments.
#[derive(Debug)]
pub struct Memo<V> {
    answers: RwLock<HashMap<u64, V, BuildHasherDefault<AsItIs>>>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            answers: RwLock::default(),
        }
    }
}

impl<V: Clone> Memo<V> {
    /// The answer for these arguments, computed now if it never was.
    pub fn get(&self, arguments: &impl Hash, compute: impl FnOnce() -> V) -> V {
        let key = fingerprint(arguments);
        // An answer is inserted whole, so a thread that panicked has left no half of one.
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(&key) {
            return answer.clone();
        }
        drop(answers);
        let answer = compute();
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(key, answer.clone());
        answer
    }
}
