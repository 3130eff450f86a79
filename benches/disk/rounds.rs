//! Rounds that alternate between contenders, so that other load of the machine affects all alike.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

pub(crate) struct Contender {
    name: &'static str,
    face: Face,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Face {
    Threads(Box<dyn Fn(usize) + Sync>),
    Tasks(Arc<dyn Fn(usize) -> Task + Send + Sync>),
}

/// Measured times of one contender.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Median over the rounds: time of the round over the number of its operations.
    pub(crate) nanos: f64,
    /// Median over the rounds: how much more per second than the first contender in the same round.
    pub(crate) ratio: f64,
}

pub(crate) struct Group {
    pub(crate) rounds: usize,
    pub(crate) operations: usize,
    pub(crate) callers: usize,
}

/// Runs each contender once per round, in an order that moves on with each. What comes before the first round warms up.
pub(crate) fn measure(group: &Group, contenders: &[Contender], runtime: &Runtime) -> Vec<Measured> {
    let count = contenders.len();
    let mut times = vec![Vec::new(); count];
    for round in 0..=group.rounds {
        for turn in 0..count {
            let at = (turn + round) % count;
            let took = group.run(&contenders[at], round, runtime);
            if round > 0 {
                times[at].push(took.as_nanos() as f64 / group.operations as f64);
            }
        }
    }
    let first = times[0].clone();
    let ratio = |mine: &[f64]| median(first.iter().zip(mine).map(|(its, mine)| its / mine).collect());
    (contenders.iter().zip(times))
        .map(|(contender, times)| Measured { name: contender.name, ratio: ratio(&times), nanos: median(times) })
        .collect()
}

impl Contender {
    /// Runs a step on the calling thread.
    pub(crate) fn threads(name: &'static str, step: impl Fn(usize) + Sync + 'static) -> Contender {
        Contender { name, face: Face::Threads(Box::new(step)) }
    }

    /// Gives the future of a step.
    pub(crate) fn tasks<F: Future<Output = ()> + Send + 'static>(
        name: &'static str,
        step: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Contender {
        Contender { name, face: Face::Tasks(Arc::new(move |at| Box::pin(step(at)))) }
    }
}

impl Group {
    /// Runs a round and returns the time from the first operation of a round to the end of the last.
    fn run(&self, contender: &Contender, round: usize, runtime: &Runtime) -> Duration {
        match &contender.face {
            Face::Threads(step) if self.callers == 1 => {
                let begun = now();
                self.steps(round, 0).for_each(step);
                begun.elapsed()
            }
            Face::Threads(step) => self.on_threads(round, step),
            Face::Tasks(step) => {
                let begun = now();
                runtime.block_on(self.in_tasks(round, step));
                begun.elapsed()
            }
        }
    }

    /// Returns the steps of one caller.
    fn steps(&self, round: usize, caller: usize) -> impl Iterator<Item = usize> + Send + use<> {
        let from = round * self.operations;
        (from + caller..from + self.operations).step_by(self.callers)
    }

    fn on_threads(&self, round: usize, step: &(dyn Fn(usize) + Sync)) -> Duration {
        let (ready, go) = (Barrier::new(self.callers + 1), Barrier::new(self.callers + 1));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.callers)
                .map(|caller| {
                    let (ready, go, steps) = (&ready, &go, self.steps(round, caller));
                    scope.spawn(move || {
                        ready.wait();
                        go.wait();
                        steps.for_each(step);
                    })
                })
                .collect();
            ready.wait();
            let begun = now();
            go.wait();
            for thread in threads {
                thread.join().expect("contenders do not panic");
            }
            begun.elapsed()
        })
    }

    async fn in_tasks(&self, round: usize, step: &Arc<dyn Fn(usize) -> Task + Send + Sync>) {
        let callers: Vec<_> = (0..self.callers)
            .map(|caller| {
                let (step, steps) = (Arc::clone(step), self.steps(round, caller));
                tokio::spawn(async move {
                    for at in steps {
                        step(at).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("contenders do not panic");
        }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
