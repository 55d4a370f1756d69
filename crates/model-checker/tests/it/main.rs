//! The integration tests of the model checker, as one binary; each module says what it tests.

mod map;
mod sim;
mod tla;
mod transcripts;
mod validation;
mod worlds;
