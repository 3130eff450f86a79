use std::fmt;
use std::path::PathBuf;

use retainit_plugin::{FieldValue, IntoField, Value};

/// Address of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// Reads `host:port`, `host` or `[::1]:port`.
    pub(crate) fn parse(text: &str, default_port: u16) -> Result<Address, String> {
        let text = text.trim();
        let expected = || format!("expected `host:port`, got {text:?}");
        let port = |port: &str| port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(expected);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(expected)?;
                (host, rest.strip_prefix(':').map_or(Ok(default_port), port)?)
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err(format!("{}; write IPv6 as `[::1]:6379`", expected()));
                }
                Some((host, number)) => (host, port(number)?),
                None => (text, default_port),
            },
        };
        let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@');
        if is_host { Ok(Address::Tcp { host: host.to_owned(), port }) } else { Err(expected()) }
    }

    /// Returns whether it is this machine.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Addresses of servers: a list of texts such as `"host:6379"`, or one text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

impl Addresses {
    /// Reads each as an address.
    pub(crate) fn parse(&self, default_port: u16) -> Result<Vec<Address>, String> {
        self.0.iter().map(|text| Address::parse(text, default_port)).collect()
    }
}

impl FieldValue for Addresses {
    const EXPECTED: &'static str = "a list of addresses such as [\"one:6379\", \"two:6379\"]";

    fn read(value: &Value) -> Option<Addresses> {
        let texts: Vec<String> = match value {
            Value::String(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            Value::Array(list) => list.iter().map(|part| part.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            _ => return None,
        };
        (!texts.is_empty() && texts.iter().all(|text| !text.is_empty())).then_some(Addresses(texts))
    }

    fn shown(&self) -> String {
        self.0.join(",")
    }
}

impl<T: Into<String>, const N: usize> IntoField<Addresses> for [T; N] {
    fn into_field(self) -> Result<Addresses, String> {
        self.into_iter().map(Into::into).collect::<Vec<String>>().into_field()
    }
}

impl IntoField<Addresses> for Vec<String> {
    fn into_field(self) -> Result<Addresses, String> {
        match self.is_empty() {
            true => Err(format!("expected {}, got an empty list", Addresses::EXPECTED)),
            false => Ok(Addresses(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Ok(Address::Tcp { host: host.to_owned(), port });
        assert_eq!(Address::parse("cache.example:7000", 6379), tcp("cache.example", 7000));
        assert_eq!(Address::parse("cache", 6379), tcp("cache", 6379));
        assert_eq!(Address::parse("[::1]:7000", 6379), tcp("::1", 7000));
        for text in ["", ":6379", "cache:", "cache:0", "cache:70000", "::1", "a b:1", "redis://cache:1"] {
            let problem = Address::parse(text, 6379).expect_err(text);
            assert!(problem.starts_with("expected `host:port`"), "{problem}");
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        let is_local = |text| Address::parse(text, 6379).expect("an address").is_local();
        assert!(is_local("localhost") && is_local("127.0.0.1") && is_local("[::1]:1"));
        assert!(!is_local("10.0.0.1") && !is_local("localhost.example"));
    }
}
