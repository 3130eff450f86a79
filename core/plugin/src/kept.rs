//! A value as object backends keep it: erased, in one word where it fits, with the times of its life.
//!
//! This file owns the only unsafe code of the contracts: erasing a value's type and getting it back.
#![expect(unsafe_code, reason = "values are erased so that functions of different types share one store")]

use std::any::TypeId;
use std::cell::RefCell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, needs_drop, size_of};
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Error, ErrorKind, Mark, Moment, Result, caught};

/// What can be kept in memory.
pub trait StoredValue: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> StoredValue for V {}

/// The times of an entry's life, as given when it is stored.
#[derive(Debug)]
pub struct Life {
    /// The instance's generation before the load began.
    pub generation: u64,
    /// When it was stored.
    pub created: Moment,
    /// When it stops being fresh.
    pub fresh_until: Moment,
    /// How long the load took; kept with six significant bits.
    pub load_time: Duration,
    /// What only some entries have.
    pub extra: Option<Extra>,
}

/// What only some entries have.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Extra {
    /// The tags it carries.
    pub tags: Box<[Arc<Mark>]>,
    /// It expires after this long without being read.
    pub idle: Option<Duration>,
    /// After its freshness: how much longer it may be served at once while it is loaded again.
    pub stale_for: Duration,
    /// After that: how much longer it may stand in for a failed load.
    pub grace_for: Duration,
    accessed: AtomicU64,
}

impl Extra {
    /// Tags and nothing else.
    pub fn tags(tags: impl Into<Box<[Arc<Mark>]>>) -> Extra {
        Extra { tags: tags.into(), ..Extra::default() }
    }

    /// When it was last read; the moment it was stored if it never was.
    pub fn accessed(&self) -> Moment {
        Moment::from_millis(self.accessed.load(Ordering::Relaxed))
    }
}

/// A value of any type with the times of its life.
///
/// ```
/// use retainit_plugin::{Kept, Life, Moment};
///
/// let kept = Kept::new("text".to_owned(), Life {
///     generation: 1,
///     created: Moment::from_millis(10),
///     fresh_until: Moment::from_millis(20),
///     load_time: std::time::Duration::ZERO,
///     extra: None,
/// });
/// assert_eq!(kept.value::<String>().map(String::as_str), Some("text"));
/// assert_eq!(kept.value::<u64>(), None);
/// ```
pub struct Kept {
    word: Word,
    value: &'static ValueType,
    generation: AtomicU64,
    fresh_until: Moment,
    /// `created` in the upper 44 bits (557 years of milliseconds), the load time in the lower 20.
    times: u64,
}

type Word = MaybeUninit<usize>;

/// How a value lies in its word. One per value type and per form.
struct ValueType {
    id: TypeId,
    name: fn() -> &'static str,
    boxed: bool,
    drop: unsafe fn(&mut Word),
    extra: unsafe fn(&Word) -> Option<&Extra>,
}

struct Boxed<V> {
    extra: Option<Extra>,
    value: V,
}

const fn fits<V>() -> bool {
    size_of::<V>() <= size_of::<Word>() && align_of::<V>() <= align_of::<Word>()
}

struct Form<V>(std::marker::PhantomData<V>);

impl<V: 'static> Form<V> {
    const INLINE: &'static ValueType = &ValueType {
        id: TypeId::of::<V>(),
        name: std::any::type_name::<V>,
        boxed: false,
        drop: |word| {
            // SAFETY: only called through a `Kept` whose word holds an initialised `V`, and once.
            contained::<V>(|| unsafe { word.as_mut_ptr().cast::<V>().drop_in_place() });
        },
        extra: |_| None,
    };
    const BOXED: &'static ValueType = &ValueType {
        id: TypeId::of::<V>(),
        name: std::any::type_name::<V>,
        boxed: true,
        drop: |word| {
            // SAFETY: only called through a `Kept` whose word holds the pointer `Box::into_raw` gave, and once.
            let boxed = unsafe { Box::from_raw(word.as_ptr().cast::<*mut Boxed<V>>().read()) };
            contained::<V>(|| drop(boxed));
        },
        // SAFETY: the word holds a pointer to a live `Boxed<V>` that only `drop` frees; the borrow of the word keeps
        // the `Kept` from being dropped or changed.
        extra: |word| unsafe { (*word.as_ptr().cast::<*const Boxed<V>>().read()).extra.as_ref() },
    };
}

