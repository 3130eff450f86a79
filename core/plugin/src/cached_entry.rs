//! A cached value of an object backend: type-erased, in one word where it fits, with its times.
//!
//! This file owns the only unsafe code of the contracts: erasing a value's type and getting it back.
#![expect(unsafe_code, reason = "values are erased so that functions of different types share one store")]

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, needs_drop, size_of};
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Error, ErrorKind, Moment, Result, TagEpoch, caught};

/// A value that can be kept in memory.
pub trait StoredValue: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> StoredValue for V {}

/// Times of an entry, as given when it is stored.
#[derive(Debug)]
pub struct EntryTimes {
    /// Epoch of the instance before the load began.
    pub epoch: u64,
    /// Time of the store.
    pub created: Moment,
    /// End of its freshness.
    pub fresh_until: Moment,
    /// Duration of the load, with six significant bits.
    pub load_time: Duration,
    /// Metadata that only some entries have.
    pub extra: Option<EntryMeta>,
}

/// Metadata that only some entries have.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct EntryMeta {
    /// The tags it carries.
    pub tags: Box<[Arc<TagEpoch>]>,
    /// Time without a read after which it expires.
    pub idle: Option<Duration>,
    /// Time after its freshness during which it may be served at once while it is loaded again.
    pub stale_for: Duration,
    /// Further time after that during which it may replace a failed load.
    pub grace_for: Duration,
    accessed: AtomicU64,
}

impl EntryMeta {
    /// Makes metadata of tags alone.
    pub fn tags(tags: impl Into<Box<[Arc<TagEpoch>]>>) -> EntryMeta {
        EntryMeta { tags: tags.into(), ..EntryMeta::default() }
    }

    /// Returns the time of the last read; that of the store if it was never read.
    pub fn accessed(&self) -> Moment {
        Moment::from_millis(self.accessed.load(Ordering::Relaxed))
    }
}

/// A value of any type with its times.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{CachedEntry, EntryTimes, Moment};
///
/// let cached = CachedEntry::new("text".to_owned(), EntryTimes {
///     epoch: 1,
///     created: Moment::from_millis(10),
///     fresh_until: Moment::from_millis(20),
///     load_time: std::time::Duration::ZERO,
///     extra: None,
/// });
/// assert_eq!(cached.value::<String>().map(String::as_str), Some("text"));
/// assert_eq!(cached.value::<u64>(), None);
/// ```
pub struct CachedEntry {
    word: Word,
    value: &'static FormTable,
    epoch: AtomicU64,
    fresh_until: Moment,
    /// `created` in the upper 44 bits (557 years of milliseconds), the load time in the lower 20.
    times: u64,
}

type Word = MaybeUninit<usize>;

/// Functions for one form of a value in its word. One table per value type and form.
struct FormTable {
    id: TypeId,
    name: fn() -> &'static str,
    boxed: bool,
    drop: unsafe fn(&mut Word),
    extra: unsafe fn(&Word) -> Option<&EntryMeta>,
}

struct BoxedValue<V> {
    extra: Option<EntryMeta>,
    value: V,
}

const fn fits<V>() -> bool {
    size_of::<V>() <= size_of::<Word>() && align_of::<V>() <= align_of::<Word>()
}

struct ValueForm<V>(std::marker::PhantomData<V>);

impl<V: 'static> ValueForm<V> {
    const INLINE: &'static FormTable = &FormTable {
        id: TypeId::of::<V>(),
        name: std::any::type_name::<V>,
        boxed: false,
        drop: |word| {
            // SAFETY: only called through a `CachedEntry` whose word holds an initialised `V`, and once.
            contained::<V>(|| unsafe { word.as_mut_ptr().cast::<V>().drop_in_place() });
        },
        extra: |_| None,
    };
    const BOXED: &'static FormTable = &FormTable {
        id: TypeId::of::<V>(),
        name: std::any::type_name::<V>,
        boxed: true,
        drop: |word| {
            // SAFETY: only called through a `CachedEntry` whose word holds the pointer `Box::into_raw` gave, and once.
            let boxed = unsafe { Box::from_raw(word.as_ptr().cast::<*mut BoxedValue<V>>().read()) };
            contained::<V>(|| drop(boxed));
        },
        // SAFETY: the word holds a pointer to a live `BoxedValue<V>` that only `drop` frees; the borrow of the word
        // keeps the `CachedEntry` from being dropped or changed.
        extra: |word| unsafe { (*word.as_ptr().cast::<*const BoxedValue<V>>().read()).extra.as_ref() },
    };
}

