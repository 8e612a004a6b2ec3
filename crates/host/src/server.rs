//! Starts the application, serves it, and stops it in order.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::application::{Application, Loaded};
use crate::connection::{Activity, Overdue, Transport, raw};
use crate::engine;
use crate::http::{Service, Target};
use crate::instances::Instances;
use crate::log;
use crate::mounts;
use crate::options::{Limits, Options, TriggerKind};
use crate::problem::Problem;
use crate::redis_trigger::{Bell, Trigger};
use crate::routes::Router;

/// The most connections that wait for the accept loop. A flash sale begins with a burst of them.
const BACKLOG: u32 = 4096;
/// When less than one in this many connections is free, idle ones are closed early.
const CROWDED: usize = 16;
/// How often the host checks whether the client of a connection is too slow.
const CHECK: Duration = Duration::from_secs(1);
/// The most bytes of a request's line and headers. A larger head gets status 431.
const LARGEST_HEAD: usize = 64 * 1024;
/// How long a client may go on sending a request that was refused, and how many bytes of it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// The pause after a failed accept. Most likely the host has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Runs the application until SIGTERM or SIGINT. Prints `Serving http://…` when it serves.
///
/// # Errors
/// Fails if the application can't start.
pub async fn run(options: Options) -> Result<()> {
    allow_many_connections();
    let application = Application::read(&options)?;
    let limits = Arc::new(options.limits.clone());
    let has = |kind| options.triggers.contains(&kind);
    // Open the port first, so that a port in use is reported before anything is compiled.
    let listener = if has(TriggerKind::Http) { Some(listen(options.listen)?) } else { None };

    let engine = engine::new(&limits)?;
    let loaded = tokio::task::block_in_place(|| application.load(&options, &engine))?;
    let mut signals = Signals::new()?;
    let (stop, stopped) = watch::channel(false);
    // Every part that must end before the host holds a clone of `alive`. When the last is dropped, `all_done` ends.
    let (alive, mut all_done) = mpsc::channel::<()>(1);

    if has(TriggerKind::Redis) {
        for trigger in redis_triggers(&application, &loaded, &limits)? {
            let (stopped, alive) = (stopped.clone(), alive.clone());
            tokio::spawn(async move {
                trigger.run(stopped).await;
                drop(alive);
            });
        }
    }

    if let Some(listener) = listener {
        let router = router(&application, &loaded, &limits, &origin(listener.local_addr()?)?)?;
        let service = Arc::new(Service::new(router, limits.clone()));
        println!("Serving http://{}", listener.local_addr()?);
        tokio::spawn(accept(listener, service, limits.clone(), stopped, alive.clone()));
    } else {
        println!("Serving Redis triggers");
    }

    signals.next().await;
    _ = stop.send(true);
    drop(alive);
    let drained = timeout(limits.drain_timeout, all_done.recv()).await;
    if drained.is_err() {
        log::warn(None, "some requests were still running at the end of the drain timeout");
    }
    mounts::clean_up(application.state_dir(), loaded.into_keys());
    Ok(())
}

/// The triggers of all Redis servers, not yet connected.
fn redis_triggers(
    application: &Application,
    loaded: &HashMap<String, Loaded>,
    limits: &Arc<Limits>,
) -> Result<Vec<Arc<Trigger>>> {
    let mut triggers = Vec::new();
    for (address, channels) in application.channels()? {
        let mut bells = Vec::new();
        for (channel, id) in channels {
            let (component, code) = &loaded[id];
            let bell = Bell::new(channel.to_owned(), component.clone(), code.clone());
            bells.push(bell.with_context(|| format!("component `{id}` does not handle Redis messages"))?);
        }
        triggers.push(Arc::new(Trigger::new(address, bells, limits.clone())));
    }
    Ok(triggers)
}

