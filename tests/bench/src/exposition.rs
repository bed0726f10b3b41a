//! Reads counters from a server's `/metrics`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::wire::Failure;

/// Timeout for the whole response, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sum of a family's series; 0 if the server exports none.
pub(crate) fn sum(address: SocketAddr, family: &str) -> Result<f64, Failure> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the response is not chunked, and ends with the connection.
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    sum_in(&answer, family)
}

fn sum_in(answer: &str, family: &str) -> Result<f64, Failure> {
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(Failure(format!("/metrics: {status:?}")));
    }
    let mut sum = 0.0;
    for line in answer.lines() {
        let Some(rest) = line.strip_prefix(family) else {
            continue;
        };
        // A longer name with the same prefix continues with other letters.
        if !rest.starts_with(['{', ' ']) {
            continue;
        }
        let value = rest.rsplit(' ').next().unwrap_or_default();
        sum += value
            .parse::<f64>()
            .map_err(|error| Failure(format!("/metrics: {line:?}: {error}")))?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_and_other_names_are_not() {
        let answer = "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n\
            # TYPE sent counter\nsent{To=\"a\"} 2\nsent{To=\"b\"} 1e+06\nsent_bytes{To=\"a\"} 7\n\
            alone 3\n";
        let sum = |family| sum_in(answer, family).expect("numbers");
        assert_eq!(sum("sent"), 1_000_002.0);
        assert_eq!(sum("alone"), 3.0);
        assert_eq!(sum("received"), 0.0);
        assert!(sum_in("HTTP/1.0 404 Not Found\r\n\r\n", "sent").is_err());
    }
}
