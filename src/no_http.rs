//! What stands for `http.rs` in a build without the feature: who asks for a server is told that there is none.

use crate::background;
use core::net::SocketAddr;

/// Says so if there is to be one.
pub fn configure(address: Option<SocketAddr>) {
    if let Some(address) = address {
        background::print_line(format_args!(
            "goheap: GOHEAP_HTTP={address} has no effect: this build has no server; build with the feature http"
        ));
    }
}

/// There is none to begin.
pub fn begin_if_due() {}

/// There is none to forget.
pub fn after_fork_in_child() {}

/// There is none.
pub const fn is_there() -> bool {
    false
}
