//! Reads the fields together, with what the environment adds.

use std::path::PathBuf;
use std::time::Duration;

use retainit_plugin::{Problem, SecretSource};

use super::RedisConfig;
use crate::address::{Address, Addresses};
use crate::options::{Credentials, Servers};
use crate::url::{self, Parts};

/// Looks up an environment variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Result of reading the fields together.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) servers: Servers,
    pub(super) db: u64,
    pub(super) credentials: Credentials,
    pub(super) uses_tls: bool,
}

/// Problems as they are found.
#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, field: &'static str, text: impl Into<String>) {
        self.0.push(Problem::new(field, text));
    }

    fn or_default<T: Default>(&mut self, field: &'static str, result: Result<T, String>) -> T {
        result.unwrap_or_else(|text| {
            self.add(field, text);
            T::default()
        })
    }
}

impl RedisConfig {
    pub(super) fn is_cluster(&self) -> bool {
        self.cluster.get() == Some(&true)
    }

    /// Reads the fields together, and what the environment adds where no server is named; or lists what does not go
    /// together.
    pub(super) fn resolved(&self, variable: Lookup<'_>) -> Result<Resolved, Vec<Problem>> {
        let mut found = Found::default();
        let environment = match self.check_places(&mut found) {
            true => Environment::default(),
            false => Environment::read(variable, &mut found),
        };
        let url = self.url.get().cloned().or(environment.url);
        let read = |url: &SecretSource| url::parse(&url.read().map_err(|error| error.report())?);
        let parts = found.or_default("url", url.as_ref().map_or_else(|| Ok(Parts::default()), read));
        let db = self.db.get().map(|db| db.0).or(parts.db).or(environment.db).unwrap_or(0);
        let uses_tls = self.tls.get() == Some(&true) || parts.tls;
        self.check_tls(uses_tls, &parts, &mut found);
        self.check_cluster(db, uses_tls, &parts, &mut found);
        self.check_sentinels(&mut found);
        self.check_numbers(&mut found);
        let mut addresses = |field, list: Option<&Addresses>, port| {
            found.or_default(field, list.map_or_else(|| Ok(Vec::new()), |list| list.parse(port)))
        };
        let nodes = addresses("nodes", self.nodes.get(), 6379);
        let sentinels = addresses("sentinels", self.sentinels.get(), 26_379);
        let host = self.host.get().cloned().or(parts.host).or(environment.host);
        let port = self.port.get().and_then(|port| u16::try_from(port.0).ok()).or(parts.port).or(environment.port);
        let one = match parts.socket {
            Some(path) => Ok(Address::Unix(path.into())),
            None => server(host, port.unwrap_or(6379)),
        };
        let one = one.unwrap_or_else(|text| {
            found.add("host", text);
            Address::Unix(PathBuf::new())
        });
        if !found.0.is_empty() {
            return Err(found.0);
        }
        let servers = match (self.is_cluster(), self.master_name.get()) {
            (true, _) if nodes.is_empty() => Servers::Cluster(vec![one]),
            (true, _) => Servers::Cluster(nodes),
            (false, Some(master)) => {
                let (username, password) =
                    (self.sentinel_username.get().cloned(), self.sentinel_password.get().cloned());
                let credentials = Credentials { username, password, url: None };
                Servers::Sentinels { sentinels, master: master.clone(), credentials }
            }
            (false, None) => Servers::One(one),
        };
        let (username, password) = (self.username.get().cloned(), self.password.get().cloned());
        let credentials = Credentials { username, password: password.or(environment.password), url };
        Ok(Resolved { servers, db, credentials, uses_tls })
    }

    /// Checks that the server is named once; false if it is not named at all.
    fn check_places(&self, found: &mut Found) -> bool {
        let places = [
            ("url", self.url.get().is_some()),
            ("host", self.host.get().is_some() || self.port.get().is_some()),
            ("nodes", self.nodes.get().is_some()),
            ("sentinels", self.sentinels.get().is_some()),
        ];
        let mut named = places.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name);
        let first = named.next();
        if let (Some(first), Some(second)) = (first, named.next()) {
            found.add(second, format!("`{first}` names the server already: remove one"));
        }
        first.is_some()
    }

    fn check_tls(&self, uses_tls: bool, parts: &Parts, found: &mut Found) {
        if self.tls.get() == Some(&false) && parts.tls {
            found.add("tls", "the scheme of `url` says that there is TLS: remove one");
        }
        match (self.client_cert.get(), self.client_key.get()) {
            (Some(_), None) => found.add("client_key", "a certificate needs its key: set it beside `client_cert`"),
            (None, Some(_)) => found.add("client_cert", "a key belongs to a certificate: set it beside `client_key`"),
            _ => {}
        }
        let for_tls = [
            ("ca_certs", self.ca_certs.get().is_some()),
            ("client_cert", self.client_cert.get().is_some()),
            ("cert_reqs", self.cert_reqs.get().is_some()),
        ];
        for (field, _) in for_tls.iter().filter(|(_, is_set)| *is_set && !uses_tls) {
            found.add(field, "it has no effect without TLS: use `rediss://` or `tls = true`, or remove it");
        }
    }

    fn check_cluster(&self, db: u64, uses_tls: bool, parts: &Parts, found: &mut Found) {
        let is_cluster = self.is_cluster();
        if is_cluster && db != 0 {
            found.add("db", "a cluster has only database 0: remove `db`, or `cluster = true`");
        }
        if is_cluster && self.sentinels.get().is_some() {
            found.add("sentinels", "a cluster has none: remove `sentinels`, or `cluster = true`");
        }
        if !is_cluster && self.nodes.get().is_some() {
            found.add("nodes", "they are nodes of a cluster: set `cluster = true`");
        }
        if parts.socket.is_some() && (is_cluster || uses_tls) {
            found.add("url", "a socket is of one server of this machine, without TLS: remove `cluster` and `tls`");
        }
    }

    fn check_sentinels(&self, found: &mut Found) {
        let has_sentinels = self.sentinels.get().is_some();
        match (has_sentinels, self.master_name.get().is_some()) {
            (true, false) => found.add("master_name", "the Sentinels know the primary by a name: set it"),
            (false, true) => found.add("master_name", "only Sentinels know it: set `sentinels`"),
            _ => {}
        }
        let credentials = [
            ("sentinel_username", self.sentinel_username.get().is_some()),
            ("sentinel_password", self.sentinel_password.get().is_some()),
        ];
        for (field, _) in credentials.iter().filter(|(_, is_set)| *is_set && !has_sentinels) {
            found.add(field, "there are no Sentinels: set `sentinels`, or remove it");
        }
    }

    fn check_numbers(&self, found: &mut Found) {
        let counts = [("connections", &self.connections, 64), ("max_in_flight", &self.max_in_flight, 10_000_000)];
        for (field, count, most) in counts {
            if let Some(count) = count.get().filter(|count| !(1..=most).contains(&count.0)) {
                found.add(field, format!("expected 1 to {most}, got {}", count.0));
            }
        }
        for (field, time) in [("connect_timeout", &self.connect_timeout), ("response_timeout", &self.response_timeout)]
        {
            if time.get().is_some_and(|time| *time < Duration::from_millis(10)) {
                found.add(field, "expected at least 10ms");
            }
        }
        if self.port.get().is_some_and(|port| port.0 == 0 || port.0 > 65_535) {
            found.add("port", "expected 1 to 65535");
        }
        let is_bad = |name: &&String| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic());
        if self.client_name.get().filter(is_bad).is_some() {
            found.add("client_name", "expected ASCII without blanks, as in `shop-eu-1`");
        }
    }
}

