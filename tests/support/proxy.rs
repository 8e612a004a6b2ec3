//! A network between two programs that a test can break: it cuts connections, stops answering, or is late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How the network behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Every piece is late by so much.
    Slow(Duration),
    /// Connections are accepted and nothing passes.
    Silent,
    /// Connections are closed, also new ones.
    Cut,
}

/// Forwards TCP connections to a server of the test. Dropping it ends them.
pub struct Proxy {
    port: u16,
    weather: Arc<watch::Sender<Weather>>,
    target: watch::Sender<Option<SocketAddr>>,
    forwarding: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port. Connections wait until [`Proxy::lead_to`] names the server.
    pub async fn start() -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (weather, forecast) = watch::channel(Weather::Fine);
        let (target, destination) = watch::channel(None);
        let forwarding = tokio::spawn(forward_all(listener, destination, forecast));
        Proxy { port, weather: Arc::new(weather), target, forwarding }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections lead to this port of the loopback.
    pub fn lead_to(&self, port: u16) {
        self.target.send_replace(Some(SocketAddr::from(([127, 0, 0, 1], port))));
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward_all(
    listener: TcpListener,
    destination: watch::Receiver<Option<SocketAddr>>,
    weather: watch::Receiver<Weather>,
) {
    // Connections end with the proxy.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (mut destination, weather) = (destination.clone(), weather.clone());
        connections.spawn(async move {
            if *weather.borrow() == Weather::Cut {
                return;
            }
            let Ok(server) = destination.wait_for(Option::is_some).await.map(|address| *address) else {
                return;
            };
            let Some(server) = server else { return };
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // One direction's end is the connection's end.
            tokio::select! {
                () = forward(from_client, to_server, weather.clone()) => {}
                () = forward(from_server, to_client, weather) => {}
            }
        });
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = tokio::select! {
            read = from.read(&mut piece) => read.unwrap_or(0),
            _ = weather.wait_for(|now| *now == Weather::Cut) => return,
        };
        if length == 0 {
            return;
        }
        let late = match *weather.borrow() {
            Weather::Slow(late) => Some(late),
            _ => None,
        };
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        // What is under way when the network falls silent arrives later; what is under way when it is cut is lost.
        let silent_no_more = weather.wait_for(|now| *now != Weather::Silent).await.map(|now| *now);
        if silent_no_more.unwrap_or(Weather::Cut) == Weather::Cut
            || to.write_all(&piece[..length]).await.is_err()
        {
            return;
        }
    }
}
