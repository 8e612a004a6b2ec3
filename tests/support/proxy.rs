//! A network between two programs that a test can break: it cuts connections, stops answering, or is late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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
    countdown: Arc<Countdown>,
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
        let weather = Arc::new(weather);
        let countdown = Arc::new(Countdown { left: AtomicI64::new(i64::MAX), weather: weather.clone() });
        let forwarding = tokio::spawn(forward_all(listener, destination, forecast, countdown.clone()));
        Proxy { port, weather, countdown, target, forwarding }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections lead to this port of the loopback.
    pub fn lead_to(&self, port: u16) {
        self.target.send_replace(Some(SocketAddr::from(([127, 0, 0, 1], port))));
    }

    pub fn set(&self, weather: Weather) {
        self.countdown.left.store(i64::MAX, Ordering::SeqCst);
        self.weather.send_replace(weather);
    }

    /// Lets so many commands through to the server, and cuts the network with the next.
    ///
    /// A command is a piece of what clients send. A program that waits for each reply sends one at a time.
    pub fn cut_after(&self, commands: usize) {
        self.countdown.left.store(i64::try_from(commands).expect("a small number"), Ordering::SeqCst);
    }
}

/// Counts the commands that may still pass.
struct Countdown {
    left: AtomicI64,
    weather: Arc<watch::Sender<Weather>>,
}

impl Countdown {
    /// Whether one more command may pass. Cuts the network if not.
    fn allows_one_more(&self) -> bool {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return true;
        }
        self.weather.send_replace(Weather::Cut);
        false
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
    countdown: Arc<Countdown>,
) {
    // Connections end with the proxy.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (mut destination, weather) = (destination.clone(), weather.clone());
        let countdown = countdown.clone();
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
                () = forward(from_client, to_server, weather.clone(), Some(&countdown)) => {}
                () = forward(from_server, to_client, weather, None) => {}
            }
        });
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    countdown: Option<&Countdown>,
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
        if countdown.is_some_and(|countdown| !countdown.allows_one_more()) {
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
