//! Measurements of goheap.
