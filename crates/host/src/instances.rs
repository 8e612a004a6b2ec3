//! Instances behind HTTP routes: made on demand, used for many requests, several at once, and dropped in time.

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

/// Given to an instance beyond the request timeout, so that the request's own timeout answers first.
const GRACE: Duration = Duration::from_millis(250);

/// Serves the requests of one component.
pub type Handler = ProxyHandler<Instances>;

/// Makes the instances of one component.
pub struct Instances {
    component: Arc<Component>,
    service: ServicePre<State>,
    limits: Arc<Limits>,
    origin: Authority,
}

impl Instances {
    /// Instances of `component`, which `service` is the code of. `origin` is where the application serves HTTP.
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

/// A request's place among those in work. The component's side and the client's side each hold it until they are done,
/// so that a client who leaves does not make room for another request while the first still runs.
pub type Place = Arc<OwnedSemaphorePermit>;

/// How one instance is used.
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

/// When an instance ends that has nothing to do, or that does not come to an end by itself.
pub struct Expiration {
    busy: Duration,
    idle: Duration,
    /// Fires at least once in `idle`, and then looks at what the instance is about. Setting it anew on every poll
    /// would be exact and slow.
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
        let limit = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.busy,
        };
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let now = Instant::now();
            let end = start + limit;
            if now >= end {
                return Poll::Ready(());
            }
            let next = end.min(now + self.idle.min(self.busy));
            self.alarm.set(sleep_until(TokioInstant::from_std(next)));
        }
    }
}
