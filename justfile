# Every step of development and of CI, each by one name: no step exists only in CI.
# `./just` runs this file on a machine that has nothing but cargo.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

# One folder for the host, one inside it for all guests (see scripts/guest-toolchain).
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
plugins := "--manifest-path plugins/Cargo.toml --target-dir " + quote(target / "guests")
fixtures := "--manifest-path tests/fixtures/Cargo.toml --target-dir " + quote(target / "guests")

# Lists the recipes
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Starts the host on this folder's three TOML files, with its data in ./data; ARGS go to `serve`
run *ARGS: setup build-plugins
    cargo build --package conductor --bin conductor
    @CONDUCTOR_CONFIG_DIR="${CONDUCTOR_CONFIG_DIR:-.}" CONDUCTOR_DATA_DIR="${CONDUCTOR_DATA_DIR:-data}" \
        exec {{ quote(target / "debug/conductor") }} serve "$@"

# Runs every test; with ARGS (a filter, say) only the host's, and ARGS go to the test runner
test *ARGS: setup build-plugins build-fixtures
    scripts/test "$@"

# Everything that must hold before a change lands, cheapest first; the tests come last
ci: setup fmt-check check-locks check-wit build-plugins build-fixtures lint check-deps openapi-check (fuzz-api "10") peers-email peers-emulators test

# The channel email against mail servers that are not ours, those that are here or that pip brings
peers-email: setup build-plugins
    cargo build --package conductor --bin conductor
    @scripts/peers-email

# Slack, Telegram and Twilio against emulators that npm brings; skipped where it cannot
peers-emulators: setup build-plugins
    cargo build --package conductor --bin conductor
    @scripts/peers-emulators

# Channels against servers that are not ours: mocks that check requests by the providers' published descriptions
peers: peers-email peers-emulators
    @scripts/peers
    @scripts/peers-chat
    @scripts/peers-push

# Proves docs/RELIABILITY.md at length, by ROUNDS of kills and the rest in proportion; `test` does so in short
prove ROUNDS="200": setup build-plugins build-fixtures
    @scripts/prove "$1"

# Fuzzes what reads foreign bytes, each of TARGETS (all) for SECONDS; `test` runs the same bodies in short
fuzz SECONDS="60" *TARGETS: setup build-plugins
    @scripts/fuzz "$@"

# Asks a running host what docs/openapi.json allows and much that it does not, EXAMPLES for each operation
fuzz-api EXAMPLES="100": setup build-plugins
    cargo build --package conductor --bin conductor
    @scripts/fuzz-api "$1"

# Measures the host, optimised; ARGS choose the benchmarks
bench *ARGS: setup build-plugins build-fixtures
    # The dev profile has its dependencies optimised already: only our own crate is built again.
    CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false \
        CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false \
        cargo bench --profile dev --package conductor --bench conductor -- "$@"

# Builds an optimised binary to hand out: target/release/conductor
release: setup build-plugins
    cargo build --release --locked --package conductor --bin conductor

# Builds the shipped channels to plugins/dist
build-plugins:
    @scripts/build-plugins

# Builds the hostile guests of the test suite to tests/fixtures/dist
build-fixtures:
    @scripts/build-fixtures

# Formats all Rust code
fmt:
    cargo fmt --all
    if [ -f plugins/Cargo.toml ]; then cargo fmt --all --manifest-path plugins/Cargo.toml; fi
    if [ -f tests/fixtures/Cargo.toml ]; then cargo fmt --all --manifest-path tests/fixtures/Cargo.toml; fi
    cargo fmt --manifest-path fuzz/Cargo.toml

# Fails when Rust code is not formatted
fmt-check:
    cargo fmt --all --check
    if [ -f plugins/Cargo.toml ]; then cargo fmt --all --check --manifest-path plugins/Cargo.toml; fi
    if [ -f tests/fixtures/Cargo.toml ]; then cargo fmt --all --check --manifest-path tests/fixtures/Cargo.toml; fi
    cargo fmt --check --manifest-path fuzz/Cargo.toml

# Clippy for the host and (natively) the guests, and a look at the shell scripts; warnings fail
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    if [ -f plugins/Cargo.toml ]; then cargo clippy {{ plugins }} --workspace --all-targets -- -D warnings; fi
    if [ -f tests/fixtures/Cargo.toml ]; then cargo clippy {{ fixtures }} --workspace -- -D warnings; fi
    scripts/check-shell

# Licences, banned crates and sources of all dependencies, and known vulnerabilities
check-deps:
    scripts/check-deps

# Fails when a lock file does not fit its manifests
check-locks:
    cargo metadata --locked --format-version 1 >/dev/null
    if [ -f plugins/Cargo.toml ]; then cargo metadata --locked --format-version 1 --manifest-path plugins/Cargo.toml >/dev/null; fi
    if [ -f tests/fixtures/Cargo.toml ]; then cargo metadata --locked --format-version 1 --manifest-path tests/fixtures/Cargo.toml >/dev/null; fi
    cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null

# The rules of the WIT packages: published versions are frozen, copies are equal
check-wit:
    scripts/check-wit

# Writes docs/openapi.json from the code
openapi:
    mkdir -p docs
    cargo run --quiet --package conductor --bin conductor -- openapi >{{ quote(target / "openapi.json") }}
    mv {{ quote(target / "openapi.json") }} docs/openapi.json

# Fails when docs/openapi.json is not what the code says
openapi-check:
    cargo run --quiet --package conductor --bin conductor -- openapi \
        | diff -u docs/openapi.json - || { echo "docs/openapi.json drifted: run ./just openapi" >&2; exit 1; }

# Removes ./data: the queue, the history and the caches of `./just run`
clean-data:
    rm -rf data

# Looks for what every other recipe needs, and on Debian as root installs it
[private]
setup:
    @scripts/setup
