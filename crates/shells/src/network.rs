//! The network: connections in memory, whose bytes the world moves from tick to tick.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use orderstream_rpc::client::{Dialed, Dialer, Wire};
use orderstream_torture::plan::Weather;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

use crate::TICK_MS;

/// The limit of bytes in flight in one direction of a connection; then its writer waits.
const FLYING_MAX: usize = 64 * 1024;
/// The limit of connections that wait to be accepted; one more is refused.
const BACKLOG: usize = 64;
/// The number of bytes that a slow link carries in one tick.
const DRIP: usize = 48;
/// The time to establish a connection, or to have it refused.
const HANDSHAKE: Duration = Duration::from_millis(2 * TICK_MS);

/// All connections, by the URL of their server. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    servers: BTreeMap<String, mpsc::Sender<Pipe>>,
    weather: BTreeMap<String, Weather>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    url: String,
    ways: [Arc<Mutex<Way>>; 2],
}

/// One direction of a connection.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts of a pipe")]
struct Way {
    /// The written bytes, each with its age in ticks.
    flying: VecDeque<(u64, Bytes)>,
    flying_bytes: usize,
    arrived: BytesMut,
    /// Set when the writer has closed it.
    is_shut: bool,
    /// Set when the reader has the end, or will have it after the bytes that have arrived.
    is_over: bool,
    /// Set when it was cut.
    is_cut: bool,
    /// Set when some of its bytes were lost: nothing that follows can be read.
    is_holed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Moves the bytes of one tick.
    fn pump(&mut self, weather: Weather) {
        let something = !self.flying.is_empty() || (self.is_shut && !self.is_over);
        self.flying.iter_mut().for_each(|(age, _)| *age += 1);
        match weather {
            Weather::Stalled => return,
            Weather::Cut => self.is_cut = true,
            Weather::HalfOpen if something => self.is_holed = true,
            Weather::Fair | Weather::Bytewise | Weather::HalfOpen => {}
        }
        let mut room = if weather == Weather::Bytewise { DRIP } else { usize::MAX };
        while let Some((age, bytes)) = self.flying.front_mut() {
            if *age < 2 || room == 0 {
                break;
            }
            let taken = bytes.split_to(bytes.len().min(room));
            room -= taken.len();
            self.flying_bytes -= taken.len();
            if !self.is_holed {
                self.arrived.extend_from_slice(&taken);
            }
            if bytes.is_empty() {
                self.flying.pop_front();
            }
        }
        self.is_over |= self.is_shut && self.flying.is_empty() && !self.is_holed;
        if something || self.is_cut {
            self.wake();
        }
    }
}

impl Network {
    /// Moves the bytes of all connections, or does not, by their link.
    pub(crate) fn pump(&self) {
        let mut state = self.0.lock();
        let State { weather, connections, .. } = &mut *state;
        // Both ends are gone.
        connections.retain(|held| held.ways.iter().any(|way| Arc::strong_count(way) > 1));
        for connection in connections.iter() {
            let weather = weather.get(&connection.url).copied().unwrap_or(Weather::Fair);
            for way in &connection.ways {
                way.lock().pump(weather);
            }
        }
    }

    /// Sets the state of the links to this server from now on.
    pub(crate) fn set(&self, url: &str, weather: Weather) {
        self.0.lock().weather.insert(url.to_owned(), weather);
    }

    /// Returns the connections to this URL from now on.
    pub(crate) fn listen(&self, url: &str) -> mpsc::Receiver<Pipe> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.0.lock().servers.insert(url.to_owned(), sender);
        receiver
    }

    fn connect(&self, url: &str) -> io::Result<Pipe> {
        let mut state = self.0.lock();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        if state.weather.get(url) == Some(&Weather::Cut) {
            return Err(refused());
        }
        let ways: [Arc<Mutex<Way>>; 2] = [Arc::default(), Arc::default()];
        let [there, back] = &ways;
        let server = Pipe { read: Arc::clone(there), write: Arc::clone(back) };
        let client = Pipe { read: Arc::clone(back), write: Arc::clone(there) };
        let listener = state.servers.get(url).ok_or_else(refused)?;
        listener.try_send(server).map_err(|_| refused())?;
        state.connections.push(Connection { url: url.to_owned(), ways });
        Ok(client)
    }
}

impl Dialer for Network {
    fn dial(&self, url: &str, _: &http::Uri) -> Dialed {
        let (network, url) = (self.clone(), url.to_owned());
        Box::pin(async move {
            tokio::time::sleep(HANDSHAKE).await;
            loop {
                let weather = network.0.lock().weather.get(&url).copied();
                if !matches!(weather, Some(Weather::Stalled | Weather::HalfOpen)) {
                    break;
                }
                // Who asks has a deadline for it.
                tokio::time::sleep(HANDSHAKE).await;
            }
            network.connect(&url).map(|pipe| Box::new(pipe) as Box<dyn Wire>)
        })
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: Arc<Mutex<Way>>,
    write: Arc<Mutex<Way>>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut write = self.write.lock();
        write.is_shut = true;
        drop(write);
        // Nobody reads it any more: whoever writes to it hears so.
        let mut read = self.read.lock();
        read.is_cut = true;
        read.wake();
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut way = self.read.lock();
        if way.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !way.arrived.is_empty() {
            let count = way.arrived.len().min(buffer.remaining());
            buffer.put_slice(&way.arrived[..count]);
            way.arrived.advance(count);
            return Poll::Ready(Ok(()));
        }
        if way.is_over {
            return Poll::Ready(Ok(()));
        }
        way.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.write.lock();
        if way.is_cut || way.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = FLYING_MAX.saturating_sub(way.flying_bytes + way.arrived.len());
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = room.min(bytes.len());
        way.flying.push_back((0, Bytes::copy_from_slice(&bytes[..count])));
        way.flying_bytes += count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.lock().is_shut = true;
        Poll::Ready(Ok(()))
    }
}
