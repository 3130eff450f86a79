//! One case: what is under way, and what happens next.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use retainit::Retainit;
use retainit_plugin::Capabilities;
use retainit_testkit::{ByteConfig, ManualClock, Op};

use crate::backends::{Config, Kind, OPERATION};
use crate::operations::{Answer, CACHES, FUNCTION, KEYS, Operation, TAGS, Target, What};
use crate::perform::{Process, WORLD, perform, perform_blocking};
use crate::run::Settings;
use crate::world::{PATIENCE, Random, Stop, World};

/// State of one case.
pub(crate) struct Case {
    pub(crate) world: Arc<World>,
    settings: Settings,
    clock: ManualClock,
    bytes: ByteConfig,
    processes: Vec<Process>,
    running: Vec<Running>,
    next: u64,
}

const WITHOUT_CANCELLATION: Capabilities =
    Capabilities::none().fences().versions().scan().set_if_absent().native_ttl().shared().persistent();

/// An operation under way.
struct Running {
    number: u64,
    began: u64,
    operation: Operation,
    form: Form,
}

enum Form {
    Task { future: Pin<Box<dyn Future<Output = Answer>>>, woken: Arc<Woken> },
    Thread { thread: JoinHandle<()>, answer: Arc<Mutex<Option<Answer>>> },
}

/// A task's waker: the driver polls the task when it is set.
struct Woken {
    set: AtomicBool,
    world: Arc<World>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.set.store(true, Ordering::SeqCst);
        self.world.notify();
    }
}

impl Case {
    pub(crate) fn new(settings: Settings, seed: u64) -> Case {
        let world = World::new(seed, settings.faults);
        WORLD.set(Some(Arc::clone(&world)));
        let clock = ManualClock::new();
        let mut bytes = ByteConfig::new().clock(clock.clone());
        if settings.kind == Kind::LocalWithoutCancellation {
            bytes = bytes.capabilities(WITHOUT_CANCELLATION);
        }
        let shared = settings.kind != Kind::Memory("default") && settings.kind != Kind::Memory("lru");
        let processes = if shared && seed.is_multiple_of(3) { 2 } else { 1 };
        let process = |number: usize| {
            let config = Config {
                kind: settings.kind,
                plant: settings.plant,
                world: Arc::downgrade(&world),
                bytes: if number == 0 { bytes.clone() } else { bytes.share() },
            };
            // Nothing waits for the clock of the machine: what hangs is a mistake.
            let builder = Retainit::builder().clock(clock.clone()).op_timeout(Duration::from_secs(3_600));
            let retainit = builder.register_backend("default", config).build().unwrap();
            let cache = |cache: usize| {
                let builder = retainit.cache::<u64>(CACHES[cache]).tags(TAGS[cache].iter().copied()).ttl("20s");
                // The oracle knows no bound between processes. In one process there is none either.
                let builder = if processes > 1 { builder.max_staleness(Duration::ZERO) } else { builder };
                builder.max_load_time("1h").build().unwrap()
            };
            Process { caches: [cache(0), cache(1)], retainit }
        };
        let processes = (0..processes).map(process).collect();
        Case { world, settings, clock, bytes, processes, running: Vec::new(), next: 0 }
    }

