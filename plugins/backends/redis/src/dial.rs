//! Opening a connection: the socket, TLS, and what is said first.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::net::TcpStream;

use crate::address::Address;
use crate::client::{Connection, Reply, command};
use crate::error::Problem;
use crate::options::{Credentials, Options, Servers};
use crate::stream::Stream;

/// The oldest server that is spoken to.
const OLDEST: (u32, u32) = (6, 2);

/// Properties that a server reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) version: (u32, u32),
    pub(crate) mode: String,
    pub(crate) role: String,
}

/// Opens a connection to a server that keeps entries.
pub(crate) async fn dial(options: &Options, address: &Address) -> Result<(Connection, Greeting), Problem> {
    let dialing = Dialing { options, address, stage: AtomicU8::new(CONNECTING) };
    let opening = async {
        let (connection, greeting) = dialing.greet(&options.credentials).await?;
        if options.db != 0 {
            let mut select = command("SELECT");
            select.arg(options.db);
            if let Some((code, details)) = error_of(&connection.send(&Arc::new(select)).await?) {
                let text = format!("the database cannot be selected: {code} {details}");
                return Err(Problem::unreachable(text).field("db"));
            }
        }
        check(options, &greeting)?;
        Ok((connection, greeting))
    };
    dialing.within(opening).await
}

/// Opens a connection to a Sentinel.
pub(crate) async fn dial_sentinel(
    options: &Options,
    address: &Address,
    credentials: &Credentials,
) -> Result<Connection, Problem> {
    let dialing = Dialing { options, address, stage: AtomicU8::new(CONNECTING) };
    let opening = async {
        let (connection, greeting) = dialing.greet(credentials).await?;
        match greeting.mode.as_str() {
            "sentinel" => Ok(connection),
            mode => {
                let text = format!("it is no Sentinel but a server in the mode `{mode}`");
                Err(Problem::unreachable(text).field("sentinels"))
            }
        }
    };
    dialing.within(opening).await
}

const CONNECTING: u8 = 0;
const ENCRYPTING: u8 = 1;
const GREETING: u8 = 2;

/// A connection that is being opened.
struct Dialing<'a> {
    options: &'a Options,
    address: &'a Address,
    /// Step that is waited for, for the message if that takes too long.
    stage: AtomicU8,
}

impl Dialing<'_> {
    async fn within<T>(&self, opening: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        let limit = self.options.connect_timeout;
        let opened = tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| {
            Err(match self.stage.load(Ordering::Relaxed) {
                CONNECTING => Problem::unreachable(format!("no connection within {limit:?}")).field("connect_timeout"),
                // A server without TLS waits for the end of what it takes for a line.
                ENCRYPTING => {
                    let text =
                        format!("it does not speak TLS on this port, or takes longer than {limit:?}: use `redis://`");
                    Problem::unreachable(text).field("tls")
                }
                _ => {
                    Problem::unreachable(format!("no answer to the greeting within {limit:?}")).field("connect_timeout")
                }
            })
        });
        opened.map_err(|problem| problem.at(self.address))
    }

    async fn greet(&self, credentials: &Credentials) -> Result<(Connection, Greeting), Problem> {
        let options = self.options;
        let stream = self.socket().await?;
        self.stage.store(GREETING, Ordering::Relaxed);
        let connection = Connection::open(stream, options.max_in_flight, options.response_timeout).await?;
        let credentials = credentials.read()?;
        let mut hello = command("HELLO");
        hello.arg(2);
        if let Some((username, password)) = &credentials {
            hello.arg("AUTH").arg(username).arg(password);
        }
        hello.arg("SETNAME").arg(&*options.client_name);
        let reply = connection.send(&Arc::new(hello)).await.map_err(|problem| strange(options, problem))?;
        if let Some((code, details)) = error_of(&reply) {
            let username = credentials.as_ref().map(|(username, _)| username.as_str());
            return Err(unwelcome(code, details, username));
        }
        Ok((connection, greeting(&reply).ok_or_else(|| Problem::unreachable("its greeting cannot be read"))?))
    }

    async fn socket(&self) -> Result<Stream, Problem> {
        match self.address {
            Address::Tcp { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await;
                let tcp = tcp.map_err(|error| Problem::refused(&error, self.address))?;
                // Requests are small, and somebody waits for each.
                drop(tcp.set_nodelay(true));
                let Some(tls) = &self.options.tls else { return Ok(Box::new(tcp)) };
                self.stage.store(ENCRYPTING, Ordering::Relaxed);
                tls.wrap(host, tcp).await
            }
            #[cfg(unix)]
            Address::Unix(path) => match tokio::net::UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(Problem::refused(&error, self.address)),
            },
            #[cfg(not(unix))]
            Address::Unix(_) => Err(Problem::refused(&std::io::ErrorKind::Unsupported.into(), self.address)),
        }
    }
}

