//! The goheap program, on goheap's own heap.

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

fn main() -> std::process::ExitCode {
    goheap_cli::main()
}
