use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use retainit_plugin::{
    Backend, Bytes, Capabilities, Error, ErrorKind, Fence, GroupVersion, GroupVersions, Page, Read, Result, Scan,
    Snapshot, StoreCondition, StoreOptions, Stored, Strength, Versions, WantedFence, async_trait,
};

use crate::client::{Command, Reply, command};
use crate::group::{key_of, random, random_base, version};
use crate::options::Options;
use crate::route::{Call, Router};
use crate::script;

/// First byte of what is in a slot: an entry, whose bytes come behind its generation.
const ENTRY: u8 = b'E';

/// First byte of a placeholder, which is nothing but its generation.
const PLACEHOLDER: u8 = b'P';

/// Length of the first byte and the generation.
const HEAD: usize = 9;

/// Time for which a version is kept that no entry with a ttl of its own has lengthened.
const VERSION_TTL: Duration = Duration::from_secs(24 * 3_600);

/// Removals that are sent at once.
const BATCH: usize = 256;

/// Redis, Valkey, a Sentinel set or a cluster.
pub(crate) struct RedisBackend {
    pub(crate) router: Router,
    /// Set if fences are taken by a script, because the server has no `SET … NX GET`.
    takes_by_script: AtomicBool,
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("servers", &self.router.options.servers).finish_non_exhaustive()
    }
}

/// Contents of a slot.
enum Slot {
    Empty,
    Placeholder(Fence),
    Entry(Fence, Bytes),
}

impl Slot {
    fn of(reply: Reply) -> Result<Slot> {
        let bytes = match reply {
            Reply::Nil => return Ok(Slot::Empty),
            Reply::BulkString(bytes) => Bytes::from(bytes),
            other => return Err(unexpected(&other)),
        };
        let Some(head) = bytes.get(..HEAD) else { return Err(foreign()) };
        let fence = Fence::bytes(&head[1..])?;
        match head[0] {
            ENTRY => Ok(Slot::Entry(fence, bytes.slice(HEAD..))),
            PLACEHOLDER if bytes.len() == HEAD => Ok(Slot::Placeholder(fence)),
            _ => Err(foreign()),
        }
    }

    fn length(&self) -> usize {
        if let Slot::Entry(_, entry) = self { entry.len() } else { 0 }
    }
}

impl RedisBackend {
    pub(crate) fn new(options: Options) -> RedisBackend {
        let takes_by_script = AtomicBool::new(options.take_by_script);
        RedisBackend { router: Router::new(options), takes_by_script }
    }

    pub(crate) async fn call(&self, key: &str, command: Command) -> Result<Reply> {
        Ok(self.router.call(&Call::new(key, command)).await?)
    }

    async fn script(&self, key: &str, script: &'static script::Script, command: Command) -> Result<Reply> {
        Ok(self.router.call(&Call::script(key, script, command)).await?)
    }

    /// Reads a slot with the fence that is wanted. Returns the fence that was taken, and whether its placeholder was left
    /// here.
    async fn slot_as(&self, key: &str, fence: WantedFence) -> Result<(Slot, Option<Fence>, bool)> {
        match fence {
            WantedFence::Take(lease) => {
                let (slot, fence, placed) = self.take(key, lease).await?;
                Ok((slot, Some(fence), placed))
            }
            _ => Ok((self.look(key).await?, None, false)),
        }
    }

    async fn look(&self, key: &str) -> Result<Slot> {
        let mut get = command("GET");
        get.arg(key);
        self.slot(key, self.call(key, get).await?)
    }

    /// Reads a slot; leaves a placeholder in an empty one. Returns the fence of what is in it, and whether that is the
    /// placeholder left here.
    async fn take(&self, key: &str, lease: Duration) -> Result<(Slot, Fence, bool)> {
        let generation = random().to_le_bytes();
        let mut placeholder = vec![PLACEHOLDER];
        placeholder.extend(generation);
        let reply = match self.take_by_command(key, &placeholder, lease).await? {
            Some(reply) => reply,
            None => {
                let mut take = script::TAKE.on(&[key]);
                take.arg(&placeholder).arg(milliseconds(lease));
                self.script(key, &script::TAKE, take).await?
            }
        };
        match self.slot(key, reply)? {
            Slot::Empty => Ok((Slot::Empty, Fence::bytes(&generation)?, true)),
            Slot::Placeholder(fence) => Ok((Slot::Empty, fence, false)),
            Slot::Entry(fence, entry) => Ok((Slot::Entry(fence, entry), fence, false)),
        }
    }

