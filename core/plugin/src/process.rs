//! Distinguishes a process from the children it forks.
//!
//! A child of `fork` has the memory of its parent and one of its threads. Locks that other threads held stay locked for
//! good, and their work is never done; a database or a log that was open belongs to the parent. State that depends on
//! threads or locks therefore remembers the process it was made in, and is left alone in any other.
#![expect(unsafe_code, reason = "only a handler of the C library is called in a child before anything else runs there")]

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Number of forks between this process and the first one that asked.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Further work that a child does at once.
static HOOK: OnceLock<fn()> = OnceLock::new();

/// A process: this one, or one of which it is a child.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::Process;
///
/// let process = Process::current();
/// assert!(process.is_current(), "until this program forks, and then in the parent only");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// Returns the process that runs the caller. From the first call on, forks are noticed.
    pub fn current() -> Process {
        notice_forks();
        Process(FORKS.load(Ordering::Relaxed))
    }

    /// Returns whether this process runs the caller: one relaxed load.
    #[inline(always)]
    pub fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Registers a function that each child of this process calls before anything else: it may use atomics and nothing
/// else. There is one such function, the engine's.
#[doc(hidden)]
pub fn on_fork(hook: fn()) {
    HOOK.get_or_init(|| hook);
    notice_forks();
}

#[cfg(unix)]
fn notice_forks() {
    use std::ffi::c_int;

    type Handler = Option<unsafe extern "C" fn()>;

    // SAFETY: this is its declaration in POSIX.
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }

    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = HOOK.get() {
            hook();
        }
    }

    static IS_NOTICED: AtomicBool = AtomicBool::new(false);
    if !IS_NOTICED.load(Ordering::Relaxed) && !IS_NOTICED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler is a function of this program, and what it does is allowed in a child: it locks nothing
        // and allocates nothing. That there is no memory for it, no program has met.
        let _ = unsafe { pthread_atfork(None, None, Some(in_child)) };
    }
}

#[cfg(not(unix))]
fn notice_forks() {}

/// A static that each process has for itself: a child begins with a new one, whoever held the old one when it was
/// forked.
pub struct PerProcess<T: 'static> {
    make: fn() -> T,
    first: ProcessNode<T>,
}

/// One for each fork between the first process and this.
struct ProcessNode<T> {
    made: OnceLock<(Process, T)>,
    next: OnceLock<Box<ProcessNode<T>>>,
}

impl<T> ProcessNode<T> {
    const fn new() -> ProcessNode<T> {
        ProcessNode { made: OnceLock::new(), next: OnceLock::new() }
    }
}

impl<T> PerProcess<T> {
    /// Makes a static that `make` initializes in each process that uses it.
    pub const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess { make, first: ProcessNode::new() }
    }

    /// Returns the value of this process.
    pub fn get(&self) -> &T {
        let mut node = &self.first;
        loop {
            let (process, made) = node.made.get_or_init(|| (Process::current(), (self.make)()));
            if process.is_current() {
                return made;
            }
            node = node.next.get_or_init(|| Box::new(ProcessNode::new()));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PerProcess").field(self.get()).finish()
    }
}
