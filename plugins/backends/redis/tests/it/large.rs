//! Large values.

use retainit_servers::Redis;

use crate::process::Process;

retainit_servers::needs!(redis: a_large_value_has_a_connection_of_its_own);

fn a_large_value_has_a_connection_of_its_own() {
    let redis = Redis::start();
    let process = Process::at(&redis.url());
    let connections = || redis.client().text(&["CLIENT", "LIST"]).matches("name=retainit:").count();
    process.fill("small", "value");
    assert_eq!(connections(), 1);
    process.fill("large", vec![7; 1 << 20]);
    assert_eq!(connections(), 2);
    assert_eq!(process.entry("large").map(|entry| entry.len()), Some(1 << 20));
    assert_eq!(process.entry("small").as_deref(), Some(&b"value"[..]));
    // Read by a process that does not know yet how large it is.
    let other = Process::at(&redis.url());
    assert_eq!(other.entry("large").map(|entry| entry.len()), Some(1 << 20));
}