/// The public routes, each with the instances of its component.
fn router(
    application: &Application,
    loaded: &HashMap<String, Loaded>,
    limits: &Arc<Limits>,
    origin: &Authority,
) -> Result<Router<Target>> {
    let mut targets = Vec::new();
    for (route, id) in application.routes() {
        let (component, code) = &loaded[id];
        let service = ServicePre::new(code.clone())
            .map_err(|error| anyhow!("component `{id}` does not handle wasi:http requests: {error:#}"))?;
        let instances = Instances::new(component.clone(), service, limits.clone(), origin.clone());
        let handler = ProxyHandler::new(instances);
        targets.push((route.to_owned(), Target::new(route, component.id.clone(), handler)?));
    }
    Router::new(targets)
}

/// The address where the application reaches itself: the one it listens on, or the loopback if it listens on all.
fn origin(address: SocketAddr) -> Result<Authority> {
    let mut address = address;
    if address.ip().is_unspecified() {
        let loopback: IpAddr =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    Ok(address.to_string().parse()?)
}

/// Raises the limit on open files. The usual 1024 is for programs that wait with `select`; a crowd needs more.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        log::warn(None, &format!("the limit on open files can't be raised: {error}"));
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| anyhow!("can't listen on {address}: {error}"))
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    limits: Arc<Limits>,
    mut stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            accepted = async {
                let permit = connections.clone().acquire_owned().await;
                (listener.accept().await, permit)
            } => accepted,
        };
        let (Ok((stream, peer)), Ok(permit)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let occupancy = Occupancy { free: connections.clone(), most: limits.max_connections };
        let connection =
            serve_connection(stream, peer, service.clone(), limits.clone(), occupancy, stopped.clone());
        let alive = alive.clone();
        tokio::spawn(async move {
            connection.await;
            drop((permit, alive));
        });
    }
}

/// How many connections are free.
struct Occupancy {
    free: Arc<Semaphore>,
    most: usize,
}

impl Occupancy {
    /// Whether nearly all connections are in use, so that new clients wait or soon will.
    fn is_crowded(&self) -> bool {
        self.free.available_permits() * CROWDED < self.most
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    limits: Arc<Limits>,
    occupancy: Occupancy,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it, a client that delays its acknowledgements holds up a response of two writes by 40 ms.
    _ = stream.set_nodelay(true);
    let activity = Activity::new();
    let watched = activity.clone();
    let serve = service_fn(move |request| {
        let (service, activity) = (service.clone(), activity.clone());
        Box::pin(async move {
            activity.begin();
            let response = service.serve(request, peer).await;
            activity.end();
            Ok::<_, std::convert::Infallible>(response)
        })
    });
    let transport = Transport::new(stream, watched.clone());
    let mut connection = http1::Builder::new().max_buf_size(LARGEST_HEAD).serve_connection(transport, serve);
    let mut check = interval(CHECK.min(limits.read_timeout / 2).max(Duration::from_millis(10)));
    let mut draining = false;
    let overdue = loop {
        tokio::select! {
            // It does not matter how the connection ended.
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break None,
            _ = stopped.wait_for(|stopped| *stopped), if !draining => {
                draining = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
            _ = check.tick() => {
                if let Some(overdue) = watched.overdue(limits.read_timeout, occupancy.is_crowded()) {
                    break Some(overdue);
                }
            }
        }
    };
    let transport = connection.into_parts().io;
    let refused = transport.refused();
    let mut stream = transport.into_inner();
    if overdue == Some(Overdue::Head) {
        _ = stream.write_all(&raw(Problem::RequestTimeout)).await;
    }
    _ = stream.shutdown().await;
    if refused {
        // If the host closed the connection with unread bytes, the kernel would discard the response on its way.
        _ = timeout(LINGER, discard(stream)).await;
    }
}

/// Reads and forgets what a client still sends, up to [`LINGER_BYTES`].
async fn discard(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    let mut left = LINGER_BYTES;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

/// The signals that end the host.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