impl CachedEntry {
    /// Keeps `value` with its times. A value of at most one word with nothing extra costs no allocation.
    pub fn new<V: Send + Sync + 'static>(value: V, times: EntryTimes) -> CachedEntry {
        let mut word = Word::uninit();
        let form = if fits::<V>() && times.extra.is_none() {
            // SAFETY: `fits` ensures that size and alignment of `V` are those of the word or smaller.
            unsafe { word.as_mut_ptr().cast::<V>().write(value) };
            ValueForm::<V>::INLINE
        } else {
            if let Some(extra) = &times.extra {
                extra.accessed.store(times.created.as_millis(), Ordering::Relaxed);
            }
            let boxed = Box::into_raw(Box::new(BoxedValue { extra: times.extra, value }));
            // SAFETY: a thin pointer is a word.
            unsafe { word.as_mut_ptr().cast::<*mut BoxedValue<V>>().write(boxed) };
            ValueForm::<V>::BOXED
        };
        CachedEntry {
            word,
            value: form,
            epoch: AtomicU64::new(times.epoch),
            fresh_until: times.fresh_until,
            times: times.created.as_millis() << LOAD_BITS | compress(times.load_time),
        }
    }

    /// Returns the value, if it is a `V`.
    #[inline(always)]
    pub fn value<V: 'static>(&self) -> Option<&V> {
        let at: *const V = if fits::<V>() && ptr::eq(self.value, ValueForm::<V>::INLINE) {
            self.word.as_ptr().cast()
        } else {
            self.value_elsewhere()?
        };
        // SAFETY: both ways give a pointer to the live `V` in this `CachedEntry`: the forms carry the type's identity,
        // and the borrow of `self` outlives the reference.
        Some(unsafe { &*at })
    }

    /// Returns boxed values, and those whose form was instantiated in another crate.
    #[inline]
    fn value_elsewhere<V: 'static>(&self) -> Option<*const V> {
        if self.value.id != TypeId::of::<V>() {
            return None;
        }
        Some(if self.value.boxed {
            // SAFETY: the form ensures that the word holds a pointer to a live `BoxedValue<V>`, which only `drop`
            // frees.
            unsafe { &raw const (*self.word.as_ptr().cast::<*const BoxedValue<V>>().read()).value }
        } else {
            self.word.as_ptr().cast()
        })
    }

    /// Returns the epoch of the instance for which this entry is known to be valid.
    #[inline(always)]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Notes that the entry was found valid at a later epoch.
    pub fn confirm(&self, epoch: u64) {
        self.epoch.fetch_max(epoch, Ordering::Relaxed);
    }

    /// Returns the end of its freshness.
    #[inline(always)]
    pub fn fresh_until(&self) -> Moment {
        self.fresh_until
    }

    /// Returns the time from which the entry is of no more use: freshness, stale time and grace together, or its idle
    /// time.
    pub fn discard_at(&self) -> Moment {
        let Some(extra) = self.extra() else {
            return self.fresh_until;
        };
        let aged = match self.fresh_until {
            Moment::NEVER => Moment::NEVER,
            fresh_until => fresh_until.after(extra.stale_for + extra.grace_for),
        };
        extra.idle.map_or(aged, |idle| extra.accessed().after(idle).min(aged))
    }

    /// Returns the time of the store.
    pub fn created(&self) -> Moment {
        Moment::from_millis(self.times >> LOAD_BITS)
    }

    /// Returns the duration of the load, to six significant bits.
    pub fn load_time(&self) -> Duration {
        expand(self.times & ((1 << LOAD_BITS) - 1))
    }

    /// Returns the metadata that only some entries have. Free for a value in a word.
    #[inline(always)]
    pub fn extra(&self) -> Option<&EntryMeta> {
        if !self.value.boxed {
            return None;
        }
        // SAFETY: the form belongs to the value in the word.
        unsafe { (self.value.extra)(&self.word) }
    }

    /// Notes that it was read, for entries with an idle time.
    pub fn touch(&self, now: Moment) {
        if let Some(extra) = self.extra() {
            extra.accessed.store(now.as_millis(), Ordering::Relaxed);
        }
    }

    /// Returns the Rust name of its value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        (self.value.name)()
    }

    /// Drops the entry and returns a panic of the value's own `Drop`, which the backend reports. Wherever else an entry
    /// is dropped, the panic is logged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Backend`] with the text of that panic.
    pub fn discard(self) -> Result<()> {
        // They nest: a value that is dropped may make calls by which others are.
        let outer = WANTED.replace(DropPanic::Wanted);
        drop(self);
        match WANTED.replace(outer) {
            DropPanic::Caught => Err(caught_last()),
            DropPanic::Wanted | DropPanic::Unwanted => Ok(()),
        }
    }
}

