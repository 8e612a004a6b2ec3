//! Sets up the Wasmtime engine: how components are compiled, and how instances get their memory.

use std::time::Duration;

use anyhow::Result;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

use crate::log;
use crate::options::{Allocator, Limits};

/// How often the epoch advances. A guest that computes without waiting lets others run this often.
const EPOCH: Duration = Duration::from_millis(10);
/// Epochs that a guest may compute before it yields.
pub const EPOCHS_BEFORE_YIELD: u64 = 1;

/// Makes the engine, and starts the thread that advances its epoch.
pub fn new(limits: &Limits) -> Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    let engine = match limits.allocator {
        Allocator::OnDemand => Engine::new(&config)?,
        Allocator::Pool => {
            let mut pooling = config.clone();
            pooling.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
            Engine::new(&pooling).or_else(|error| {
                // The pool reserves terabytes of address space, which not every machine allows.
                log::warn(
                    None,
                    &format!("no pool for instances, their memory is mapped on demand: {error:#}"),
                );
                Engine::new(&config)
            })?
        }
    };
    advance_epochs(engine.weak());
    Ok(engine)
}

/// The sizes of the pool. Each request in work may need an instance, and 64 more may still be cleaning up.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let instances = u32::try_from(limits.max_concurrency).unwrap_or(u32::MAX).saturating_add(64);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    // A component written in Rust has one core module, adapters for WASI, and shims between them.
    pool.total_core_instances(instances.saturating_mul(8));
    pool.total_memories(instances.saturating_mul(2));
    pool.total_tables(instances.saturating_mul(4));
    // Each call on an instance may need a stack of its own.
    pool.total_stacks(instances.saturating_mul(2));
    pool.max_memory_size(limits.max_instance_memory);
    pool.max_component_instance_size(4 * 1024 * 1024);
    pool.max_core_instance_size(4 * 1024 * 1024);
    pool.table_elements(64 * 1024);
    // Up to this size, memory that an instance used is zeroed and stays mapped for the next one. That is faster than
    // returning it to the system.
    pool.linear_memory_keep_resident(256 * 1024);
    pool.table_keep_resident(16 * 1024);
    pool.max_unused_warm_slots(128);
    pool
}

/// Advances the epoch on a thread that ends when the engine is dropped.
fn advance_epochs(engine: EngineWeak) {
    std::thread::spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    });
}
