//! The memory backend against the suite that every object backend has to pass.

use std::sync::Arc;

use retainit_memory::MemoryConfig;
use retainit_plugin::{BackendConfig, Built, Context, ObjectBackend};
use retainit_testkit::conformance;

/// Runs the suite. The backend offers everything the suite tests, so no case may be skipped.
fn conforms(config: MemoryConfig) {
    let make = move |context: Context| -> Arc<dyn ObjectBackend> {
        match config.build(context).expect("the configuration is valid") {
            Built::Object(backend) => backend,
            other => panic!("an object backend was expected, not {other:?}"),
        }
    };
    assert_eq!(conformance::object(make).skipped, []);
}

// C-18
#[test]
fn the_default_store_conforms() {
    conforms(MemoryConfig::new());
}

// R-29, T-25
#[test]
fn the_lru_store_conforms() {
    conforms(MemoryConfig::new().policy("lru"));
}

// C-25
#[test]
fn the_strict_store_conforms() {
    conforms(MemoryConfig::new().strict(true));
}

#[test]
fn stores_bounded_in_bytes_conform() {
    let bounded = MemoryConfig::new().max_bytes(64 << 20);
    conforms(bounded.clone());
    conforms(bounded.clone().policy("lru"));
    conforms(bounded.strict(true));
}
