mod resolve;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    BackendConfig, Built, Complete, Context, Count, Error, ErrorKind, Fraction, Result, SecretSource, Section,
    Settings, Ttl, check, choice, config,
};

use crate::acl;
use crate::address::Addresses;
use crate::backend::RedisBackend;
use crate::options::Options;
use crate::tls::TlsOptions;
use crate::url::URLS;

/// Check of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertReqs {
    /// Accepts only a certificate that an authority has signed for this host.
    #[default]
    Required,
    /// Accepts any certificate: what is sent is encrypted, and nobody knows for whom.
    None,
}

choice!(CertReqs { "required" => Required, "none" => None });

config! {
    /// The configuration of a Redis backend: Redis or Valkey from 6.2 on, one server, a Sentinel set or a cluster.
    ///
    /// Setters never fail: [`build`](BackendConfig::build) reports every problem at once. Building opens no connection;
    /// the first operation does.
    ///
    /// ```
    /// # use retainit_redis as retainit;
    /// use retainit::RedisConfig;
    ///
    /// let config = RedisConfig::new("rediss://cache.example:6379").password("env:CACHE_PASSWORD").ttl("1h");
    /// # use retainit_plugin::BackendConfig;
    /// # assert!(config.settings().ttl.is_some());
    /// ```
    pub struct RedisConfig new(url: SecretSource) {
        /// The server: `redis://user:password@host:port/db`, with TLS `rediss://`; `valkey://` and `valkeys://` are the same,
        /// `unix:///path?db=0` is a socket.
        ///
        /// Without it `host`, `port`, `db`, `username`, `password` and `tls` say the same, one by one. Where the
        /// configuration names no server, the variables `REDIS_URL`, or `CACHE_REDIS_HOST`, `CACHE_REDIS_PORT`,
        /// `CACHE_REDIS_DB`, `CACHE_REDIS_PASSWORD` do.
        url: SecretSource, example "redis://localhost:6379";

        /// The server's name or address.
        host: String = "localhost";

        /// The server's port.
        port: Count = 6379;

        /// The number of the database; a cluster has only 0.
        db: Count = 0;

        /// The user, of servers that have users.
        username: String, example "shop";

        /// The password. `"env:NAME"` and `"file:/path"` are read again at each connect, so that it can be changed.
        password: SecretSource, example "env:CACHE_PASSWORD";

        /// Encrypts the connection.
        tls: bool = false, alias "ssl";

        /// Takes the server for a node of a cluster, and finds the others through it.
        cluster: bool = false, alias "redis_cluster";

        /// Nodes of the cluster, any of which names all others, in place of `host` and `port`.
        nodes: Addresses, example "one:7000, two:7000";

        /// Sentinels that name the primary, in place of `host` and `port`.
        sentinels: Addresses, example "one:26379, two:26379";

        /// The name by which the Sentinels know the primary.
        master_name: String, example "mymaster";

        /// The user at the Sentinels, which are not those of the primary.
        sentinel_username: String, example "watcher";

        /// The password at the Sentinels; see `password`.
        sentinel_password: SecretSource, example "env:SENTINEL_PASSWORD";

        /// File with the authorities that sign the server's certificate, in PEM; otherwise those of the system.
        ca_certs: PathBuf, example "/etc/ssl/cache-ca.pem";

        /// File with the certificate by which the server knows this program, in PEM.
        client_cert: PathBuf, example "/etc/ssl/shop.crt";

        /// File with the key of `client_cert`, in PEM.
        client_key: PathBuf, example "/etc/ssl/shop.key";

        /// Check of the server's certificate: `"required"` or `"none"`.
        cert_reqs: CertReqs = "required";

        /// Accepts a connection in clear to another machine where the instance has `security = "production"`.
        allow_plaintext: bool = false;

        /// Name that `CLIENT LIST` shows for the connections; otherwise `retainit:` and the namespace.
        client_name: String, example "shop-eu-1";

        /// Number of connections to each server, at least 1. A key always takes the same one. Large values have one more, so
        /// that small ones do not wait for them.
        connections: Count = 1;

        /// The most commands that wait for an answer of one connection, at least 1. What comes on top fails at once.
        max_in_flight: Count = 10_000;

        /// Time within which a connection has to be made, in the background: no call waits longer than `op_timeout`.
        connect_timeout: Duration = "5s";

        /// Time after which a connection that something waits for, and on which nothing came, is given up and made anew.
        response_timeout: Duration = "5s", alias "socket_timeout";

        /// The longest a call waits for any one operation, where that differs from the instance's.
        op_timeout: Duration, example "100ms";

        /// The number of operations, one after the other, that did not reach the server or found no answer in time, after
        /// which calls go without this backend; 0 for any number. What the server refuses does not count.
        breaker_threshold: Count = 5, alias "circuit_breaker_threshold";

        /// The time for which calls go without this backend then, until one probe tells whether it answers again.
        breaker_timeout: Duration = "60s", alias "circuit_breaker_timeout";

        /// Time for which results are fresh, where their functions do not set it.
        ttl: Ttl = "never";

        /// The largest fraction by which a ttl is shortened, where functions do not set it.
        jitter: Fraction = 0.1;

        /// The serializer of values, where functions do not set it: `"auto"` is MessagePack, and text and bytes as they
        /// are.
        serializer: String = "auto", alias "codec";
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.resolved(&|_| None).err().into_iter().flatten());
        self.settings().check(problems);
    }
}

