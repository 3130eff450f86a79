//! URLs that name a server.

use percent_encoding::percent_decode_str;
use retainit_plugin::{Error, ErrorKind, Result, UrlFields, UrlScheme, Value};

pub(crate) const URLS: &[UrlScheme] = &[
    UrlScheme::new("redis", "redis://localhost:6379", fields_of),
    UrlScheme::new("rediss", "rediss://cache.example:6379", fields_of),
    UrlScheme::new("valkey", "valkey://localhost:6379", fields_of),
    UrlScheme::new("valkeys", "valkeys://cache.example:6379", fields_of),
    UrlScheme::new("redis+unix", "redis+unix:///run/redis.sock", fields_of),
    UrlScheme::new("unix", "unix:///run/redis.sock", fields_of),
];

/// Parts of a URL. No message repeats a part of it, which may be a password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) socket: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: Option<u64>,
    pub(crate) tls: bool,
}

/// Checks a URL and keeps it as the field `url`: what it holds may be a password.
fn fields_of(url: &str) -> Result<UrlFields> {
    parse(url).map_err(|text| Error::new(ErrorKind::Config, text))?;
    Ok(vec![("url", Value::from(url))])
}

pub(crate) fn parse(url: &str) -> Result<Parts, String> {
    let known = || URLS.iter().map(|known| format!("`{}://`", known.scheme)).collect::<Vec<_>>().join(", ");
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("expected a URL that begins with {}", known()))?;
    let mut parts = Parts::default();
    match scheme {
        "redis" | "valkey" => {}
        "rediss" | "valkeys" => parts.tls = true,
        "redis+unix" | "unix" => return socket(rest, parts),
        other => return Err(format!("`{other}://` is no scheme of this backend: expected {}", known())),
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if let Some(user) = user {
        let (name, password) = user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
        parts.username = some(decoded(name)?);
        parts.password = password.map(decoded).transpose()?.and_then(some);
    }
    let expected = "expected `redis://user:password@host:port/db`";
    match crate::address::Address::parse(if host.is_empty() { "localhost" } else { host }, 6379) {
        Ok(crate::address::Address::Tcp { host, port }) => (parts.host, parts.port) = (Some(host), Some(port)),
        _ => return Err(format!("its host and port cannot be read: {expected}")),
    }
    if !path.is_empty() {
        parts.db = Some(path.parse().map_err(|_| format!("the path is the number of a database: {expected}"))?);
    }
    options(query, &mut parts)?;
    Ok(parts)
}

fn socket(rest: &str, mut parts: Parts) -> Result<Parts, String> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err("expected the path of a socket with three slashes, as in `unix:///run/redis.sock`".to_owned());
    }
    parts.socket = Some(decoded(path)?);
    options(query, &mut parts)?;
    Ok(parts)
}

/// Reads what stands behind `?`.
fn options(query: &str, parts: &mut Parts) -> Result<(), String> {
    for (name, value) in
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    {
        let value = decoded(value)?;
        match name {
            "db" => parts.db = Some(value.parse().map_err(|_| "`db` is the number of a database".to_owned())?),
            "user" | "username" => parts.username = some(value),
            "pass" | "password" => parts.password = some(value),
            _ => return Err("behind `?` may stand `db`, `user` and `pass`".to_owned()),
        }
    }
    Ok(())
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decoded(text: &str) -> Result<String, String> {
    let is_escape = |rest: &str| rest.as_bytes().get(..2).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_escape) {
        return Err("expected two hexadecimal digits behind `%`; `%25` is the sign itself".to_owned());
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| "what is escaped in it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Parts {
        Parts { host: Some(host.to_owned()), port: Some(port), ..Parts::default() }
    }

    #[test]
    fn urls_are_read() {
        assert_eq!(parse("redis://localhost"), Ok(tcp("localhost", 6379)));
        assert_eq!(parse("valkeys://[::1]:7000"), Ok(Parts { tls: true, ..tcp("::1", 7000) }));
        let all = parse("rediss://shop:p%40ss:word@cache.example:6380/2").expect("a URL");
        assert_eq!(
            (all.username.as_deref(), all.password.as_deref(), all.db),
            (Some("shop"), Some("p@ss:word"), Some(2))
        );
        let only_password = parse("redis://:hush@cache").expect("a URL");
        assert_eq!((only_password.username, only_password.password.as_deref()), (None, Some("hush")));
        let socket = parse("redis+unix:///run/redis%20one.sock?db=3&user=shop&pass=hush").expect("a URL");
        assert_eq!((socket.socket.as_deref(), socket.db), (Some("/run/redis one.sock"), Some(3)));
    }

    #[test]
    fn problems_say_what_was_expected_and_repeat_no_password() {
        for url in [
            "localhost:6379",
            "http://:hush@localhost",
            "redis://:hush@localhost:port",
            "redis://:hush@localhost/one",
            "redis://:hu%zzsh@localhost",
            "redis://localhost?hush=1",
            "unix://run/hush.sock",
        ] {
            let problem = parse(url).expect_err(url);
            assert!(!problem.contains("hush") && problem.len() > 20, "{problem}");
        }
        assert!(parse("memcached://x").expect_err("no scheme of ours").contains("`valkey://`"));
    }
}
