//! Where connections come from: a port or a file.
//!
//! Both kinds are served by the same code, made once for each, so that a TCP connection pays
//! nothing for there being another kind.
//!
//! # The file of a Unix socket
//!
//! It outlives a process that was killed, and then nobody can listen on its path. So before a path
//! is bound, whatever socket is there is tried: if somebody listens, the path is in use; if nobody
//! does, the file is what a dead process left, and is removed. A file that is no socket is never
//! touched. Two processes that find the same dead socket at the same moment can take the path from
//! each other; no lock beside the file guards against that, for it would outlive them as well.
//!
//! At the end the file is removed, if it is still the one that was made: its device and number tell
//! it from one another process has put there since. Who may connect is decided by the permissions
//! of the folder and by the umask, as in etcd.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, tcp, unix};

use crate::config::MemberUrl;

/// What clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A file.
    Unix(SocketFile),
}

/// A Unix socket that is listened on. Its file is removed with it.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file.
    made: Option<(u64, u64)>,
}

impl Listener {
    /// Listens on a URL: on the first of its addresses that can be had, or on its socket.
    pub async fn bind(url: &MemberUrl) -> io::Result<Listener> {
        match url.socket_path() {
            Some(path) => SocketFile::bind(path).await.map(Listener::Unix),
            None => bind_tcp(url).await.map(Listener::Tcp),
        }
    }

    /// The address with the port the system gave, or the path.
    pub fn local_address(&self) -> String {
        match self {
            Listener::Tcp(listener) => listener
                .local_addr()
                .map_or(String::new(), |address| address.to_string()),
            Listener::Unix(file) => file.path.display().to_string(),
        }
    }
}

/// Listens on the first address of a URL that can be had.
pub async fn bind_tcp(url: &MemberUrl) -> io::Result<TcpListener> {
    let mut bound = Err(io::Error::other("it names no address of this machine"));
    for address in url.bind_addresses() {
        bound = TcpListener::bind(address).await;
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

/// Removes the socket at this path if nobody listens on it.
async fn remove_dead(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let text = "there is a file of that name, and it is no socket";
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
        // It need not accept: a process that is stopped lets connections wait, and then no more.
        io::ErrorKind::WouldBlock => {
            let text = "the socket is in use: another process listens on it";
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
        _ => Err(error),
    }
}

/// A kind of listener.
pub(super) trait Accept: Send + Sync + 'static {
    /// Its kind of connection.
    type Stream: Divide;

    /// The next connection, prepared for use.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A connection whose directions can be used apart from each other.
pub(super) trait Divide: Send + 'static {
    /// From the client.
    type Reading: AsyncRead + Unpin + Send + 'static;
    /// To the client.
    type Writing: AsyncWrite + Unpin + Send + 'static;

    fn divide(self) -> (Self::Reading, Self::Writing);
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        // Small responses must not wait for more to send. Without the option all still works,
        // later.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Divide for TcpStream {
    type Reading = tcp::OwnedReadHalf;
    type Writing = tcp::OwnedWriteHalf;

    fn divide(self) -> (Self::Reading, Self::Writing) {
        self.into_split()
    }
}

impl Accept for SocketFile {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Divide for UnixStream {
    type Reading = unix::OwnedReadHalf;
    type Writing = unix::OwnedWriteHalf;

    fn divide(self) -> (Self::Reading, Self::Writing) {
        self.into_split()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_goes_with_its_listener() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let first = SocketFile::bind(&path).await.expect("a free path");
        assert!(path.exists());
        let second = SocketFile::bind(&path).await.expect_err("somebody listens");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse, "{second}");
        assert!(path.exists());
        drop(first);
        assert!(!path.exists());
    }

    /// What the kernel leaves of a process that was killed.
    #[tokio::test]
    async fn what_a_dead_process_left_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
        assert!(path.exists());
        SocketFile::bind(&path).await.expect("nobody listens");
    }

    #[tokio::test]
    async fn what_is_not_ours_stays() {
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