impl Drop for CachedEntry {
    fn drop(&mut self) {
        // SAFETY: the form belongs to the value in the word, which is dropped here and never used again.
        unsafe { (self.value.drop)(&mut self.word) }
    }
}

/// A value whose `Drop` may panic: whoever drops it last is not its owner, and does not panic with it.
#[doc(hidden)]
pub struct Contained<V>(ManuallyDrop<V>);

impl<V> Contained<V> {
    /// Contains a value.
    pub const fn new(value: V) -> Contained<V> {
        Contained(ManuallyDrop::new(value))
    }

    /// Gives it back to an owner.
    pub fn into_inner(self) -> V {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so the value is taken once and not used again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<V> Deref for Contained<V> {
    type Target = V;

    #[inline(always)]
    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V> Drop for Contained<V> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: only here and in `into_inner`, which does not come here, is the value taken out.
        contained::<V>(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}

impl<V> fmt::Debug for Contained<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contained")
    }
}

/// Destination of the panic of a value that is dropped.
#[derive(Clone, Copy)]
enum DropPanic {
    /// Logged.
    Unwanted,
    /// Returned by [`CachedEntry::discard`].
    Wanted,
    /// Returned too: it is the last of `CAUGHT`.
    Caught,
}

thread_local! {
    // Apart from the errors, so that it has no destructor: each eviction writes it twice.
    static WANTED: Cell<DropPanic> = const { Cell::new(DropPanic::Unwanted) };
    /// Panics that were caught, of the innermost `discard` last.
    static CAUGHT: RefCell<Vec<Error>> = const { RefCell::new(Vec::new()) };
}

#[cold]
fn caught_last() -> Error {
    let last = CAUGHT.try_with(|caught| caught.borrow_mut().pop()).ok().flatten();
    last.unwrap_or_else(|| Error::new(ErrorKind::Backend, "the `Drop` of a value has panicked"))
}

/// Drops a value of type `V`. A panic of its `Drop` ends here, for it may come in the middle of anything: of another
/// key's call, or of another panic, where it would end the process.
#[inline]
fn contained<V>(drop: impl FnOnce()) {
    if !needs_drop::<V>() {
        return drop();
    }
    if let Err(error) = caught(ErrorKind::Backend, "the `Drop` of a value", drop) {
        report(error.with_context("type", std::any::type_name::<V>()));
    }
}

#[cold]
fn report(error: Error) {
    let mut error = Some(error);
    if matches!(WANTED.get(), DropPanic::Wanted) {
        let keep = |caught: &RefCell<Vec<Error>>| caught.borrow_mut().extend(error.take());
        if CAUGHT.try_with(keep).is_ok() {
            WANTED.set(DropPanic::Caught);
        }
    }
    if let Some(error) = error {
        // A log may be the user's too.
        drop(caught(
            ErrorKind::Backend,
            "the log",
            || tracing::warn!(target: "retainit", error = error.report(), "cache_error"),
        ));
    }
}

// SAFETY: `CachedEntry::new` requires `V: Send + Sync`; everything else in it is.
unsafe impl Send for CachedEntry {}
// SAFETY: as above.
unsafe impl Sync for CachedEntry {}

impl fmt::Debug for CachedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("type", &self.type_name())
            .field("created", &self.created())
            .field("fresh_until", &self.fresh_until)
            .field("generation", &self.epoch())
            .finish_non_exhaustive()
    }
}

const LOAD_BITS: u32 = 20;

