//! What a client asks, and whether it may.
//!
//! The server is for tools and people on this machine. A browser on this machine is asked for things by
//! pages from anywhere, so it is held to two rules. *The host* that a request names must be this machine: were it a name that an
//! attacker's DNS points here, the attacker's page would be of the same site, and could read
//! all. *What changes something* is to be sent by POST and by no other site's page: browsers
//! say where a request comes from (`Origin`, `Sec-Fetch-Site`). Tools say neither.

use std::net::{IpAddr, SocketAddr};

use crate::response::Response;

/// Bytes that a request's first line and headers may have.
pub const HEAD_LIMIT: usize = 8 << 10;
const HEADERS: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To see something.
    Get,
    /// To change something.
    Post,
}

/// A request that may be answered.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// Only the answer's head is wanted.
    pub without_body: bool,
    pub path: String,
    query: Vec<(String, String)>,
    /// The forms that the client takes, as it says.
    pub accept: String,
}

impl Request {
    /// A parameter's value; of several, the first.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Reads a request; `None` if there is more of it to come. `given` is the address that the server was given.
///
/// # Errors
/// The answer that refuses it.
pub fn read(head: &[u8], given: SocketAddr) -> Result<Option<Request>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::refusal(
                431,
                "the request has more than 64 headers",
            ));
        }
        Err(error) => {
            let why = format!("this is no HTTP/1.1 request: {error}");
            return Err(Response::refusal(400, &why));
        }
    }
    let header = |name: &str| {
        let mut found = parsed
            .headers
            .iter()
            .filter(|h| h.name.eq_ignore_ascii_case(name));
        let value = found
            .next()
            .map(|header| String::from_utf8_lossy(header.value));
        // Said twice is said unclearly.
        (value, found.next().is_some())
    };
    let (host, twice) = header("Host");
    let host = host.filter(|_| !twice).unwrap_or_default();
    if !is_this_machine(&host, given.ip()) {
        let why = format!(
            "the host is to be localhost, 127.0.0.1, [::1] or the address in GOHEAP_HTTP, not {:?}",
            host.as_ref()
        );
        return Err(Response::refusal(403, &why));
    }
    let (method, without_body) = match parsed.method.unwrap_or_default() {
        "GET" => (Method::Get, false),
        "HEAD" => (Method::Get, true),
        "POST" => (Method::Post, false),
        other => {
            let why = format!("the method is to be GET, HEAD or POST, not {other:?}");
            return Err(Response::refusal(405, &why).with("Allow", "GET, HEAD, POST"));
        }
    };
    if method == Method::Post {
        let (site, _) = header("Sec-Fetch-Site");
        let from_here = site.is_none_or(|site| site == "same-origin" || site == "none");
        let (origin, _) = header("Origin");
        let same = origin.is_none_or(|origin| origin == format!("http://{host}"));
        if !(from_here && same) {
            return Err(Response::refusal(
                403,
                "another site's page may not turn knobs",
            ));
        }
    }
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (accept, _) = header("Accept");
    Ok(Some(Request {
        method,
        without_body,
        path: path.to_owned(),
        query: form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        accept: accept.unwrap_or_default().into_owned(),
    }))
}

/// Whether a `Host` header names this machine: a name that no DNS decides, or a loopback address, or
/// the one that the server was given. One that was given no address in particular has all of them.
fn is_this_machine(host: &str, given: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = match name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(v6) => v6.parse().map(IpAddr::V6),
        None => name.parse().map(IpAddr::V4),
    };
    address.is_ok_and(|address| address.is_loopback() || address == given || given.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, given: &str) -> Result<Option<Request>, Response> {
        let given = SocketAddr::new(given.parse().expect("an address"), 6060);
        read(text.replace('\n', "\r\n").as_bytes(), given)
    }

    fn status(text: &str) -> u16 {
        match asked(text, "127.0.0.1") {
            Ok(Some(_)) => 200,
            Ok(None) => 100,
            Err(refusal) => refusal.status(),
        }
    }

    #[test]
    fn a_request_is_read() {
        let text = "GET /debug/set?gogc=50&memlimit=1%20GiB&x HTTP/1.1\nhost: localhost:1\nAccept: a/b\n\n";
        let request = asked(text, "127.0.0.1").ok().flatten().expect("a request");
        assert_eq!(
            (request.method, request.path.as_str()),
            (Method::Get, "/debug/set")
        );
        assert_eq!(request.parameter("memlimit"), Some("1 GiB"));
        assert_eq!(request.parameter("y"), None);
        assert_eq!(
            (request.parameters().count(), request.accept.as_str()),
            (3, "a/b")
        );
    }

    #[test]
    fn what_is_not_all_there_is_waited_for() {
        let text = "GET / HTTP/1.1\nHost: localhost\n\n";
        assert_eq!(status(text), 200);
        for end in 0..text.len() - 1 {
            assert_eq!(status(&text[..end]), 100, "{end} bytes");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "\x16\x03\x01\x02\n",
            "GET\n\n",
            "GET / HTTP/9.9\n\n",
            "\0\0\0\0",
            "GET / HTTP/1.1\nno colon\n\n",
        ] {
            assert_eq!(status(text), 400, "{text:?}");
        }
        let many: String = (0..65).map(|n| format!("h{n}: x\n")).collect();
        assert_eq!(status(&format!("GET / HTTP/1.1\n{many}\n")), 431);
        assert_eq!(status("DELETE / HTTP/1.1\nHost: localhost\n\n"), 405);
    }

    #[test]
    fn a_host_is_this_machine_or_refused() {
        let host = |host: &str, given: &str| {
            asked(&format!("GET / HTTP/1.1\nHost: {host}\n\n"), given).is_ok()
        };
        for here in [
            "localhost",
            "LOCALHOST:6060",
            "127.0.0.1:6060",
            "127.0.0.1",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(host(here, "127.0.0.1"), "{here}");
        }
        for elsewhere in [
            "attacker.example",
            "attacker.example:6060",
            "localhost.attacker.example",
            "127.0.0.1.nip.io",
            "10.0.0.7",
            "",
            "::1",
            "[::1",
            "127.0.0.1:x",
            "localhost\nHost: attacker.example",
        ] {
            assert!(!host(elsewhere, "127.0.0.1"), "{elsewhere}");
        }
        assert!(host("10.0.0.7:6060", "10.0.0.7") && !host("10.0.0.8", "10.0.0.7"));
        assert!(host("10.0.0.7", "0.0.0.0") && !host("attacker.example", "0.0.0.0"));
        assert_eq!(status("GET / HTTP/1.1\n\n"), 403);
    }

    #[test]
    fn no_other_sites_page_may_change_anything() {
        let post = |headers: &str| {
            status(&format!(
                "POST /debug/gc HTTP/1.1\nHost: localhost:6060\n{headers}\n"
            ))
        };
        for own in [
            "",
            "Origin: http://localhost:6060\n",
            "Sec-Fetch-Site: same-origin\n",
            "Sec-Fetch-Site: none\n",
        ] {
            assert_eq!(post(own), 200, "{own}");
        }
        for other in [
            "Origin: http://attacker.example\n",
            "Origin: null\n",
            "Origin: http://localhost:3000\n",
            "Origin: https://localhost:6060\n",
            "Sec-Fetch-Site: cross-site\n",
            "Sec-Fetch-Site: same-site\n",
            "Origin: http://localhost:6060\nSec-Fetch-Site: cross-site\n",
        ] {
            assert_eq!(post(other), 403, "{other}");
        }
    }
}
