//! goheap-pacer
