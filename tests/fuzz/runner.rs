use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

thread_local! {
    /// The engine catches panics of serializers; here they are found all the same.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs a target from seed to seed. A panic, whoever catches it, ends the run and names the seed.
pub(crate) fn run(default: u64, mut iteration: impl FnMut(&mut Random)) {
    count_panics();
    let (first, iterations) = (setting("FUZZ_SEED").unwrap_or(1), setting("FUZZ_ITERATIONS").unwrap_or(default));
    for seed in first..first + iterations {
        let result = catch_unwind(AssertUnwindSafe(|| iteration(&mut Random::new(seed))));
        if result.is_err() || PANICS.take() > 0 {
            eprintln!("failed at FUZZ_SEED={seed} FUZZ_ITERATIONS=1");
            match result {
                Err(panic) => resume_unwind(panic),
                Ok(()) => panic!("something has panicked inside the engine"),
            }
        }
    }
}

/// Generates equal numbers for equal seeds: splitmix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, or zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
