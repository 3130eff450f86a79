use std::path::{Path, PathBuf};

use crate::port::free_port;
use crate::process::Server;
use crate::{Certificates, Client};

/// A program that speaks Redis' protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// `redis-server`.
    #[default]
    Redis,
    /// `valkey-server`.
    Valkey,
}

impl Program {
    fn path(self) -> &'static Path {
        let (name, path) = match self {
            Program::Redis => ("redis-server", option_env!("REDIS_SERVER")),
            Program::Valkey => ("valkey-server", option_env!("VALKEY_SERVER")),
        };
        Path::new(path.unwrap_or_else(|| panic!("there is no {name}: run scripts/servers")))
    }
}

/// Options of a server, before it is started.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    program: Program,
    settings: Vec<String>,
    with_socket: bool,
    tls: Option<PathBuf>,
}

impl RedisOptions {
    /// Chooses the program.
    #[must_use]
    pub fn program(mut self, program: Program) -> RedisOptions {
        self.program = program;
        self
    }

    /// Adds a line of the configuration file, such as `["maxmemory", "10mb"]`.
    #[must_use]
    pub fn set<'a>(mut self, setting: impl IntoIterator<Item = &'a str>) -> RedisOptions {
        let mut words = setting.into_iter();
        self.settings.push(format!("--{}", words.next().expect("a setting has a name")));
        self.settings.extend(words.map(str::to_owned));
        self
    }

    /// Listens on a unix socket too: the file `socket` in its folder.
    #[must_use]
    pub fn socket(mut self) -> RedisOptions {
        self.with_socket = true;
        self
    }

    /// Listens with TLS on [`Redis::tls_port`] too; certificates of clients are checked where they are sent.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> RedisOptions {
        self.tls = Some(certificates.folder().to_owned());
        self
    }

    /// Starts the server.
    ///
    /// # Panics
    ///
    /// If it does not start, with its log.
    pub fn start(self) -> Redis {
        let mut problem = String::new();
        // Somebody else may have taken the port between the look and the start.
        for _ in 0..5 {
            match self.try_start() {
                Ok(redis) => return redis,
                Err(text) if text.contains("Address already in use") => problem = text,
                Err(text) => panic!("{text}"),
            }
        }
        panic!("{problem}")
    }

    fn try_start(&self) -> Result<Redis, String> {
        let (port, tls_port) = (free_port(), self.tls.as_ref().map(|_| free_port()));
        let server = Server::start(
            format!("{:?} on port {port}", self.program),
            self.program.path(),
            "Ready to accept connections",
            |folder| self.arguments(port, tls_port, folder),
        )?;
        Ok(Redis { server, port, tls_port })
    }

    fn arguments(&self, port: u16, tls_port: Option<u16>, folder: &Path) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        let mut arguments: Vec<String> = ["--save", "", "--bind", "127.0.0.1", "--port", &port.to_string()]
            .into_iter()
            .chain(["--repl-diskless-sync-delay", "0"])
            .map(str::to_owned)
            .collect();
        if self.with_socket {
            arguments.extend(["--unixsocket".to_owned(), text(folder.join("socket"))]);
        }
        if let (Some(certificates), Some(tls_port)) = (&self.tls, tls_port) {
            let file = |name: &str| text(certificates.join(name));
            arguments.extend(["--tls-port".to_owned(), tls_port.to_string(), "--tls-cert-file".to_owned()]);
            arguments.extend([file("server.crt"), "--tls-key-file".to_owned(), file("server.key")]);
            arguments.extend(["--tls-ca-cert-file".to_owned(), file("ca.crt")]);
            arguments.extend(["--tls-auth-clients", "optional"].map(str::to_owned));
        }
        arguments.extend(self.settings.iter().cloned());
        arguments
    }
}

/// A running server, which ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    port: u16,
    tls_port: Option<u16>,
}

impl Redis {
    /// Starts a server with default options that writes nothing to disk.
    pub fn start() -> Redis {
        Redis::options().start()
    }

    /// Returns options to start a server with.
    pub fn options() -> RedisOptions {
        RedisOptions::default()
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the port it listens on with TLS.
    ///
    /// # Panics
    ///
    /// If it was started without.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("it was started with TLS")
    }

    /// Returns the path of its unix socket, if it was started with one.
    pub fn socket(&self) -> PathBuf {
        self.server.folder().join("socket")
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Connects to it.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Returns what it has logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it at once; what it held is lost.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`kill`](Redis::kill), empty, on the same port.
    ///
    /// # Panics
    ///
    /// If it does not start, with its log.
    pub fn start_again(&mut self) {
        self.server.run().unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Stops the process where it is (SIGSTOP), until [`resume`](Redis::resume).
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Lets a process go on that was stopped.
    pub fn resume(&self) {
        self.server.resume();
    }
}

/// Returns the program that is a Sentinel with the argument `--sentinel`.
pub(crate) fn sentinel() -> &'static Path {
    Program::Redis.path()
}
