//! Has the linker send calls of `pthread_create` to `src/thread_start.rs`, which says why.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_PEERS").is_some() {
        println!("cargo::rustc-link-arg=-Wl,--wrap=pthread_create");
    }
}
