# Two fixed command lines, so that cargo's cache serves every call: light (what users build by default) and heavy (all
# features, in a target folder of its own).

light := "--workspace --locked"
heavy := "--workspace --locked --all-features"
heavy_target := justfile_directory() / "target-heavy"

# What is there.
default:
    @just --list

# Before every commit, under two minutes on a warm tree: format, lints, unit tests and the suites through the public API.
check:
    cargo fmt --all --check
    cargo clippy {{ light }} --all-targets -- -D warnings
    cargo test {{ light }} --lib
    cargo test -p retainit --locked --test it --test tidy

# Everything: `test`, all features, each feature alone, benches compile.
check-all: test check-features
    CARGO_TARGET_DIR={{ heavy_target }} cargo clippy {{ heavy }} --all-targets -- -D warnings
    CARGO_TARGET_DIR={{ heavy_target }} cargo test {{ heavy }}
    CARGO_TARGET_DIR={{ heavy_target }} cargo bench {{ heavy }} --no-run

# The facade with each feature alone, and with none.
check-features:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo clippy -p retainit --no-default-features --locked -- -D warnings
    for feature in $(sed -n '/^\[features\]/,/^\[[^f]/s/^\([a-z0-9_-]*\) = .*/\1/p' Cargo.toml); do
        echo "== $feature"
        cargo clippy -p retainit --no-default-features --features "$feature" --locked -- -D warnings
    done

# The documentation, where every warning is an error.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc {{ light }} --no-deps

# Default features resolve beside other crates that link SQLite, and the disk backend works with the oldest of its range.
beside:
    ./scripts/resolve
    ./scripts/oldest

# The README's test command: format, lints, every test, documentation.
test:
    ./scripts/test

# Which lines the tests run: a list, and a page in target/coverage. Fails below 90 %. CI runs `test` and this.
coverage:
    ./scripts/coverage

# Mutation testing: which changes of a package's code its tests do not find. Needs `cargo install cargo-mutants`.
mutants package="retainit-memory" *arguments:
    cargo mutants --package {{ package }} --output target/mutants --timeout 60 {{ arguments }}

# Formats everything.
fmt:
    cargo fmt --all

# Runs a bench; `just bench hit` is the one of the README.
bench name="hit" *arguments:
    cargo bench --bench {{ name }} -- {{ arguments }}

# Records where a bench spends its time; needs Linux `perf`.
profile name="hit" *arguments:
    perf record --call-graph dwarf --output target/perf.data cargo bench --bench {{ name }} -- {{ arguments }}
    perf report --input target/perf.data

# Measures a hit and a miss on each backend, in time and allocations, and prints the counters.
hit-report:
    cargo bench --bench report

# Begins a backend in plugins/backends and names it wherever backends are named: `just new-backend foo`.
new-backend name:
    ./scripts/new-backend "{{ name }}"
