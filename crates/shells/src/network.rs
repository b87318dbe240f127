//! The simulated network: in-memory connections, whose bytes the world moves in each tick.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use orderstream_rpc::client::{ByteStream, DialFuture, Dialer};
use orderstream_torture::plan::LinkCondition;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use crate::TICK_MS;

/// The limit on bytes in flight in one direction of a connection; beyond it the writer waits.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024;
/// The limit on connections that wait to be accepted; a further one is refused.
const BACKLOG: usize = 64;
/// The number of bytes that a slow link transfers in one tick.
const SLOW_LINK_BYTES: usize = 48;
/// The time to establish a connection, or to have it refused.
const HANDSHAKE: Duration = Duration::from_millis(2 * TICK_MS);

/// All connections, by the URL of their server. Clones share the connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Arc<Mutex<NetworkState>>);

#[derive(Debug, Default)]
struct NetworkState {
    servers: BTreeMap<String, mpsc::Sender<Pipe>>,
    weather: BTreeMap<String, LinkCondition>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    url: String,
    halves: [Arc<Mutex<HalfConnection>>; 2],
}

/// One direction of a connection.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts of a pipe")]
struct HalfConnection {
    /// The written bytes, each with its age in ticks.
    in_flight: VecDeque<(u64, Bytes)>,
    in_flight_bytes: usize,
    received: BytesMut,
    /// Set when the writer has closed the connection.
    is_closed: bool,
    /// Set when the reader has reached the end, or will reach it after the bytes that have arrived.
    is_eof: bool,
    /// Set when the connection was reset.
    is_reset: bool,
    /// Set when some bytes were lost: nothing after them can be read.
    has_gap: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl HalfConnection {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Transfers the bytes of one tick.
    fn pump(&mut self, weather: LinkCondition) {
        let has_pending = !self.in_flight.is_empty() || (self.is_closed && !self.is_eof);
        self.in_flight.iter_mut().for_each(|(age, _)| *age += 1);
        match weather {
            LinkCondition::Stalled => return,
            LinkCondition::Cut => self.is_reset = true,
            LinkCondition::HalfOpen if has_pending => self.has_gap = true,
            LinkCondition::Healthy | LinkCondition::Bytewise | LinkCondition::HalfOpen => {}
        }
        let mut budget =
            if weather == LinkCondition::Bytewise { SLOW_LINK_BYTES } else { usize::MAX };
        while let Some((age, bytes)) = self.in_flight.front_mut() {
            if *age < 2 || budget == 0 {
                break;
            }
            let moved = bytes.split_to(bytes.len().min(budget));
            budget -= moved.len();
            self.in_flight_bytes -= moved.len();
            if !self.has_gap {
                self.received.extend_from_slice(&moved);
            }
            if bytes.is_empty() {
                self.in_flight.pop_front();
            }
        }
        self.is_eof |= self.is_closed && self.in_flight.is_empty() && !self.has_gap;
        if has_pending || self.is_reset {
            self.wake();
        }
    }
}

impl Network {
    /// Transfers the bytes of all connections, as the condition of their link allows.
    pub(crate) fn pump(&self) {
        let mut state = self.0.lock();
        let NetworkState { weather, connections, .. } = &mut *state;
        // Removes connections whose ends are both dropped.
        connections
            .retain(|connection| connection.halves.iter().any(|half| Arc::strong_count(half) > 1));
        for connection in connections.iter() {
            let weather = weather.get(&connection.url).copied().unwrap_or(LinkCondition::Healthy);
            for half in &connection.halves {
                half.lock().pump(weather);
            }
        }
    }

    /// Sets the condition of the links to this server from now on.
    pub(crate) fn set(&self, url: &str, weather: LinkCondition) {
        self.0.lock().weather.insert(url.to_owned(), weather);
    }

    /// Listens at this URL; returns its incoming connections.
    pub(crate) fn listen(&self, url: &str) -> mpsc::Receiver<Pipe> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.0.lock().servers.insert(url.to_owned(), sender);
        receiver
    }

    fn connect(&self, url: &str) -> io::Result<Pipe> {
        let mut state = self.0.lock();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        if state.weather.get(url) == Some(&LinkCondition::Cut) {
            return Err(refused());
        }
        let halves: [Arc<Mutex<HalfConnection>>; 2] = [Arc::default(), Arc::default()];
        let [to_server, to_client] = &halves;
        let server = Pipe { read: Arc::clone(to_server), write: Arc::clone(to_client) };
        let client = Pipe { read: Arc::clone(to_client), write: Arc::clone(to_server) };
        let listener = state.servers.get(url).ok_or_else(refused)?;
        listener.try_send(server).map_err(|_| refused())?;
        state.connections.push(Connection { url: url.to_owned(), halves });
        Ok(client)
    }
}

impl Dialer for Network {
    fn dial(&self, url: &str, _: &http::Uri) -> DialFuture {
        let (network, url) = (self.clone(), url.to_owned());
        Box::pin(async move {
            tokio::time::sleep(HANDSHAKE).await;
            loop {
                let weather = network.0.lock().weather.get(&url).copied();
                if !matches!(weather, Some(LinkCondition::Stalled | LinkCondition::HalfOpen)) {
                    break;
                }
                // The caller has a timeout for connecting.
                tokio::time::sleep(HANDSHAKE).await;
            }
            network.connect(&url).map(|pipe| Box::new(pipe) as Box<dyn ByteStream>)
        })
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: Arc<Mutex<HalfConnection>>,
    write: Arc<Mutex<HalfConnection>>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut write = self.write.lock();
        write.is_closed = true;
        drop(write);
        // The reader is dropped: the other side's writes must fail.
        let mut read = self.read.lock();
        read.is_reset = true;
        read.wake();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut half = self.read.lock();
        if half.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !half.received.is_empty() {
            let count = half.received.len().min(buffer.remaining());
            buffer.put_slice(&half.received[..count]);
            half.received.advance(count);
            return Poll::Ready(Ok(()));
        }
        if half.is_eof {
            return Poll::Ready(Ok(()));
        }
        half.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut half = self.write.lock();
        if half.is_reset || half.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let capacity =
            IN_FLIGHT_BYTES_MAX.saturating_sub(half.in_flight_bytes + half.received.len());
        if capacity == 0 {
            half.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = capacity.min(bytes.len());
        half.in_flight.push_back((0, Bytes::copy_from_slice(&bytes[..count])));
        half.in_flight_bytes += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.lock().is_closed = true;
        Poll::Ready(Ok(()))
    }
}
