//! goheap-scavenger