    /// Runs so many steps and lets everything come to its end.
    pub(crate) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step();
            if self.world.violation().is_some() {
                break;
            }
        }
        self.finish();
    }

    fn step(&mut self) {
        self.collect();
        let (stops, ready) = (self.world.stopped(), self.ready());
        match self.world.random(|random| random.below(20)) {
            0..8 if self.running.len() < 6 => self.start(),
            8..14 if !stops.is_empty() => {
                let stop = self.world.random(|random| random.pick(&stops));
                self.go_on(stop);
            }
            14..17 if !ready.is_empty() => {
                let at = self.world.random(|random| random.pick(&ready));
                self.poll(at);
            }
            17 => self.cancel(),
            18 => self.pass_time(),
            19 if self.settings.faults => self.disturb(),
            _ => {}
        }
    }

    /// Ends the case: nothing stops any more, everything has to end, and then every key is read.
    fn finish(&mut self) {
        self.world.stop_no_more();
        self.bytes.faults().heal();
        if !self.drain() {
            return;
        }
        for target in targets() {
            self.begin(Operation { what: What::Get, target: Some(target), process: 0, sets: None }, false);
        }
        self.drain();
    }

    /// Drives everything to its end. False if something waits for ever.
    fn drain(&mut self) -> bool {
        loop {
            self.collect();
            if let Some(stop) = self.world.stopped().first() {
                self.go_on(*stop);
            } else if let Some(at) = self.ready().first() {
                self.poll(*at);
            } else if self.running.is_empty() {
                return true;
            } else if !self.something_comes() {
                self.strand();
                return false;
            }
        }
    }

    fn strand(&mut self) {
        let left: Vec<_> = self.running.iter().map(|r| format!("#{} {}", r.number, r.operation)).collect();
        self.world.complain(format!("nothing is left to happen, and these wait: {}", left.join(", ")));
        // Threads that wait for ever are left to the end of the process.
        self.running.clear();
    }

    // ------------------------------------------------------------------------------------------------- what happens

    fn start(&mut self) {
        let processes = self.processes.len();
        let narrow = self.settings.narrow;
        let (mut operation, on_thread) = self.world.random(|random| {
            let process = random.below(processes as u64) as usize;
            (invent(random, process), narrow || random.one_in(4))
        });
        if narrow && let Some(target) = operation.target.as_mut().filter(|target| target.cache != FUNCTION) {
            *target = Target { cache: 0, key: 0 };
        }
        if let (What::Set | What::SetTagged(_) | What::SetIfAbsent, Some(target)) = (operation.what, operation.target) {
            operation.sets = Some(self.world.conceive(target, Operation::tags(operation.what, target)));
        }
        let of_function = operation.target.is_some_and(|target| target.cache == FUNCTION);
        self.begin(operation, on_thread && !of_function);
    }

    fn begin(&mut self, operation: Operation, on_thread: bool) {
        self.next += 1;
        let number = self.next;
        let how = if on_thread { " on a thread" } else { "" };
        let began = self.world.begin(number, &format!("{operation}{how}"));
        // A refresh loads in any case.
        if operation.raises() || operation.what == What::Refresh {
            self.world.entries(|entries, _| entries.be_uncertain());
        }
        let process = self.processes[operation.process].clone();
        let stops = self.world.events().0;
        let form = if on_thread {
            self.thread(number, began, process, operation.clone())
        } else {
            let future = Box::pin(perform(process, operation.clone(), Arc::clone(&self.world)));
            Form::Task { future, woken: Arc::new(Woken { set: true.into(), world: Arc::clone(&self.world) }) }
        };
        self.running.push(Running { number, began, operation, form });
        let at = self.running.len() - 1;
        match on_thread {
            true => self.settle(at, stops),
            false => self.poll(at),
        }
    }

    fn thread(&self, number: u64, began: u64, process: Process, operation: Operation) -> Form {
        let answer = Arc::new(Mutex::new(None));
        let (given, world) = (Arc::clone(&answer), Arc::clone(&self.world));
        let thread = std::thread::spawn(move || {
            OPERATION.set(Some(number));
            let answer = perform_blocking(&process, &operation, &world);
            world.end(number, began, &operation, &answer);
            *given.lock().unwrap() = Some(answer);
            world.notify();
        });
        Form::Thread { thread, answer }
    }

    /// Polls a task until it stops, ends or waits for others.
    fn poll(&mut self, at: usize) {
        loop {
            let running = &mut self.running[at];
            let Form::Task { future, woken } = &mut running.form else { return };
            woken.set.store(false, Ordering::SeqCst);
            let stops = self.world.events().0;
            self.world.drive(running.number);
            let waker = Waker::from(Arc::clone(woken));
            if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                let Running { number, began, operation, .. } = self.running.swap_remove(at);
                self.world.end(number, began, &operation, &answer);
                return;
            }
            self.settle(at, stops);
            // It may go on at once, or others come first.
            if !self.is_ready(at) || self.world.random(|random| random.one_in(3)) {
                return;
            }
        }
    }

    /// Waits until an operation that was just driven has stopped or ended, or waits for another one.
    ///
    /// The oracle goes by what really happened, so a wait that is cut short costs nothing but the exact repetition of
    /// a case.
    fn settle(&mut self, at: usize, stops: u64) {
        let running = &self.running[at];
        // In memory everything happens in the poll, and only threads have to be waited for.
        let at_once = matches!(self.settings.kind, Kind::Memory(_)) && matches!(running.form, Form::Task { .. });
        let halted = self.world.stopped();
        // A load may wait for another one. A thread that did goes on by itself, and what it does is taken for that of
        // the operation that is driven.
        let uncertain = self.running.iter().filter(|other| other.number != running.number).any(|other| {
            let joined = running.operation.loads()
                && other.operation.loads()
                && other.operation.target == running.operation.target;
            let thread = matches!(other.form, Form::Thread { .. });
            joined || thread && !halted.iter().any(|stop| stop.operation == other.number)
        });
        let limit = match (at_once, uncertain) {
            (true, _) => Duration::ZERO,
            (false, true) => Duration::from_millis(2),
            (false, false) => Duration::from_millis(200),
        };
        self.world.wait(stops, limit, |_| self.is_ready(at) || self.has_ended(at));
    }

    fn go_on(&mut self, stop: Stop) {
        let (stops, ended) = self.world.events();
        let owner = self.running.iter().position(|running| running.number == stop.operation);
        self.world.go_on(stop);
        match owner {
            Some(at) => self.settle(at, stops),
            // What it belonged to was dropped: what is left of it goes on by itself, or is gone too.
            None => drop(self.world.wait(stops, Duration::from_millis(2), |now| now != ended)),
        }
    }

    fn cancel(&mut self) {
        let tasks: Vec<_> = (0..self.running.len()).filter(|at| self.is_task(*at)).collect();
        if tasks.is_empty() || self.world.random(|random| random.one_in(2)) {
            return;
        }
        let at = self.world.random(|random| random.pick(&tasks));
        let Running { number, began, operation, form } = self.running.swap_remove(at);
        self.world.drive(number);
        drop(form);
        self.world.end(number, began, &operation, &Answer::GivenUp);
    }

    fn pass_time(&mut self) {
        let time = self.world.random(|random| random.pick(&[1, 40, 1_000, 15_000, 25_000]));
        self.world.note(format!("{time} ms pass"));
        self.world.entries(|entries, _| entries.forget());
        self.clock.advance(Duration::from_millis(time));
    }

    fn disturb(&mut self) {
        let faults = self.bytes.faults();
        let (op, n, lost, heal) = self.world.random(|random| {
            let op = random.pick(&[Op::Read, Op::Take, Op::Store, Op::Remove, Op::Raise, Op::Scan, Op::All]);
            (op, 1 + random.below(3), random.one_in(2), random.one_in(4))
        });
        match (heal, lost) {
            (true, _) => {
                self.world.note("the backend is healed".into());
                faults.heal();
            }
            (_, true) => {
                self.world.note(format!("the next {n} answers of {op:?} get lost"));
                faults.lose_answer(op, n);
            }
            _ => {
                self.world.note(format!("the next {n} of {op:?} fail"));
                faults.fail(op, n);
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------- questions

    fn is_task(&self, at: usize) -> bool {
        matches!(self.running[at].form, Form::Task { .. })
    }

    fn is_ready(&self, at: usize) -> bool {
        matches!(&self.running[at].form, Form::Task { woken, .. } if woken.set.load(Ordering::SeqCst))
    }

    fn has_ended(&self, at: usize) -> bool {
        matches!(&self.running[at].form, Form::Thread { answer, .. } if answer.lock().unwrap().is_some())
    }

    fn ready(&self) -> Vec<usize> {
        (0..self.running.len()).filter(|at| self.is_ready(*at)).collect()
    }

    /// Takes threads off the list that have ended.
    fn collect(&mut self) {
        while let Some(at) = (0..self.running.len()).find(|at| self.has_ended(*at)) {
            if let Form::Thread { thread, .. } = self.running.swap_remove(at).form {
                thread.join().unwrap();
            }
        }
    }

    fn something_comes(&self) -> bool {
        let stops = self.world.events().0;
        let all = 0..self.running.len();
        self.world.wait(stops, PATIENCE, |_| all.clone().any(|at| self.is_ready(at) || self.has_ended(at)))
    }
}

impl Drop for Case {
    /// Closes the instances, so that retained functions drop what they keep of them.
    fn drop(&mut self) {
        self.world.stop_no_more();
        self.running.clear();
        for process in &self.processes {
            if let Err(error) = process.retainit.blocking().close() {
                self.world.note(format!("not closed: {error}"));
            }
        }
    }
}

fn targets() -> impl Iterator<Item = Target> {
    (0..CACHES.len()).flat_map(|cache| (0..KEYS).map(move |key| Target { cache, key }))
}

/// Chooses an operation.
fn invent(random: &mut Random, process: usize) -> Operation {
    let what = match random.below(100) {
        0..28 => What::Load,
        28..32 => What::LoadThatFails,
        32..37 => What::Refresh,
        37..56 => What::Get,
        56..63 => What::Set,
        63..68 => What::SetTagged(random.pick(&["x", "t"])),
        68..73 => What::SetIfAbsent,
        73..82 => What::Remove,
        82..85 => What::Clear,
        85..87 => What::ClearAll,
        87..92 => What::Invalidate(random.pick(&["t", "u", "x"])),
        92..96 => What::Expire(random.pick(&["t", "u", "x"])),
        _ => What::Pattern { all: random.one_in(2) },
    };
    let own = match what {
        What::Refresh => FUNCTION as u64,
        // The handle of a function has no `set`; its loads do not fail.
        What::Set | What::SetTagged(_) | What::SetIfAbsent | What::LoadThatFails => random.below(FUNCTION as u64),
        _ => random.below(CACHES.len() as u64),
    };
    let target = Target { cache: own as usize, key: random.below(KEYS) };
    let target = match what {
        What::ClearAll | What::Invalidate(_) | What::Expire(_) => None,
        _ => Some(target),
    };
    Operation { what, target, process, sets: None }
}
