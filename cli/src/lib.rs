//! The goheap program, as a library that its tests can reach.