    /// Takes by one command; `None` where the server has none for it.
    async fn take_by_command(&self, key: &str, placeholder: &[u8], lease: Duration) -> Result<Option<Reply>> {
        if self.takes_by_script.load(Ordering::Relaxed) || self.router.open(key).await?.greeting.version < (7, 0) {
            return Ok(None);
        }
        let mut set = command("SET");
        set.arg(key).arg(placeholder).arg("NX").arg("GET").arg("PX").arg(milliseconds(lease));
        match self.router.call(&Call::new(key, set)).await {
            Ok(reply) => Ok(Some(reply)),
            Err(problem) if problem.is_syntax() => {
                self.takes_by_script.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(problem) => Err(problem.into()),
        }
    }

    fn slot(&self, key: &str, reply: Reply) -> Result<Slot> {
        let slot = Slot::of(reply)?;
        self.router.large.note(key, slot.length());
        Ok(slot)
    }

    /// Returns the versions of groups; `make` gives those a version that have none.
    async fn versions_of(&self, groups: &[&str], make: bool) -> Result<GroupVersions> {
        let keys: Vec<String> = groups.iter().map(|group| key_of(group)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut parts = Vec::new();
        for run in runs(&keys) {
            parts.push(self.versions_of_slot(run, make));
        }
        let mut versions = GroupVersions::new();
        for part in join_all(parts).await {
            versions.extend(part?);
        }
        Ok(versions)
    }

    /// Returns the versions at keys that share a slot.
    async fn versions_of_slot(&self, keys: &[&str], make: bool) -> Result<Vec<Option<GroupVersion>>> {
        let Some(first) = keys.first() else { return Ok(Vec::new()) };
        let reply = match make {
            false => {
                let mut get = command("MGET");
                get.arg(keys);
                self.call(first, get).await?
            }
            true => {
                let mut made = script::MAKE_VERSIONS.on(keys);
                made.arg(milliseconds(VERSION_TTL));
                for _ in keys {
                    made.arg(random_base());
                }
                self.script(first, &script::MAKE_VERSIONS, made).await?
            }
        };
        let Reply::Array(found) = reply else { return Err(unexpected(&reply)) };
        if found.len() != keys.len() {
            return Err(Error::new(ErrorKind::Backend, "the server answered with another number of versions"));
        }
        let one = |reply: &Reply| if let Reply::BulkString(text) = reply { version(text) } else { None };
        Ok(found.iter().map(one).collect())
    }

    /// Keeps the versions of groups at least as long as an entry.
    async fn keep_versions(&self, groups: &[&str], ttl: Option<Duration>) -> Result<()> {
        let keys: Vec<String> = groups.iter().map(|group| key_of(group)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let keep = runs(&keys).map(|run| async move {
            let mut keep = script::KEEP_VERSIONS.on(run);
            keep.arg(ttl.map_or_else(String::new, |ttl| milliseconds(ttl).to_string()));
            self.script(run[0], &script::KEEP_VERSIONS, keep).await.map(drop)
        });
        join_all(keep).await.into_iter().collect()
    }

    async fn store_on(&self, key: &str, fence: Fence, entry: &[u8], ttl: Option<Duration>) -> Result<Stored> {
        let mut value = Vec::with_capacity(HEAD + entry.len());
        value.push(ENTRY);
        value.extend(random().to_le_bytes());
        value.extend(entry);
        self.router.large.note(key, value.len());
        let mut store = script::STORE.on(&[key]);
        store.arg(fence.as_bytes()).arg(&value);
        store.arg(ttl.map_or_else(String::new, |ttl| milliseconds(ttl).to_string()));
        Ok(if is_one(&self.script(key, &script::STORE, store).await?)? { Stored::Yes } else { Stored::Refused })
    }
}

#[async_trait]
impl Backend for RedisBackend {
    fn capabilities(&self) -> Capabilities {
        Capabilities::none().fences().versions().scan().set_if_absent().native_ttl().shared().persistent().leases()
    }

    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        // Nothing is written for a caller that may not load: neither a placeholder nor a version.
        let makes = matches!(read.fence, WantedFence::Take(_));
        let slot = self.slot_as(key, read.fence);
        let (slot, versions) = match read.groups {
            [] => (slot.await, Ok(GroupVersions::new())),
            groups => join(slot, self.versions_of(groups, makes)).await,
        };
        let ((slot, taken, placed), versions) = (slot?, versions?);
        let (entry, shown) = match slot {
            Slot::Empty => (None, None),
            Slot::Placeholder(fence) => (None, Some(fence)),
            Slot::Entry(fence, entry) => (Some(entry), Some(fence)),
        };
        let fence = if read.fence == WantedFence::None { None } else { taken.or(shown) };
        let snapshot = Snapshot::new(entry, fence, versions);
        Ok(if placed { snapshot.placed() } else { snapshot })
    }

    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        let StoreCondition::Fenced(fence) = terms.when else {
            return Err(Error::new(ErrorKind::Unsupported, "this backend stores on a fence only"));
        };
        let stored = self.store_on(key, fence, &entry, terms.ttl);
        if terms.groups.is_empty() {
            return stored.await;
        }
        // In one trip: an entry that outlives its versions is a miss, not a fault.
        let (stored, kept) = join(stored, self.keep_versions(terms.groups, terms.ttl)).await;
        kept.and(stored)
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        is_one(&self.script(key, &script::REMOVE, script::REMOVE.on(&[key])).await?)
    }

    async fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        let mut removed = 0;
        for batch in keys.chunks(BATCH) {
            for outcome in join_all(batch.iter().map(|key| self.remove(key))).await {
                removed += u64::from(outcome?);
            }
        }
        Ok(removed)
    }

