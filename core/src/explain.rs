use std::fmt;

use retainit_plugin::{Ttl, compact};

use crate::config::CODE;
use crate::engine::{Plan, plan::Bypass};
use crate::instance::Origin;
use crate::key::KeyBuf;
use crate::meta::Meta;
use crate::options::{AUTO, Options};

/// Why a lookup hits or misses, and which options hold. `Display` tells it to people.
#[derive(Clone, Debug)]
pub struct Explain {
    function: String,
    key: String,
    backend: String,
    options: Vec<Explained>,
    reason: Reason,
}

/// Why a lookup hits or misses.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Hit: within its ttl.
    Fresh(Meta),
    /// Miss for handles, an answer for calls: the function's error is kept under `err_ttl`.
    StoredError,
    /// Miss: never stored, removed, or evicted.
    Absent,
    /// Miss: an entry is there, and this program cannot use it.
    Unreadable(String),
    /// Miss: past its ttl.
    Expired(Meta),
    /// Miss: loaded before an invalidation.
    Invalidated(&'static str),
    /// Miss: the function's option `disabled` is on, in a file, an override or the attribute.
    Disabled,
    /// Miss: something about the function's options cannot be used.
    Broken(String),
    /// Miss: the instance was closed.
    Closed,
}

impl Explain {
    pub(crate) fn new(plan: &Plan, key: &KeyBuf, reason: Reason) -> Explain {
        Explain {
            function: plan.function.id.clone(),
            key: key.text(),
            backend: match &plan.bypass {
                Some(Bypass::Broken(_)) => "none".to_owned(),
                _ => format!("{} ({})", plan.store.name, plan.store.type_name),
            },
            options: options(plan),
            reason,
        }
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether a lookup hits.
    pub fn is_hit(&self) -> bool {
        matches!(self.reason, Reason::Fresh(_))
    }

    /// The key as `keys()` shows it.
    pub fn key(&self) -> String {
        format!("{}:{}", self.function, self.key)
    }

    /// Every option, with where it was said.
    pub fn options(&self) -> &[Explained] {
        &self.options
    }

    /// The backend's name and type.
    pub fn backend(&self) -> &str {
        &self.backend
    }
}

/// One option of a function, with where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// Its name, as in a profile.
    pub name: &'static str,
    /// What holds, as a profile would write it.
    pub value: String,
    /// `default`, `attribute`, `override around the call`, or the place in a file.
    pub source: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {:<10} {}", self.name, self.value, self.source)
    }
}

/// Every option of a plan.
fn options(plan: &Plan) -> Vec<Explained> {
    let options = &plan.options;
    let ttl = |ttl: Option<Ttl>| ttl.unwrap_or(Ttl::Off).to_string();
    let option = |name, value: String, is_said: &dyn Fn(&Options) -> bool| Explained {
        name,
        value,
        source: source(plan, name, plan.levels.origin(is_said)),
    };
    let capped = options.max_ttl == Some(options.ttl);
    let mut all = vec![
        option("ttl", options.ttl.to_string(), &|o| o.ttl.is_some()),
        option("none_ttl", ttl(options.none_ttl), &|o| o.none_ttl.is_some()),
        option("err_ttl", ttl(options.err_ttl), &|o| o.err_ttl.is_some()),
        option("jitter", options.jitter.to_string(), &|o| o.jitter.is_some()),
        option("single_flight", if options.single_flight { "local" } else { "off" }.into(), &|o| {
            o.single_flight.is_some()
        }),
        option("max_load_time", compact(options.max_load_time), &|o| o.max_load_time.is_some()),
        option("verify", options.verify.to_string(), &|o| o.verify.is_some()),
        option("serializer", options.serializer.unwrap_or(AUTO).to_owned(), &|o| o.serializer.is_some()),
        option("disabled", options.disabled.to_string(), &|o| o.disabled.is_some()),
    ];
    all.extend(options.idle.map(|idle| option("max_idle", compact(idle), &|o| o.idle.is_some())));
    if capped {
        all[0].source = source(plan, "ttl", Some(Origin::Enforced));
    }
    all
}

/// Where an option was said, with its place where that is known.
fn source(plan: &Plan, name: &str, origin: Option<Origin>) -> String {
    let configured = plan.instance.configured();
    let (id, store) = (plan.function.id.as_str(), &*plan.store.name);
    let place = |path: &[&str]| configured.effective.source(path).unwrap_or(CODE).to_owned();
    match origin {
        None => "default".to_owned(),
        Some(Origin::Scoped) => "override around the call".to_owned(),
        Some(Origin::Own) => plan.levels.own().to_owned(),
        Some(Origin::Override) => format!("{}, above the attribute", place(&["override", "functions", id, name])),
        Some(Origin::File) => place(&["functions", id, name]),
        Some(Origin::Backend) => format!("{}, backend `{store}`", place(&["backends", store, name])),
        Some(Origin::Enforced) => {
            let of_function = configured.enforced_functions.contains_key(id).then_some(["functions", id, name]);
            // What is enforced of a backend that an override hides holds too.
            let hidden = plan.hidden.as_ref().map(|hidden| &*hidden.name);
            let of_backends = [Some(store), hidden].into_iter().flatten();
            let of_backends = of_backends.filter(|name| configured.enforced_backends.contains_key(*name));
            let paths = of_function.into_iter().chain(of_backends.map(|backend| ["backends", backend, name]));
            let place = paths.filter_map(|path| configured.effective.source(&path)).next().unwrap_or(CODE);
            format!("{place}, enforced")
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Fresh(meta) => match meta.ttl() {
                Some(left) => write!(f, "hit: fresh, {:?} old, {left:?} left", meta.age()),
                None => write!(f, "hit: fresh, {:?} old, never expires", meta.age()),
            },
            Reason::StoredError => {
                f.write_str("miss: an error is kept for this key (err_ttl); calls are answered with it")
            }
            Reason::Absent => f.write_str("miss: absent; never stored, removed or evicted"),
            Reason::Unreadable(why) => write!(f, "miss: an entry is there and cannot be used, {why}"),
            Reason::Expired(meta) => write!(f, "miss: expired, {:?} old", meta.age()),
            Reason::Invalidated(what) => write!(f, "miss: invalidated, {what}"),
            Reason::Disabled => f.write_str("miss: the cache is off here, by the option `disabled`"),
            Reason::Broken(why) => write!(f, "miss: calls run uncached, {why}"),
            Reason::Closed => f.write_str("miss: the instance is closed"),
        }
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        writeln!(f, "  key      {}", self.key())?;
        writeln!(f, "  backend  {}", self.backend)?;
        f.write_str("  options")?;
        self.options.iter().try_for_each(|option| write!(f, "\n    {option}"))
    }
}
