//! The state of one instance of a component: its WASI contexts, its open handles, and its component's grants.

use std::sync::Arc;

use http::uri::Authority;
use wasmtime::component::{HasData, ResourceTable};
use wasmtime::{Result, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::Component;
use crate::engine::EPOCHS_BEFORE_YIELD;
use crate::log::GuestOutput;
use crate::platform::outbound_http::OutboundHttp;

/// The most handles that one instance may have open at once, over all interfaces. A guest that leaks handles can't use
/// up the host's memory.
const MAX_HANDLES: usize = 16 * 1024;

/// The data of one instance's store.
pub struct State {
    /// The component that this is an instance of.
    pub component: Arc<Component>,
    /// Open handles.
    pub table: ResourceTable,
    limits: StoreLimits,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: OutboundHttp,
}

/// Tells Wasmtime that Spin's interfaces are implemented for [`State`].
pub struct Platform;

impl HasData for Platform {
    type Data<'a> = &'a mut State;
}

impl State {
    /// A new store for an instance of `component`. `origin` is the address where the application serves HTTP. Without
    /// it, the instance can't send requests to the application itself.
    pub fn store(component: &Arc<Component>, origin: Option<&Authority>) -> Result<Store<Self>> {
        let mut wasi = WasiCtxBuilder::new();
        let output = GuestOutput::new(component.id.clone());
        wasi.stdout(output.clone()).stderr(output);
        for (name, value) in &component.environment {
            wasi.env(name, value);
        }
        for mount in &component.mounts {
            // As in Spin, the guest can't write to directories or files.
            wasi.preopened_dir(&mount.source, &mount.destination, FsPerms::ReadOnly)?;
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let state = Self {
            component: component.clone(),
            table,
            limits: StoreLimitsBuilder::new().memory_size(component.max_memory).build(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: OutboundHttp::new(component.clone(), origin.cloned()),
        };
        let mut store = Store::new(&component.engine, state);
        store.limiter(|state| &mut state.limits);
        // A guest that computes without end yields at each epoch, so that its timeout can end it.
        store.set_epoch_deadline(EPOCHS_BEFORE_YIELD);
        store.epoch_deadline_async_yield_and_update(EPOCHS_BEFORE_YIELD);
        Ok(store)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}
