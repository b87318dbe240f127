//! Tests of heads that never end, idle connections, and the server's shutdown.

use tokio::time::Instant;

use super::*;

/// Sends bytes one at a time until the server closes the connection.
async fn drip(socket: &mut TcpStream, bytes: &[u8]) {
    let (mut reader, mut writer) = socket.split();
    let drip = async {
        for byte in bytes.iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut rest = Vec::new();
    let read = async { reader.read_to_end(&mut rest).await.ok() };
    // Whichever ends first decides; the end of reading means that the server closed the connection.
    let hung_up = async {
        tokio::select! {
            _ = read => {}
            () = drip => {}
        }
    };
    timeout(STUCK, hung_up).await.unwrap();
}

#[tokio::test]
async fn dripping_heads_are_cut_in_time() {
    let bounds = HttpLimits { header_read_timeout: SHORT, ..HttpLimits::default() };
    let served = TestServer::start(bounds).await;
    // A first line, an endless header, HTTP/2's preface without an end, and nothing.
    for bytes in ["G", "GET / HTTP/1.1\r\nx-long: aaaaaaaaaaaaaaaaaaaaaaaaaa", "PRI", ""] {
        let mut socket = served.socket().await;
        let begun = Instant::now();
        match bytes {
            "" => closed(&mut socket).await,
            bytes => drip(&mut socket, bytes.as_bytes()).await,
        }
        let took = begun.elapsed();
        assert!(took < SHORT * 5, "'{bytes}' was cut after {took:?}");
        assert!(bytes == "PRI" || took >= SHORT / 2, "'{bytes}' was cut after {took:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn later_heads_have_the_idle_time() {
    let bounds =
        HttpLimits { header_read_timeout: SHORT / 4, idle_timeout: SHORT, ..HttpLimits::default() };
    let served = TestServer::start(bounds).await;
    let mut socket = served.socket().await;
    assert_eq!(ask(&mut socket, "GET /hello", "", b"").await.status, 200);
    let begun = Instant::now();
    drip(&mut socket, b"GET /hello HTTP/1.1\r\nx-long: aaaaaaaaaaaaaaaaaaaaaaaaaaa").await;
    let took = begun.elapsed();
    assert!((SHORT / 2..SHORT * 5).contains(&took), "{took:?}");
    served.stop().await;
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    let served = TestServer::start(HttpLimits::default()).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(40 * 1024));
    for headers in [many, long] {
        let mut socket = served.socket().await;
        assert_eq!(ask(&mut socket, "GET /hello", &headers, b"").await.status, 431);
    }
    served.stop().await;
}

/// Sends requests until a connection is accepted. Some connections are refused with 429, the rest
/// are closed without a response.
async fn is_served_again(served: &TestServer) {
    let served_again = async {
        loop {
            let mut socket = served.socket().await;
            let request = b"GET /hello HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
            let mut text = Vec::new();
            if socket.write_all(request).await.is_ok()
                && socket.read_to_end(&mut text).await.is_ok()
                && text.starts_with(b"HTTP/1.1 200 ")
            {
                break;
            }
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(STUCK, served_again).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn peers_that_never_read_are_cut() {
    let bounds =
        HttpLimits { connections_max: 1, write_stall_timeout: SHORT, ..HttpLimits::default() };
    let served = TestServer::start(bounds).await;
    let mut stalled = served.socket().await;
    stalled.write_all(b"GET /flood HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    stalled.readable().await.unwrap();
    is_served_again(&served).await;
    drop(stalled);
    served.stop().await;
}

/// Excess connections get a 429 until another connection ends.
#[tokio::test]
async fn excess_connections_get_429() {
    let served =
        TestServer::start(HttpLimits { connections_max: 1, ..HttpLimits::default() }).await;
    let mut first = served.socket().await;
    assert_eq!(ask(&mut first, "GET /hello", "", b"").await.status, 200);
    for _ in 0..3 {
        let mut second = served.socket().await;
        let refused = ask(&mut second, "GET /hello", "", b"").await;
        assert_eq!((refused.status, &refused.problem()["reason"]), (429, &"OVERLOADED".into()));
        assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
        closed(&mut second).await;
    }
    assert_eq!(ask(&mut first, "GET /hello", "", b"").await.status, 200);
    drop(first);
    is_served_again(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn excess_silent_connections_expire() {
    let bounds =
        HttpLimits { connections_max: 2, header_read_timeout: SHORT, ..HttpLimits::default() };
    let served = TestServer::start(bounds).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(served.socket().await);
    }
    is_served_again(&served).await;
    served.stop().await;
}

/// The request gets a 500.
#[tokio::test]
async fn panics_end_one_request_only() {
    let served = TestServer::start(HttpLimits::default()).await;
    let mut socket = served.socket().await;
    let response = ask(&mut socket, "GET /panic", "", b"").await;
    assert_eq!((response.status, &response.problem()["reason"]), (500, &"INTERNAL".into()));
    assert!(!response.body.contains("planted"));
    assert_eq!(ask(&mut socket, "GET /hello", "", b"").await.status, 200);
    served.stop().await;
}

/// A request in progress gets its response.
#[tokio::test]
async fn shutdown_ends_idle_connections_first() {
    let mut served = TestServer::start(HttpLimits::default()).await;
    let (mut idle, mut fresh, mut busy) =
        (served.socket().await, served.socket().await, served.socket().await);
    assert_eq!(ask(&mut idle, "GET /hello", "", b"").await.status, 200);
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    served.reached.notified().await;
    let begun = Instant::now();
    served.shutdown.cancel();
    closed(&mut idle).await;
    closed(&mut fresh).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(is_silent(&mut busy, Duration::from_millis(20)).await);
    served.go.notify_one();
    let last = read_response(&mut busy).await;
    assert_eq!((last.status, last.body.as_str()), (200, "slow"));
    assert!(last.head.contains("connection: close"), "{last:?}");
    served.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    TcpStream::connect(served.address).await.unwrap_err();
}

/// No other timeout ends event streams.
#[tokio::test]
async fn event_streams_last_until_the_drain() {
    let bounds = HttpLimits {
        header_read_timeout: SHORT / 4,
        idle_timeout: SHORT / 4,
        body_read_timeout: SHORT / 4,
        drain_timeout: SHORT,
        ..HttpLimits::default()
    };
    let mut served = TestServer::start(bounds).await;
    let mut socket = served.socket().await;
    socket.write_all(b"GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let until = Instant::now() + SHORT * 3;
    let mut bytes = Vec::new();
    while Instant::now() < until {
        assert!(timeout(STUCK, socket.read_buf(&mut bytes)).await.unwrap().unwrap() > 0);
    }
    let begun = Instant::now();
    served.shutdown.cancel();
    closed(&mut socket).await;
    served.ended().await;
    assert!((SHORT / 2..SHORT * 5).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}
