//! Spin's interfaces in Rust, generated from `wit/`.

/// The interfaces that components import from Spin.
pub mod imports {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "host:platform/imports",
        imports: { default: async | trappable },
        with: {
            "spin:key-value/key-value.store": crate::platform::key_value::Store,
            "spin:redis/redis.connection": crate::platform::redis::Connection,
            "spin:sqlite/sqlite.connection": crate::platform::sqlite::Connection,
            "spin:postgres/postgres.connection": crate::platform::postgres::Connection,
            "spin:postgres/postgres.connection-builder": crate::platform::postgres::Builder,
        },
    });
}

/// The interface that a component behind a Redis channel exports.
pub mod trigger {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "host:platform/redis-trigger",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "spin:redis/redis": crate::bindings::imports::spin::redis::redis },
    });
}

pub use imports::spin;
