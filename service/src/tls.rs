//! TLS (placeholder).

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// TLS between members.
#[derive(Debug)]
pub struct Tls {}

impl Tls {
    pub(crate) async fn connect(&self, _host: &str, _stream: TcpStream) -> io::Result<TcpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn accept(
        &self,
        _stream: TcpStream,
        _remote: SocketAddr,
    ) -> io::Result<TcpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
