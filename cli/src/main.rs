//! The goheap program.
fn main() {}
