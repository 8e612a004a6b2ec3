//! The instances behind HTTP routes. The host makes them on demand. Each serves many requests, several at once, and is
//! dropped when it is idle or has served enough.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::uri::Authority;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant as TokioInstant, Sleep, sleep, sleep_until};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use crate::component::Component;
use crate::log;
use crate::options::Limits;
use crate::state::State;

/// How much longer than the request timeout an instance may run, so that the request's own timeout ends it first.
const GRACE: Duration = Duration::from_millis(250);

/// Passes requests to the instances of one component.
pub type Handler = ProxyHandler<Instances>;

/// Makes the instances of one component.
pub struct Instances {
    component: Arc<Component>,
    service: ServicePre<State>,
    limits: Arc<Limits>,
    origin: Authority,
}

impl Instances {
    /// `service` is the code of `component`. `origin` is the address where the application serves HTTP.
    pub fn new(
        component: Arc<Component>,
        service: ServicePre<State>,
        limits: Arc<Limits>,
        origin: Authority,
    ) -> Self {
        Self { component, service, limits, origin }
    }
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let mut store = State::store(&self.component, Some(&self.origin))?;
        let service = self.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: State::http,
            expiration: Expiration::new(&self.limits),
            state: Worker { component: self.component.clone(), limits: self.limits.clone() },
        })
    }
}

/// A permit of one request in work. The component's side and the client's side each hold it until they are done.
/// Otherwise a client that leaves would make room for another request while its first one still runs.
pub type Place = Arc<OwnedSemaphorePermit>;

/// Decides which requests one instance gets.
pub struct Worker {
    component: Arc<Component>,
    limits: Arc<Limits>,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = Place;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.limits.max_instance_reuse_count {
            ShouldAccept::Never
        } else if concurrent >= self.limits.max_instance_concurrent_reuse_count {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        place: Place,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let end = sleep(self.limits.request_timeout);
        Box::pin(async move {
            end.await;
            drop(place);
        })
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        drop(store);
        if let Err(error) = result {
            log::error(Some(&self.component.id), &format!("an instance ended: {error:#}"));
        }
    }
}

/// Decides when an instance ends: when it has been idle for too long, or busy for too long.
pub struct Expiration {
    busy: Duration,
    idle: Duration,
    /// Fires at least once in `idle`; then `poll` checks whether the time is over. To set it exactly at each poll would
    /// be slow.
    alarm: Pin<Box<Sleep>>,
}

impl Expiration {
    fn new(limits: &Limits) -> Self {
        let busy = limits.request_timeout + GRACE;
        let idle = limits.idle_instance_timeout;
        Self { busy, idle, alarm: Box::pin(sleep(idle.min(busy))) }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let timeout = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.busy,
        };
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            let end = start + timeout;
            if now >= end {
                return Poll::Ready(());
            }
            let next = end.min(now + self.idle.min(self.busy));
            self.alarm.set(sleep_until(TokioInstant::from_std(next)));
        }
    }
}
