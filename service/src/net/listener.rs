//! Listeners: TCP ports and Unix sockets.
//!
//! Both kinds are served by the same code, compiled once for each, so that TCP connections pay
//! nothing for the other kind.
//!
//! # The file of a Unix socket
//!
//! The file outlives a process that was killed, and then no process can listen on its path. So
//! before binding a path, [`Listener::bind_unix`] tries to connect to an existing socket: if a
//! process listens on it, the path is in use; if none does, a dead process left the file, and it is
//! removed. A file that is not a socket is never touched. Two processes that find the same dead
//! socket at the same instant can take the path from each other. A lock beside the file would not
//! prevent that, since it would outlive its process as well.
//!
//! At the end the file is removed, if it is still the one that this process made: its device and
//! inode number distinguish it from a file that another process has put there since. The
//! permissions of the folder and the umask decide who may connect, as in etcd.

use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

/// A listener that is bound.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(SocketFile),
}

/// A Unix socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode number of the file this process made.
    made: Option<(u64, u64)>,
}

impl Listener {
    /// Listens on a Unix socket.
    pub(crate) async fn bind_unix(path: &Path) -> io::Result<Listener> {
        SocketFile::bind(path).await.map(Listener::Unix)
    }

    /// The address with the port that the system assigned, or the path.
    pub(crate) fn local_address(&self) -> String {
        match self {
            Listener::Tcp(listener) => listener
                .local_addr()
                .map_or(String::new(), |address| address.to_string()),
            Listener::Unix(file) => file.path.display().to_string(),
        }
    }
}

/// Listens on the first of these addresses that can be bound.
pub(crate) async fn bind_tcp(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut bound = Err(io::Error::other("it names no address of this machine"));
    for address in addresses {
        bound = TcpListener::bind(*address).await;
        if bound.is_ok() {
            break;
        }
    }
    bound
}

impl SocketFile {
    async fn bind(path: &Path) -> io::Result<SocketFile> {
        remove_dead(path).await?;
        let listener = UnixListener::bind(path)?;
        Ok(SocketFile {
            listener,
            path: path.to_owned(),
            made: fs::symlink_metadata(path).ok().map(identity),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).ok().map(identity);
        if there.is_none() || there != self.made {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the file of a Unix socket cannot be removed");
        }
    }
}

fn identity(metadata: Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes the socket at this path if no process listens on it.
async fn remove_dead(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let text = "a file with that name exists, and it is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    let error = match UnixStream::connect(path).await {
        Ok(_) => io::ErrorKind::WouldBlock.into(),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // The queue of connections is full: a process that is suspended does not accept them.
        io::ErrorKind::WouldBlock => {
            let text = "the socket is in use: another process listens on it";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
        _ => Err(error),
    }
}

/// A kind of listener.
pub(crate) trait Accept: Send + Sync + 'static {
    /// Its kind of socket.
    type Socket: Socket;

    /// Returns the next connection, and the address that it comes from.
    fn accept(&self)
    -> impl Future<Output = io::Result<(Self::Socket, Option<SocketAddr>)>> + Send;
}

/// A socket of a connection.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The half with the bytes from the other end.
    type Reading: AsyncRead + Unpin + Send + 'static;
    /// The half with the bytes to the other end.
    type Writing: AsyncWrite + Unpin + Send + 'static;

    /// Sets the socket options; see [`prepare_tcp`].
    fn prepare(&self, unacknowledged_max: Option<Duration>);

    /// Splits the socket into its two directions.
    fn divide(self) -> (Self::Reading, Self::Writing);
}

/// Sets the options of a TCP connection: small messages are sent at once, and, with
/// `unacknowledged_max`, the kernel ends the connection when the network has acknowledged nothing
/// for that long. The kernel's default is a quarter of an hour.
pub(crate) fn prepare_tcp(stream: &TcpStream, unacknowledged_max: Option<Duration>) {
    // Without these options everything still works, only more slowly.
    let _ = stream.set_nodelay(true);
    if let Some(unacknowledged_max) = unacknowledged_max {
        let unacknowledged_ms = u32::try_from(unacknowledged_max.as_millis());
        let _ = set_tcp_user_timeout(stream, unacknowledged_ms.unwrap_or(u32::MAX));
    }
}

impl Accept for TcpListener {
    type Socket = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        Ok((stream, Some(remote)))
    }
}

impl Socket for TcpStream {
    type Reading = tcp::OwnedReadHalf;
    type Writing = tcp::OwnedWriteHalf;

    fn prepare(&self, unacknowledged_max: Option<Duration>) {
        prepare_tcp(self, unacknowledged_max);
    }

    fn divide(self) -> (Self::Reading, Self::Writing) {
        self.into_split()
    }
}

impl Accept for SocketFile {
    type Socket = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, None))
    }
}

impl Socket for UnixStream {
    type Reading = unix::OwnedReadHalf;
    type Writing = unix::OwnedWriteHalf;

    /// A Unix socket has neither of the options, and needs none.
    fn prepare(&self, _unacknowledged_max: Option<Duration>) {}

    fn divide(self) -> (Self::Reading, Self::Writing) {
        self.into_split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_removed_with_its_listener() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let first = SocketFile::bind(&path).await.expect("a free path");
        assert!(path.exists());
        let second = SocketFile::bind(&path)
            .await
            .expect_err("the first listens");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse, "{second}");
        assert!(path.exists());
        drop(first);
        assert!(!path.exists());
    }

    /// The kernel leaves the file of a process that was killed.
    #[tokio::test]
    async fn the_file_of_a_dead_process_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
        assert!(path.exists());
        SocketFile::bind(&path).await.expect("the process is gone");
    }

    #[tokio::test]
    async fn files_of_others_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        fs::write(&path, "precious").expect("writable");
        let refused = SocketFile::bind(&path).await.expect_err("a file is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists, "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
        fs::remove_file(&path).expect("there");

        // Another process has taken the path over.
        let ours = SocketFile::bind(&path).await.expect("a free path");
        fs::rename(&path, dir.path().join("elsewhere")).expect("there");
        let _theirs = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
        drop(ours);
        assert!(path.exists());
    }
}