impl Kept {
    /// Keeps `value` with its times. A value of at most one word with nothing extra costs no allocation.
    pub fn new<V: Send + Sync + 'static>(value: V, life: Life) -> Kept {
        let mut word = Word::uninit();
        let form = if fits::<V>() && life.extra.is_none() {
            // SAFETY: `fits` says that size and alignment of `V` are those of the word or smaller.
            unsafe { word.as_mut_ptr().cast::<V>().write(value) };
            Form::<V>::INLINE
        } else {
            if let Some(extra) = &life.extra {
                extra.accessed.store(life.created.as_millis(), Ordering::Relaxed);
            }
            let boxed = Box::into_raw(Box::new(Boxed { extra: life.extra, value }));
            // SAFETY: a thin pointer is a word.
            unsafe { word.as_mut_ptr().cast::<*mut Boxed<V>>().write(boxed) };
            Form::<V>::BOXED
        };
        Kept {
            word,
            value: form,
            generation: AtomicU64::new(life.generation),
            fresh_until: life.fresh_until,
            times: life.created.as_millis() << LOAD_BITS | compress(life.load_time),
        }
    }

    /// The value, if it is a `V`.
    #[inline(always)]
    pub fn value<V: 'static>(&self) -> Option<&V> {
        let at: *const V = if fits::<V>() && ptr::eq(self.value, Form::<V>::INLINE) {
            self.word.as_ptr().cast()
        } else {
            self.value_elsewhere()?
        };
        // SAFETY: both ways give a pointer to the live `V` in this `Kept`: the forms carry the type's identity, and
        // the borrow of `self` outlives the reference.
        Some(unsafe { &*at })
    }

    /// Boxed values, and those whose form was instantiated in another crate.
    #[inline]
    fn value_elsewhere<V: 'static>(&self) -> Option<*const V> {
        if self.value.id != TypeId::of::<V>() {
            return None;
        }
        Some(if self.value.boxed {
            // SAFETY: the form says that the word holds a pointer to a live `Boxed<V>`, which only `drop` frees.
            unsafe { &raw const (*self.word.as_ptr().cast::<*const Boxed<V>>().read()).value }
        } else {
            self.word.as_ptr().cast()
        })
    }

    /// The instance's generation that this entry is known to be valid for.
    #[inline(always)]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Notes that the entry was found valid at a later generation.
    pub fn confirm(&self, generation: u64) {
        self.generation.fetch_max(generation, Ordering::Relaxed);
    }

    /// When it stops being fresh.
    #[inline(always)]
    pub fn fresh_until(&self) -> Moment {
        self.fresh_until
    }

    /// When nobody has any use for it any more: freshness, stale time and grace together, or its idle time.
    pub fn ends(&self) -> Moment {
        let Some(extra) = self.extra() else {
            return self.fresh_until;
        };
        let aged = match self.fresh_until {
            Moment::NEVER => Moment::NEVER,
            fresh_until => fresh_until.after(extra.stale_for + extra.grace_for),
        };
        extra.idle.map_or(aged, |idle| extra.accessed().after(idle).min(aged))
    }

    /// When it was stored.
    pub fn created(&self) -> Moment {
        Moment::from_millis(self.times >> LOAD_BITS)
    }

    /// How long its load took, to six significant bits.
    pub fn load_time(&self) -> Duration {
        expand(self.times & ((1 << LOAD_BITS) - 1))
    }

    /// What only some entries have. Free for a value in a word.
    #[inline(always)]
    pub fn extra(&self) -> Option<&Extra> {
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

    /// The Rust name of its value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        (self.value.name)()
    }

    /// Drops it, as a backend does that tells of it: wherever else it is dropped, a panic of the value's own `Drop` ends
    /// in the log.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Backend`] with the text of that panic.
    pub fn discard(self) -> Result<()> {
        // They nest: a value that is dropped may make calls by which others are.
        let outer = CAUGHT.try_with(|caught| caught.replace(Caught::Wanted)).unwrap_or(Caught::Unwanted);
        drop(self);
        match CAUGHT.try_with(|caught| caught.replace(outer)) {
            Ok(Caught::This(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Kept {
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

/// Where the panic of a value that is dropped goes.
enum Caught {
    /// To the log.
    Unwanted,
    /// To [`Kept::discard`].
    Wanted,
    This(Error),
}

thread_local! {
    static CAUGHT: RefCell<Caught> = const { RefCell::new(Caught::Unwanted) };
}

/// Drops a value of type `V`. A panic of its `Drop` ends here, for it may come in the middle of anything: of another
/// key's call, or of another panic, where it would end the process.
#[inline]
fn contained<V>(drop: impl FnOnce()) {
    if !needs_drop::<V>() {
        return drop();
    }
    if let Err(error) = caught(ErrorKind::Backend, "the `Drop` of a value", drop) {
        report(error.context("type", std::any::type_name::<V>()));
    }
}

#[cold]
fn report(error: Error) {
    let mut error = Some(error);
    let keep = |caught: &RefCell<Caught>| {
        if matches!(*caught.borrow(), Caught::Wanted)
            && let Some(error) = error.take()
        {
            caught.replace(Caught::This(error));
        }
    };
    CAUGHT.try_with(keep).ok();
    if let Some(error) = error {
        // A log may be the user's too.
        drop(caught(ErrorKind::Backend, "the log", || tracing::warn!(target: "retainit", %error, "cache_error")));
    }
}

// SAFETY: `Kept::new` asks for `V: Send + Sync`; everything else in it is.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("type", &self.type_name())
            .field("created", &self.created())
            .field("fresh_until", &self.fresh_until)
            .field("generation", &self.generation())
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

    fn life(extra: Option<Extra>) -> Life {
        Life {
            generation: 3,
            created: Moment::from_millis(1_000),
            fresh_until: Moment::from_millis(2_000),
            load_time: Duration::from_millis(12),
            extra,
        }
    }

    #[test]
    fn values_of_every_form_come_back_and_are_dropped_once() {
        let counted = Arc::new(5u8);
        for extra in [None, Some(Extra::default())] {
            let kept = Kept::new(counted.clone(), life(extra));
            assert_eq!(kept.value::<Arc<u8>>().map(|v| **v), Some(5));
            assert_eq!(kept.value::<u64>(), None);
            assert_eq!(Arc::strong_count(&counted), 2);
            drop(kept);
            assert_eq!(Arc::strong_count(&counted), 1);
        }
        let wide = Kept::new((counted.clone(), [7u64; 9]), life(None));
        assert_eq!(wide.value::<(Arc<u8>, [u64; 9])>().map(|v| v.1[8]), Some(7));
        drop(wide);
        assert_eq!(Arc::strong_count(&counted), 1);
        assert_eq!(Kept::new((), life(None)).value::<()>(), Some(&()));
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
        for extra in [None, Some(Extra::default())] {
            let kept = || Kept::new(Fragile(counted.clone()), life(extra.as_ref().map(|_| Extra::default())));
            let error = kept().discard().expect_err("it has panicked");
            assert!(error.to_string().starts_with("the `Drop` of a value has panicked: as it should"), "{error}");
            drop(kept());
            assert!(
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let _kept = kept();
                    panic!("another");
                }))
                .is_err()
            );
            assert_eq!(Arc::strong_count(&counted), 1, "the rest of the value is dropped all the same");
        }
        drop(Contained::new(Fragile(counted.clone())));
        std::mem::forget(Contained::new(Fragile(counted.clone())).into_inner());
        assert_eq!(Arc::strong_count(&counted), 2);
        assert_eq!(Kept::new(counted, life(None)).discard().map_err(|error| error.to_string()), Ok(()));
    }

    #[test]
    fn times_survive() {
        let kept = Kept::new(1u8, life(None));
        assert_eq!(kept.created(), Moment::from_millis(1_000));
        assert_eq!(kept.load_time(), Duration::from_millis(12));
        for micros in [0, 1, 16_383, 16_384, 1_000_000, u64::MAX >> 1] {
            let back = expand(compress(Duration::from_micros(micros))).as_micros() as f64;
            assert!((back - micros as f64).abs() <= micros as f64 / 8_000.0, "{micros} came back as {back}");
        }
    }

    #[test]
    fn an_entry_ends_when_its_last_use_does() {
        let extra =
            Extra { stale_for: Duration::from_millis(10), grace_for: Duration::from_millis(5), ..Extra::default() };
        assert_eq!(Kept::new(1u8, life(Some(extra))).ends(), Moment::from_millis(2_015));
        let idle = Extra { idle: Some(Duration::from_millis(100)), ..Extra::default() };
        let kept = Kept::new(1u8, life(Some(idle)));
        assert_eq!(kept.ends(), Moment::from_millis(1_100));
        kept.touch(Moment::from_millis(1_500));
        assert_eq!(kept.ends(), Moment::from_millis(1_600));
    }

    #[test]
    fn a_slot_of_memory_is_small() {
        assert_eq!(size_of::<Kept>(), 40);
    }
}
