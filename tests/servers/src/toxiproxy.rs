use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::port::free_port;
use crate::process::Server;

/// A running Toxiproxy, whose proxies break the connections that go through them.
#[derive(Debug)]
pub struct Toxiproxy {
    _server: Server,
    api: u16,
}

/// A port of a Toxiproxy in front of a server.
#[derive(Debug)]
pub struct Proxy<'a> {
    toxiproxy: &'a Toxiproxy,
    name: String,
    port: u16,
}

impl Toxiproxy {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it does not start, with its log.
    pub fn start() -> Toxiproxy {
        let program = option_env!("TOXIPROXY_SERVER");
        let program = Path::new(program.unwrap_or_else(|| panic!("there is no toxiproxy-server: run scripts/servers")));
        let api = free_port();
        let arguments = |_: &Path| ["-host", "127.0.0.1", "-port", &api.to_string()].map(str::to_owned).to_vec();
        let server = Server::start("Toxiproxy", program, "Starting Toxiproxy HTTP server", arguments);
        let server = server.unwrap_or_else(|problem| panic!("{problem}"));
        // It says so just before it listens.
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", api)).is_ok() {
                return Toxiproxy { _server: server, api };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Toxiproxy does not listen on port {api}");
    }

    /// Opens a port that leads to `upstream`.
    pub fn proxy(&self, upstream: u16) -> Proxy<'_> {
        let port = free_port();
        let name = format!("to-{upstream}-{port}");
        let body = format!(
            r#"{{"name":"{name}","listen":"127.0.0.1:{port}","upstream":"127.0.0.1:{upstream}","enabled":true}}"#
        );
        self.request("POST", "/proxies", &body);
        Proxy { toxiproxy: self, name, port }
    }

    fn request(&self, method: &str, path: &str, body: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.api)).expect("it listens");
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}");
        write!(stream, "{head}\r\n\r\n{body}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('2'), "{method} {path} {body}: {answer}");
    }
}

impl Proxy<'_> {
    /// Returns the port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns a URL of Redis with this port.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Refuses connections, and ends those there are.
    pub fn refuse(&self) {
        self.toxiproxy.request("POST", &format!("/proxies/{}", self.name), r#"{"enabled":false}"#);
    }

    /// Accepts connections again.
    pub fn accept(&self) {
        self.toxiproxy.request("POST", &format!("/proxies/{}", self.name), r#"{"enabled":true}"#);
    }

    /// Adds a toxic of a type, with attributes in JSON, to what comes from the server; connections that are there have
    /// it too.
    pub fn poison(&self, toxic: &str, attributes: &str) {
        self.add(toxic, "downstream", attributes);
    }

    /// Adds a toxic to what goes to the server.
    pub fn poison_requests(&self, toxic: &str, attributes: &str) {
        self.add(toxic, "upstream", attributes);
    }

    fn add(&self, toxic: &str, stream: &str, attributes: &str) {
        let body =
            format!(r#"{{"name":"{toxic}-{stream}","type":"{toxic}","stream":"{stream}","attributes":{attributes}}}"#);
        self.toxiproxy.request("POST", &format!("/proxies/{}/toxics", self.name), &body);
    }

    /// Removes what [`poison`](Proxy::poison) added.
    pub fn heal(&self, toxic: &str) {
        self.toxiproxy.request("DELETE", &format!("/proxies/{}/toxics/{toxic}-downstream", self.name), "");
    }

    /// Delays what comes from the server by that many milliseconds.
    pub fn delay(&self, milliseconds: u32) {
        self.poison("latency", &format!(r#"{{"latency":{milliseconds},"jitter":0}}"#));
    }

    /// Lets nothing through and closes nothing: a black hole.
    pub fn swallow(&self) {
        self.poison("timeout", r#"{"timeout":0}"#);
        self.poison_requests("timeout", r#"{"timeout":0}"#);
    }

    /// Ends what [`swallow`](Proxy::swallow) began.
    pub fn release(&self) {
        for stream in ["downstream", "upstream"] {
            self.toxiproxy.request("DELETE", &format!("/proxies/{}/toxics/timeout-{stream}", self.name), "");
        }
    }
}
