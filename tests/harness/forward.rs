//! Forwarding of one connection, shared by [`gate`](crate::gate) and [`proxy`](crate::proxy), whose
//! faults differ.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Maximum number of bytes in flight in a forwarder, for each direction of a connection.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// How long a connection outlives its end at one side, if bytes were held on it: what arrives late
/// is then served, as it is in a network, where the end comes after it.
const LINGER: Duration = Duration::from_secs(1);

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the side that dialled.
    Requests,
    /// To the side that dialled.
    Answers,
}

/// The faults in effect.
pub(crate) trait Faults {
    /// The two ends of a connection, as far as the faults depend on them.
    type Ends: Copy;

    /// The connection is to be closed.
    fn cut(&self, ends: Self::Ends) -> bool;

    /// Bytes in this direction are to wait.
    fn hold(&self, ends: Self::Ends, way: Way) -> bool;

    /// The rate of bytes in this direction, if it is limited.
    fn bytes_per_second(&self, _ends: Self::Ends, _way: Way) -> Option<u32> {
        None
    }
}

/// Forwards one connection until either end or a cut closes it.
pub(crate) async fn carry<F: Faults>(
    dialled: TcpStream,
    target: SocketAddr,
    ends: F::Ends,
    mut faults: watch::Receiver<F>,
) {
    let both = pump_both(dialled, target, ends, faults.clone());
    tokio::select! {
        // First, because nothing may pass where the link is cut already.
        biased;
        _ = faults.wait_for(|faults| faults.cut(ends)) => {}
        _ = both => {}
    }
}

async fn pump_both<F: Faults>(
    dialled: TcpStream,
    target: SocketAddr,
    ends: F::Ends,
    faults: watch::Receiver<F>,
) -> io::Result<()> {
    let onward = TcpStream::connect(target).await?;
    let _ = (dialled.set_nodelay(true), onward.set_nodelay(true));
    let (dialler_out, dialler_in) = dialled.into_split();
    let (target_out, target_in) = onward.into_split();
    let requests = pump(dialler_out, target_in, ends, Way::Requests, faults.clone());
    let answers = pump(target_out, dialler_in, ends, Way::Answers, faults.clone());
    tokio::pin!(requests);
    // The end of either direction ends the connection. gRPC and etcd's peer protocol, all that
    // passes here, use both directions or none.
    tokio::select! {
        ended = &mut requests => ended,
        ended = answers => {
            // If the side that dialled is gone, its bytes are still on their way.
            let is_held = faults.borrow().hold(ends, Way::Requests);
            if is_held { requests.await } else { ended }
        }
    }
}

/// Moves bytes in one direction, stopping while it is held, and at its limited rate if it is slow.
async fn pump<F: Faults>(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    ends: F::Ends,
    way: Way,
    mut faults: watch::Receiver<F>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut was_held = false;
    // When the bytes passed so far would have arrived on a slow line.
    let mut due = Instant::now();
    loop {
        // A connection that was reset has ended, too.
        let length = reader.read(&mut buffer).await.unwrap_or(0);
        if length == 0 {
            if was_held {
                sleep_until(Instant::now() + LINGER).await;
            }
            return Ok(());
        }
        was_held |= faults.borrow().hold(ends, way);
        let slow = {
            let free = faults.wait_for(|faults| !faults.hold(ends, way)).await;
            free.map_err(io::Error::other)?.bytes_per_second(ends, way)
        };
        if let Some(bytes_per_second) = slow {
            let share = length as f64 / f64::from(bytes_per_second);
            due = due.max(Instant::now()) + Duration::from_secs_f64(share);
            sleep_until(due).await;
        }
        writer.write_all(&buffer[..length]).await?;
    }
}