    async fn renew(&self, key: &str, fence: Fence, lease: Duration) -> Result<bool> {
        let mut renew = script::RENEW.on(&[key]);
        renew.arg(placeholder(fence)).arg(milliseconds(lease));
        is_one(&self.script(key, &script::RENEW, renew).await?)
    }

    async fn release(&self, key: &str, fence: Fence) -> Result<bool> {
        let mut release = script::RELEASE.on(&[key]);
        release.arg(placeholder(fence));
        is_one(&self.script(key, &script::RELEASE, release).await?)
    }

    async fn health(&self) -> Result<()> {
        let nodes = self.router.primaries().await?;
        let pings = nodes
            .into_iter()
            .map(|node| async move { self.router.call_at(node, &Call::new("", command("PING"))).await });
        for reply in join_all(pings).await {
            reply?;
        }
        Ok(())
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.page(scan).await
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }

    async fn close(&self) -> Result<()> {
        self.router.close();
        Ok(())
    }
}

#[async_trait]
impl Versions for RedisBackend {
    async fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        let key = key_of(group);
        let mut raise = script::RAISE.on(&[&key]);
        raise.arg(if strength == Strength::Hard { "h" } else { "s" });
        raise.arg(random_base()).arg(milliseconds(VERSION_TTL));
        let reply = self.script(&key, &script::RAISE, raise).await?;
        let raised = if let Reply::BulkString(text) = &reply { version(text) } else { None };
        raised.ok_or_else(|| unexpected(&reply))
    }
}

fn placeholder(fence: Fence) -> Vec<u8> {
    [&[PLACEHOLDER], fence.as_bytes()].concat()
}

/// Returns times as the server takes them: at least one millisecond.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    // Servers refuse a time that, added to now, exceeds 63 bits.
    const MOST: u64 = 1 << 52;
    u64::try_from(time.as_millis()).unwrap_or(MOST).clamp(1, MOST)
}

/// Splits keys into runs that share a slot.
fn runs<'a>(keys: &'a [&'a str]) -> impl Iterator<Item = &'a [&'a str]> {
    keys.chunk_by(|one, next| hashtag(one) == hashtag(next) && hashtag(one).is_some())
}

fn hashtag(key: &str) -> Option<&str> {
    key.split_once('{')?.1.split_once('}').map(|(tag, _)| tag)
}

fn is_one(reply: &Reply) -> Result<bool> {
    match reply {
        Reply::Int(number) => Ok(*number == 1),
        other => Err(unexpected(other)),
    }
}

pub(crate) fn unexpected(reply: &Reply) -> Error {
    let kind = match reply {
        Reply::Nil => "nothing",
        Reply::Int(_) => "a number",
        Reply::BulkString(_) | Reply::SimpleString(_) => "a text",
        Reply::Array(_) => "a list",
        _ => "something else",
    };
    Error::new(ErrorKind::Backend, format!("the server answered with {kind} where something else was expected"))
}

fn foreign() -> Error {
    Error::new(ErrorKind::Backend, "what is stored there is no entry of retainit")
}