/// Microseconds as a small float: 14 bits of fraction, 6 of exponent.
fn compress(load_time: Duration) -> u64 {
    let micros = u64::try_from(load_time.as_micros()).unwrap_or(u64::MAX);
    let shift = (64 - micros.leading_zeros()).saturating_sub(14);
    u64::from(shift) << 14 | micros >> shift
}

fn expand(code: u64) -> Duration {
    Duration::from_micros((code & 0x3fff) << (code >> 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(extra: Option<EntryMeta>) -> EntryTimes {
        EntryTimes {
            epoch: 3,
            created: Moment::from_millis(1_000),
            fresh_until: Moment::from_millis(2_000),
            load_time: Duration::from_millis(12),
            extra,
        }
    }

    #[test]
    fn values_of_every_form_come_back_and_are_dropped_once() {
        let counted = Arc::new(5u8);
        for extra in [None, Some(EntryMeta::default())] {
            let cached = CachedEntry::new(counted.clone(), times(extra));
            assert_eq!(cached.value::<Arc<u8>>().map(|v| **v), Some(5));
            assert_eq!(cached.value::<u64>(), None);
            assert_eq!(Arc::strong_count(&counted), 2);
            drop(cached);
            assert_eq!(Arc::strong_count(&counted), 1);
        }
        let wide = CachedEntry::new((counted.clone(), [7u64; 9]), times(None));
        assert_eq!(wide.value::<(Arc<u8>, [u64; 9])>().map(|v| v.1[8]), Some(7));
        drop(wide);
        assert_eq!(Arc::strong_count(&counted), 1);
        assert_eq!(CachedEntry::new((), times(None)).value::<()>(), Some(&()));
    }

    #[test]
    fn a_panic_of_a_value_that_is_dropped_ends_there() {
        struct Fragile(Arc<u8>);
        impl Drop for Fragile {
            fn drop(&mut self) {
                panic!("as it should, {} times", self.0);
            }
        }
        let counted = Arc::new(5u8);
        for extra in [None, Some(EntryMeta::default())] {
            let cached =
                || CachedEntry::new(Fragile(counted.clone()), times(extra.as_ref().map(|_| EntryMeta::default())));
            let error = cached().discard().expect_err("it has panicked");
            assert!(error.to_string().starts_with("the `Drop` of a value has panicked: as it should"), "{error}");
            drop(cached());
            assert!(
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _kept = cached();
                    panic!("another");
                }))
                .is_err()
            );
            assert_eq!(Arc::strong_count(&counted), 1, "the rest of the value is dropped all the same");
        }
        drop(Contained::new(Fragile(counted.clone())));
        std::mem::forget(Contained::new(Fragile(counted.clone())).into_inner());
        assert_eq!(Arc::strong_count(&counted), 2);
        assert_eq!(CachedEntry::new(counted, times(None)).discard().map_err(|error| error.to_string()), Ok(()));
    }

    #[test]
    fn times_survive() {
        let cached = CachedEntry::new(1u8, times(None));
        assert_eq!(cached.created(), Moment::from_millis(1_000));
        assert_eq!(cached.load_time(), Duration::from_millis(12));
        for micros in [0, 1, 16_383, 16_384, 1_000_000, u64::MAX >> 1] {
            let back = expand(compress(Duration::from_micros(micros))).as_micros() as f64;
            assert!((back - micros as f64).abs() <= micros as f64 / 8_000.0, "{micros} came back as {back}");
        }
    }

    #[test]
    fn an_entry_ends_when_its_last_use_does() {
        let extra = EntryMeta {
            stale_for: Duration::from_millis(10),
            grace_for: Duration::from_millis(5),
            ..EntryMeta::default()
        };
        assert_eq!(CachedEntry::new(1u8, times(Some(extra))).discard_at(), Moment::from_millis(2_015));
        let idle = EntryMeta { idle: Some(Duration::from_millis(100)), ..EntryMeta::default() };
        let cached = CachedEntry::new(1u8, times(Some(idle)));
        assert_eq!(cached.discard_at(), Moment::from_millis(1_100));
        cached.touch(Moment::from_millis(1_500));
        assert_eq!(cached.discard_at(), Moment::from_millis(1_600));
    }

    #[test]
    fn a_slot_of_memory_is_small() {
        assert_eq!(size_of::<CachedEntry>(), 40);
    }
}