/// Makes the problem of a server that does not speak the protocol in clear.
fn strange(options: &Options, problem: Problem) -> Problem {
    match options.tls {
        Some(_) => problem,
        None => Problem::unreachable(format!(
            "it did not answer as a Redis server does ({problem}): if it wants TLS there, use `rediss://` or `tls = true`"
        ))
        .field("tls"),
    }
}

/// Says what to do where a server does not let us in.
fn unwelcome(code: &str, details: &str, username: Option<&str>) -> Problem {
    match code {
        "WRONGPASS" => {
            let username = username.unwrap_or("default");
            Problem::unreachable(format!("the server refuses this password of the user `{username}`: {code} {details}"))
                .field("password")
        }
        "NOAUTH" | "NOPERM" => {
            Problem::unreachable("the server wants a password: set `password`, and `username` where it has users")
                .field("password")
        }
        // The first server with `HELLO` was 6.0; those before know neither the command nor users.
        "ERR" if details.contains("unknown command") => {
            Problem::unreachable(format!("the server is too old, Redis {}.{} or later is needed", OLDEST.0, OLDEST.1))
                .field("url")
        }
        _ => Problem::unreachable(format!("the server did not accept the connection: {code} {details}")),
    }
}

/// Checks that it is a server of the kind that was configured.
fn check(options: &Options, greeting: &Greeting) -> Result<(), Problem> {
    let (major, minor) = greeting.version;
    if greeting.version < OLDEST {
        let text = format!(
            "the server is too old: it has version {major}.{minor}, {}.{} or later is needed",
            OLDEST.0, OLDEST.1
        );
        return Err(Problem::unreachable(text).field("url"));
    }
    match (&options.servers, greeting.mode.as_str()) {
        (_, "sentinel") => {
            let text = "it is a Sentinel: name it in `sentinels`, and the primary in `master_name`";
            Err(Problem::unreachable(text).field("sentinels"))
        }
        (Servers::Cluster(_), "cluster") => Ok(()),
        (Servers::Cluster(_), _) => {
            Err(Problem::unreachable("it is no node of a cluster: remove `cluster = true`").field("cluster"))
        }
        (_, "cluster") => Err(Problem::unreachable("it is a node of a cluster: set `cluster = true`").field("cluster")),
        (Servers::One(_), _) if greeting.role != "master" => {
            let text = "it is a replica, which takes no writes: name its primary, or `sentinels` and `master_name`";
            Err(Problem::unreachable(text).field("host"))
        }
        (Servers::Sentinels { .. }, _) if greeting.role != "master" => {
            Err(Problem::unreachable("the server that the Sentinels name is no primary yet"))
        }
        _ => Ok(()),
    }
}

fn greeting(reply: &Reply) -> Option<Greeting> {
    let Reply::Array(parts) = reply else { return None };
    let mut greeting = Greeting { mode: "standalone".to_owned(), role: "master".to_owned(), ..Greeting::default() };
    for pair in parts.chunks_exact(2) {
        let (Some(name), value) = (text(&pair[0]), text(&pair[1])) else { return None };
        match (&*name, value) {
            ("version", Some(value)) => greeting.version = version(&value)?,
            ("mode", Some(value)) => greeting.mode = value,
            ("role", Some(value)) => greeting.role = value,
            _ => {}
        }
    }
    Some(greeting)
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// Returns a reply as text, if it is one.
pub(crate) fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Reply::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the error of a reply, if it is one.
pub(crate) fn error_of(reply: &Reply) -> Option<(&str, &str)> {
    match reply {
        Reply::ServerError(error) => Some((error.code(), error.details().unwrap_or_default())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("7.0.15"), Some((7, 0)));
        assert_eq!(version("v1.2"), Some((1, 2)));
        assert_eq!(version("255.255.255"), Some((255, 255)));
        assert_eq!(version("unstable"), None);
    }
}
