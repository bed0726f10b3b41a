//! A plain HTTP/1.1 client, like curl and probes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::within;

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The value of a series in Prometheus' text format, selected by name and labels.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let value = self
            .body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        let value = value.parse();
        Some(value.unwrap_or_else(|_| panic!("{series} is no number in {}", self.body)))
    }
}

/// Sends `GET path` on a new connection.
pub async fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "").await
}

/// Sends a request with any method and body on a new connection.
pub async fn request(address: &str, method: &str, path: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    send(address, &text).await
}

/// Sends any bytes as a request on a new connection, which the server has to close.
pub async fn send(address: &str, text: &str) -> Answer {
    within("an HTTP answer", async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream
            .write_all(text.as_bytes())
            .await
            .expect("a request can be sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        parse(&answer)
    })
    .await
}

fn parse(answer: &[u8]) -> Answer {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap_or_default();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked {
        without_chunks(body)
    } else {
        body.to_owned()
    };
    let status = status
        .parse()
        .unwrap_or_else(|_| panic!("not HTTP: {head}"));
    Answer {
        status,
        headers,
        body,
    }
}

fn without_chunks(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || size > after.len() {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}
