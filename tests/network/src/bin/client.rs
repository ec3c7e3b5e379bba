//! The client of the tests.
fn main() {}
