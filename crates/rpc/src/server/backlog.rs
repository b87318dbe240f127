//! The end of a listening port that leaves no made connection unserved: closing the port resets the
//! connections in the system's queue, though their peers count as connected.

use std::io;
use std::net;

use tokio::net::{TcpListener, TcpStream};

/// Makes the system take no further connection: a peer that asks for one gets no response, and
/// tries again after a second, when the port is closed or another process has it. Connections that
/// are made, or about to be, are not touched. Linux only; elsewhere, peers that connect at the very
/// moment of closing are reset.
///
/// # Errors
/// When the system refuses the filter.
#[cfg(target_os = "linux")]
pub(super) fn stop_accepting(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // Classic BPF over a segment's TCP header, whose byte 13 holds its flags (RFC 9293): drops
    // what has SYN and not ACK.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    let filter = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&filter)
}

/// Does nothing; see the Linux one.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub(super) fn take_no_more(_listener: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// The most connections of the queue that failed before they were taken, and are skipped.
const FAILED_MAX: usize = 64;

/// Takes the connections that wait in the system's queue, at most `length_max`, and closes the
/// port.
///
/// # Errors
/// When the listener cannot be removed from the runtime; it is closed all the same.
pub(super) fn drain(listener: TcpListener, length_max: usize) -> io::Result<Vec<TcpStream>> {
    // Asked of the system itself: the runtime learns of new connections only when it polls.
    let listener = listener.into_std()?;
    let mut failed = 0;
    let queued = std::iter::from_fn(|| {
        loop {
            match listener.accept() {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) if failed >= FAILED_MAX => return None,
                Err(_) => failed += 1,
            }
        }
    });
    Ok(queued.take(length_max).filter_map(|(stream, _)| into_tokio(stream).ok()).collect())
}

fn into_tokio(stream: net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}
