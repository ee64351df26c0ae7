//! What a knob's value may look like.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use goheap_scavenger::NEWEST;

pub(super) fn flag(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// An address to listen at; loopback unless the text says another.
pub(super) fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = core::str::from_utf8(text).ok()?;
    let port = text.strip_prefix("localhost").unwrap_or(text);
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port),
        None => Some(text).filter(|_| port == text),
    };
    let port = port.and_then(|port| u16::try_from(whole(port.as_bytes())?).ok());
    let local = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    local.or_else(|| text.parse().ok())
}

/// The 27 of `go1.27`.
pub(super) fn version(text: &[u8]) -> Option<u8> {
    let minor = text
        .strip_prefix(b"go1.")
        .filter(|m| m.first() != Some(&b'0'))?;
    let minor = whole(minor).and_then(|n| u8::try_from(n).ok())?;
    (1..=NEWEST).contains(&minor).then_some(minor)
}

pub(super) fn whole(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &c| {
        let digit = c.is_ascii_digit().then(|| u64::from(c - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// A signed number, -1 if it is below 0 (Go: `readGOGC`, `setGCPercent`).
pub(super) fn percent(text: &[u8]) -> Option<i32> {
    let number: i32 = core::str::from_utf8(text).ok()?.parse().ok()?;
    Some(number.max(-1))
}

/// Go takes a number above 0 and passes over all else in silence (`schedinit`). Here 0 is how the default is written, as
/// `runtime.GOMAXPROCS(0)` leaves what there is; a negative one is a mistake.
pub(super) fn processors(text: &[u8]) -> Option<u32> {
    let number: i32 = core::str::from_utf8(text).ok()?.parse().ok()?;
    u32::try_from(number).ok()
}

pub(super) fn decimal(text: &[u8]) -> Option<f64> {
    let plain = text.iter().all(|c| c.is_ascii_digit() || *c == b'.');
    core::str::from_utf8(text)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

/// Go's byte counts: digits, and B, KiB, MiB, GiB or TiB or nothing (Go: `parseByteCount`).
pub(super) fn bytes(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        b"" | b"B" => 0,
        b"KiB" => 10,
        b"MiB" => 20,
        b"GiB" => 30,
        b"TiB" => 40,
        _ => return None,
    };
    whole(number)?.checked_mul(1 << scale)
}
