//! An answer as bytes.

/// What a client gets.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    without_body: bool,
}

impl Response {
    /// An answer that all went well.
    pub fn ok(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("Content-Type", kind.to_owned())],
            body: body.into(),
            without_body: false,
        }
    }

    /// A sentence to read.
    pub fn text(said: impl Into<String>) -> Self {
        Self::ok("text/plain; charset=utf-8", said.into() + "\n")
    }

    /// Says what was wrong.
    pub fn refusal(status: u16, why: &str) -> Self {
        Self {
            status,
            ..Self::text(why)
        }
    }

    /// It is elsewhere.
    pub fn moved(to: &str) -> Self {
        Self::refusal(301, to).with("Location", to)
    }

    /// With one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Only its head: what `HEAD` asks for.
    pub fn without_body(mut self) -> Self {
        self.without_body = true;
        self
    }

    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n", self.body.len());
        // The heap changes all the time; and nothing here is to be taken for anything else.
        head += "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n";
        let mut bytes = head.into_bytes();
        if !self.without_body {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