impl RedisConfig {
    /// Builds a backend that takes fences by a script, as on a server before 7.0, for tests of that way.
    #[doc(hidden)]
    pub fn build_for_old_servers(&self, context: Context) -> Result<Built> {
        self.backend(context, true)
    }

    /// Returns the command that makes a user with the rights that this backend needs, and no others: for a server of a
    /// version such as `(7, 0)`, and the keys of a namespace; an empty one means all.
    pub fn acl_line(&self, namespace: &str, version: (u32, u32)) -> String {
        let user = self.username.get().map_or("retainit", String::as_str);
        let selects = self.db.get().is_some_and(|db| db.0 != 0);
        acl::line(user, namespace, version, self.is_cluster(), selects)
    }

    fn backend(&self, context: Context, take_by_script: bool) -> Result<Built> {
        check(&self.problems()).map_err(|error| error.with_context("backend", &*context.name))?;
        let resolved = self.resolved(&|name| std::env::var(name).ok());
        let resolved = resolved.map_err(|problems| {
            let error = check(&problems).expect_err("there are problems");
            error.with_context("backend", &*context.name)
        })?;
        let is_remote = resolved.servers.addresses().iter().any(|address| !address.is_local());
        if context.is_production && is_remote && !resolved.uses_tls && self.allow_plaintext.get() != Some(&true) {
            let text = "the server is on another machine and the connection in clear: use `rediss://` or `tls = true`, or say \
                that it is meant with `allow_plaintext = true`";
            let error = Error::new(ErrorKind::Config, text).with_field("tls");
            return Err(error.with_context("backend", &*context.name));
        }
        let all = self.complete();
        let tls = resolved.uses_tls.then(|| TlsOptions {
            ca_certs: self.ca_certs.get().cloned(),
            client: self.client_cert.get().cloned().zip(self.client_key.get().cloned()),
            unchecked: self.cert_reqs.get() == Some(&CertReqs::None),
        });
        let name = self.client_name.get().map_or_else(|| client_name(&context.namespace), |name| name.as_str().into());
        let number = |count: Option<&Count>, default| count.map_or(default, |count| count.0 as usize);
        let options = Options {
            servers: resolved.servers,
            db: resolved.db,
            credentials: resolved.credentials,
            tls,
            client_name: name,
            connections: number(all.connections.get(), 1),
            max_in_flight: number(all.max_in_flight.get(), 10_000),
            connect_timeout: all.connect_timeout.get().copied().unwrap_or(Duration::from_secs(5)),
            response_timeout: all.response_timeout.get().copied().unwrap_or(Duration::from_secs(5)),
            take_by_script,
        };
        Ok(Built::Bytes(Arc::new(RedisBackend::new(options))))
    }
}

/// Returns the default name of connections: names have no blanks.
fn client_name(namespace: &str) -> Arc<str> {
    let clean = namespace.chars().map(|sign| if sign.is_ascii_graphic() { sign } else { '_' });
    format!("retainit:{}", clean.collect::<String>()).into()
}

impl BackendConfig for RedisConfig {
    fn type_name(&self) -> &'static str {
        "redis"
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.ttl = self.ttl.get().copied();
        settings.jitter = self.jitter.get().map(|jitter| jitter.0);
        settings.serializer = self.serializer.get().cloned();
        settings.op_timeout = self.op_timeout.get().copied();
        settings.breaker_threshold = self.breaker_threshold.get().map(|threshold| threshold.0);
        settings.breaker_timeout = self.breaker_timeout.get().copied();
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        self.backend(context, false)
    }

    fn policy(&self, namespace: &str) -> Option<String> {
        let (new, old) = (self.acl_line(namespace, (7, 0)), self.acl_line(namespace, (6, 2)));
        Some(match new == old {
            true => new,
            false => format!("# Redis 7.0 and later, Valkey\n{new}\n# Redis 6.2\n{old}"),
        })
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

retainit_plugin::register_backend!("redis", RedisConfig, urls(URLS));
