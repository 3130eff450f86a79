//! Finds out which servers there are, so that tests which need one that is missing are shown as ignored.

use std::env;
use std::path::PathBuf;

/// The programs that `scripts/servers` installs, each with the name of the `cfg` that says it is there.
const PROGRAMS: [(&str, &str); 3] =
    [("redis-server", "has_redis"), ("valkey-server", "has_valkey"), ("toxiproxy-server", "has_toxiproxy")];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let workspace = here.ancestors().nth(2).expect("this package is two folders below the workspace");
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let mut folders: Vec<PathBuf> = target.map(|target| target.join("tools/bin")).into_iter().collect();
    folders.push(workspace.join("target/tools/bin"));
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    // What is required and missing is no reason to ignore a test: it fails, and says so.
    let is_required = env::var_os("TEST_SERVERS").is_some_and(|said| said == "required");
    let mut has_redis = is_required;
    for (program, cfg) in PROGRAMS {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.exists());
        // Without the file cargo runs this again each time, and so sees when it is installed.
        let watched = found.clone().unwrap_or_else(|| workspace.join("target/tools/bin").join(program));
        println!("cargo::rerun-if-changed={}", watched.display());
        has_redis |= cfg == "has_redis" && found.is_some();
        // There is nothing to put a proxy in front of without a server.
        if is_required || (found.is_some() && has_redis) || (found.is_some() && cfg == "has_valkey") {
            println!("cargo::rustc-cfg={cfg}");
        }
        if let Some(found) = found {
            let name = program.to_uppercase().replace('-', "_");
            println!("cargo::rustc-env={name}={}", found.display());
        }
    }
    println!("cargo::rerun-if-env-changed=TEST_SERVERS");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    println!("cargo::rerun-if-env-changed=PATH");
}
