//! goheap-allocator
