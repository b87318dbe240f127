//! Closes a listening port without losing established connections: closing the port alone resets
//! the connections in the kernel's queue, although their peers consider them established.

use std::io;
use std::net;

use tokio::net::{TcpListener, TcpStream};

/// Makes the kernel accept no new connections: a peer that tries to connect gets no response, and
/// retries after a second, when the port is closed or another process has it. Connections that are
/// established or being established are not affected. Linux only; on other systems, peers that
/// connect at the moment of closing are reset.
///
/// # Errors
/// When the kernel refuses the filter.
#[cfg(target_os = "linux")]
pub(super) fn stop_accepting(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // Classic BPF over a segment's TCP header, whose byte 13 holds its flags (RFC 9293): drops
    // segments with SYN and without ACK.
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

/// Does nothing; see the Linux version.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub(super) fn stop_accepting(_listener: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// The largest number of queued connections that failed before they were accepted and are skipped.
const FAILED_MAX: usize = 64;

/// Accepts the connections in the kernel's queue, at most `length_max`, and closes the port.
///
/// # Errors
/// When the listener cannot be removed from the runtime; it is closed nevertheless.
pub(super) fn drain(listener: TcpListener, length_max: usize) -> io::Result<Vec<TcpStream>> {
    // Queries the kernel directly: the runtime notices new connections only when it polls.
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