fn server(host: Option<String>, port: u16) -> Result<Address, String> {
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    Address::parse(&if host.contains(':') { format!("[{host}]") } else { host }, port)
}

/// Server that the environment names where the configuration names no server.
#[derive(Default)]
struct Environment {
    url: Option<SecretSource>,
    host: Option<String>,
    port: Option<u16>,
    db: Option<u64>,
    password: Option<SecretSource>,
}

impl Environment {
    fn read(variable: Lookup<'_>, found: &mut Found) -> Environment {
        let text = |name: &str| variable(name).filter(|text| !text.is_empty());
        if let Some(url) = text("REDIS_URL") {
            return Environment { url: Some(SecretSource::new(url)), ..Environment::default() };
        }
        let mut number = |field, name: &str| {
            let number = text(name).map(|text| {
                text.parse::<u64>().map_err(|_| format!("the environment variable {name} is no number: {text:?}"))
            });
            found.or_default(field, number.transpose())
        };
        let (port, db) = (number("port", "CACHE_REDIS_PORT"), number("db", "CACHE_REDIS_DB"));
        let port = port.map(|port| u16::try_from(port).map_err(|_| format!("CACHE_REDIS_PORT is {port}, and no port")));
        Environment {
            url: None,
            host: text("CACHE_REDIS_HOST"),
            port: found.or_default("port", port.transpose()),
            db,
            password: text("CACHE_REDIS_PASSWORD").map(SecretSource::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(config: &RedisConfig, variables: &[(&str, &str)]) -> Resolved {
        let variable =
            |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, text)| (*text).to_owned());
        config.resolved(&variable).expect("nothing is wrong")
    }

    fn address(resolved: &Resolved) -> String {
        match &resolved.servers {
            Servers::One(address) => address.to_string(),
            other => panic!("not one server: {other:?}"),
        }
    }

    //
    #[test]
    fn variables_name_the_server_that_the_configuration_does_not() {
        let variables = [
            ("CACHE_REDIS_HOST", "cache"),
            ("CACHE_REDIS_PORT", "7000"),
            ("CACHE_REDIS_DB", "2"),
            ("CACHE_REDIS_PASSWORD", "hush"),
        ];
        let found = resolved(&RedisConfig::default(), &variables);
        assert_eq!((address(&found).as_str(), found.db), ("cache:7000", 2));
        assert_eq!(found.credentials.read().expect("a password"), Some(("default".to_owned(), "hush".to_owned())));
        let found =
            resolved(&RedisConfig::default(), &[("REDIS_URL", "rediss://one:1/3"), ("CACHE_REDIS_HOST", "two")]);
        assert_eq!((address(&found).as_str(), found.db, found.uses_tls), ("one:1", 3, true));
        let found = resolved(&RedisConfig::new("redis://near"), &variables);
        assert_eq!((address(&found).as_str(), found.db), ("near:6379", 0));
        assert_eq!(found.credentials.read().expect("none"), None);
        assert_eq!(address(&resolved(&RedisConfig::default(), &[])), "localhost:6379");
        let wrong = RedisConfig::default().resolved(&|name| (name == "CACHE_REDIS_PORT").then(|| "near".to_owned()));
        let problems = wrong.expect_err("it is no number");
        assert_eq!(problems[0].to_string(), "port: the environment variable CACHE_REDIS_PORT is no number: \"near\"");
    }

    #[test]
    fn fields_beside_a_url_take_precedence() {
        let config = RedisConfig::new("redis://shop:hush@cache/1").password("louder").db(2);
        let found = resolved(&config, &[]);
        assert_eq!(found.db, 2);
        assert_eq!(found.credentials.read().expect("a password"), Some(("shop".to_owned(), "louder".to_owned())));
    }
}
