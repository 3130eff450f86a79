//! Measures the shop under load, with and without the cache: `load [requests] [connections]`.
//!
//! Starts the server beside this program twice, the second time with the profile `uncached`. Each connection is a
//! thread that asks for one product after the other, Zipf-distributed over 1 000, and every 500th request renames the
//! product instead. Prints requests per second, p50 and p99 of the latency, the share of hits, and the server's CPU time
//! per request where `/proc` is there.
#![expect(clippy::disallowed_methods, reason = "it measures time, and caches nothing by it")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let requests = arguments.next().transpose()?.unwrap_or(40_000);
    let connections = arguments.next().transpose()?.unwrap_or(16).max(1);
    println!("{requests} requests over {connections} connections, products Zipf-distributed, 1 in 500 writes\n");
    println!("| | requests/s | p50 | p99 | hits | CPU per request |");
    println!("|---|--:|--:|--:|--:|--:|");
    for (name, profile) in [("without the cache", Some("uncached")), ("with `#[retain]`", None)] {
        let folder = tempfile::tempdir()?;
        let server = Server::start(profile, &folder.path().join("shop.db"))?;
        load(&server.address, connections * 50, connections)?; // warms connections, allocator and page cache
        let (cpu, before) = (server.cpu(), server.stats()?);
        let begun = Instant::now();
        let mut latencies = load(&server.address, requests, connections)?;
        let seconds = begun.elapsed().as_secs_f64();
        let (cpu, after) = (server.cpu().zip(cpu).map(|(after, before)| after - before), server.stats()?);
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let of = |name: &str| (after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0)) as f64;
        let hits = of("hits") / (of("hits") + of("misses") + of("uncached")).max(1.0);
        let cpu =
            cpu.map_or("unknown".to_owned(), |cpu| format!("{:.0} µs", cpu.as_secs_f64() * 1e6 / requests as f64));
        println!(
            "| {name} | {:.0} | {:.2} ms | {:.2} ms | {:.1} % | {cpu} |",
            requests as f64 / seconds,
            at(0.5),
            at(0.99),
            hits * 100.0
        );
        server.stop()?;
    }
    Ok(())
}

/// The server, a process of its own.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(profile: Option<&str>, database: &Path) -> Result<Server> {
        let program = std::env::current_exe()?.with_file_name(format!("retainit-axum{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(&program);
        command.arg("127.0.0.1:0").arg(database).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped());
        command.env_remove("RETAINIT_PROFILE").envs(profile.map(|profile| ("RETAINIT_PROFILE", profile)));
        let mut child = command.spawn().map_err(|error| {
            format!(
                "{} cannot be started ({error}); build it: cargo build --release -p retainit-axum",
                program.display()
            )
        })?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("its output is not there")?).read_line(&mut line)?;
        match line.trim().strip_prefix("http://") {
            Some(address) => Ok(Server { child, address: address.to_owned() }),
            None => Err(format!("the server ended with {}", child.wait()?).into()),
        }
    }

    fn stats(&self) -> Result<serde_json::Value> {
        let (status, body) = Connection::open(&self.address)?.ask("GET", "/stats")?;
        match status {
            200 => Ok(serde_json::from_slice(&body)?),
            status => Err(format!("/stats answered {status}").into()),
        }
    }

    /// Returns the CPU time of the process so far, user and system, in ticks of 10 ms. `None` where there is no `/proc`.
    fn cpu(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(10 * ticks))
    }

    fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends requests over connections side by side and returns the latencies of all.
fn load(address: &str, requests: usize, connections: usize) -> Result<Vec<Duration>> {
    std::thread::scope(|scope| {
        let each = requests.div_ceil(connections);
        let one = move |seed: usize| -> Result<Vec<Duration>> {
            let (mut connection, mut random) = (Connection::open(address)?, fastrand::Rng::with_seed(seed as u64));
            (0..each)
                .map(|n| {
                    let id = zipf(&mut random);
                    let begun = Instant::now();
                    let (status, _) = match n % 500 {
                        499 => connection.ask("PUT", &format!("/products/{id}/name/product-{n}"))?,
                        _ => connection.ask("GET", &format!("/products/{id}"))?,
                    };
                    match status {
                        200 | 204 => Ok(begun.elapsed()),
                        status => Err(format!("product {id} answered {status}").into()),
                    }
                })
                .collect()
        };
        let threads: Vec<_> = (0..connections).map(|seed| scope.spawn(move || one(seed))).collect();
        let mut latencies = Vec::with_capacity(requests);
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| "a connection's thread has panicked")??);
        }
        Ok(latencies)
    })
}

/// Draws a product: Zipf with exponent 1 over 1 000, by the inverse of the continuous distribution.
fn zipf(random: &mut fastrand::Rng) -> u64 {
    (1_000_f64.powf(random.f64()) as u64).min(999)
}

/// A connection that is kept.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: &str) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends a request without a body and returns status and body of the answer.
    fn ask(&mut self, method: &str, path: &str) -> Result<(u16, Vec<u8>)> {
        write!(self.0.get_mut(), "{method} {path} HTTP/1.1\r\nhost: shop\r\n\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status line")?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }
}
