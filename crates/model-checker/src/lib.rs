//! The checker: the seeded simulator over the code that is deployed.

pub mod sim;
