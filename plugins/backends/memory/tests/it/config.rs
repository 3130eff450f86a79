use std::sync::Arc;
use std::time::Duration;

use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{BackendConfig, ErrorKind, Part, Ttl, linked_plugins};

use crate::common::{Ear, Short, build, context};

// T-19
#[test]
fn every_problem_is_reported_at_once() {
    let config =
        MemoryConfig::new().max_entries(0).max_bytes(0).ttl("5 minutes").jitter(1.5).max_idle("off").policy("lfu");
    let error = config.build(context(Arc::new(Ear::default()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    for part in ["max_entries:", "max_bytes:", "ttl:", "jitter:", "max_idle:", "policy:", "\"lfu\""] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    let mended = config.max_size(5).max_bytes(5).ttl(-1).jitter(f64::NAN).policy(Policy::Lru);
    let text = mended.build(context(Arc::new(Ear::default()))).unwrap_err().to_string();
    assert!(text.contains("ttl:") && text.contains("jitter:") && !text.contains("policy"));
}

#[test]
fn settings_are_what_was_set() {
    let none = MemoryConfig::new().settings();
    assert_eq!((none.ttl, none.jitter, none.idle), (None, None, None));
    let set = MemoryConfig::new().ttl("1m").jitter(0.2).max_idle(600).settings();
    assert_eq!(set.ttl, Some(Ttl::For(Duration::from_secs(60))));
    assert_eq!((set.jitter, set.idle), (Some(0.2), Some(Duration::from_secs(600))));
    assert_eq!(MemoryConfig::new().max_idle("never").settings().idle, None);
}

#[test]
fn the_default_holds_ten_thousand_entries_at_most() {
    let (memory, _) = build(&MemoryConfig::default());
    (0..30_000u64).for_each(|key| memory.put(&key.to_be_bytes(), key));
    assert!(memory.len() <= 10_000 && memory.len() > 9_000, "{}", memory.len());
    assert!(!memory.weighs());
}

#[test]
fn it_is_registered_as_memory() {
    let found = linked_plugins().find(|backend| backend.name == "memory").unwrap();
    assert_eq!(found.origin, "retainit-memory");
    let Part::Backend(default) = found.part else { panic!("{found:?}") };
    let (config, fields) = (default(), default().fields());
    assert_eq!(config.type_name(), "memory");
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let expected = ["max_entries", "max_bytes", "ttl", "jitter", "max_idle", "policy", "strict"];
    assert_eq!(names, expected);
    assert_eq!(fields[0].aliases, ["max_size"]);
}

#[test]
fn what_it_declares() {
    for config in [MemoryConfig::new(), MemoryConfig::new().policy(Policy::Lru)] {
        let (memory, _) = build(&config);
        let abilities = memory.capabilities();
        assert_eq!(abilities.names(), ["fences", "scan", "set_if_absent", "function_bounds"]);
    }
}
