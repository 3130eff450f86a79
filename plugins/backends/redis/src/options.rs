use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::SecretSource;

use crate::address::Address;
use crate::error::Problem;
use crate::tls::TlsOptions;
use crate::url;

/// Everything needed to connect, as the configuration says it.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) servers: Servers,
    pub(crate) db: u64,
    pub(crate) credentials: Credentials,
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) client_name: Arc<str>,
    pub(crate) connections: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    /// Takes fences by a script also where the server has a command for it.
    pub(crate) take_by_script: bool,
}

/// Servers, and the way to the one for a key.
#[derive(Debug)]
pub(crate) enum Servers {
    /// One server, or an endpoint that looks like one.
    One(Address),
    /// The primary that Sentinels name.
    Sentinels { sentinels: Vec<Address>, master: String, credentials: Credentials },
    /// The primaries of a cluster, found through any of these nodes.
    Cluster(Vec<Address>),
}

impl Servers {
    /// Returns the addresses that the configuration names.
    pub(crate) fn addresses(&self) -> &[Address] {
        match self {
            Servers::One(address) => std::slice::from_ref(address),
            Servers::Sentinels { sentinels, .. } => sentinels,
            Servers::Cluster(nodes) => nodes,
        }
    }
}

/// User and password. Where they are found is looked at again at each connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretSource>,
    /// A URL that may hold either; what is set beside it takes precedence.
    pub(crate) url: Option<SecretSource>,
}

impl Credentials {
    /// Returns user and password, if there is a password.
    pub(crate) fn read(&self) -> Result<Option<(String, String)>, Problem> {
        let read = |source: &SecretSource, field| {
            source.read().map_err(|error| Problem::unreachable(error.to_string()).field(field))
        };
        let of_url = match &self.url {
            Some(url) => url::parse(&read(url, "url")?).map_err(|text| Problem::unreachable(text).field("url"))?,
            None => url::Parts::default(),
        };
        let password = match &self.password {
            Some(password) => Some(read(password, "password")?),
            None => of_url.password,
        };
        let username = self.username.clone().or(of_url.username).unwrap_or_else(|| "default".to_owned());
        Ok(password.map(|password| (username, password)))
    }
}
