use proptest::prelude::*;

use super::*;

const PAUSE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1_000)
}

fn breaker(threshold: u64) -> Breaker {
    Breaker::new(BreakerLimits { threshold, timeout: PAUSE })
}

fn permit(breaker: &Breaker) -> BreakerPermit {
    breaker.permit().expect("it is closed")
}

fn fail(breaker: &mut Breaker, now: u64) -> Option<BreakerChange> {
    let permit = permit(breaker);
    breaker.failed(permit, at(now))
}

fn to(change: Option<BreakerChange>) -> Option<BreakerState> {
    change.map(|change| change.to)
}

fn opened(now: u64) -> Breaker {
    let mut breaker = breaker(5);
    let changes: Vec<_> = (0..5).filter_map(|_| fail(&mut breaker, now)).collect();
    assert_eq!(changes, [BreakerChange { from: BreakerState::Closed, to: BreakerState::Open }]);
    breaker
}

// R-18, T-86
#[test]
fn five_failures_in_a_row_open_it_and_one_probe_closes_it() {
    let mut breaker = breaker(5);
    for _ in 0..4 {
        assert_eq!(fail(&mut breaker, 0), None);
    }
    let success = permit(&breaker);
    breaker.succeeded(success);
    assert_eq!(breaker.failures(), 0, "they have to be in a row");
    let mut breaker = opened(10);
    assert_eq!((breaker.permit(), breaker.due()), (None, Some(at(70))));
    assert_eq!(breaker.probe(at(69), false), None, "the pause is not over");
    let (probe, change) = breaker.probe(at(70), false).expect("it is over");
    assert_eq!(to(change), Some(BreakerState::HalfOpen));
    assert_eq!(breaker.probe(at(70), true), None, "one probe");
    assert_eq!(breaker.permit(), None, "and nothing else");
    assert_eq!(to(breaker.succeeded(probe)), Some(BreakerState::Closed));
    assert_eq!(breaker.failures(), 0);
}

#[test]
fn a_probe_that_fails_begins_the_pause_anew() {
    let mut breaker = opened(0);
    let (probe, _) = breaker.probe(at(61), false).expect("it is due");
    assert_eq!(to(breaker.failed(probe, at(62))), Some(BreakerState::Open));
    assert_eq!(breaker.due(), Some(at(122)));
    assert_eq!(breaker.failed(probe, at(63)), None, "it was told already");
}

#[test]
fn a_probe_that_is_cancelled_leaves_it_open_and_due() {
    let mut breaker = opened(0);
    let (probe, _) = breaker.probe(at(61), false).expect("it is due");
    assert_eq!(to(breaker.cancelled(probe)), Some(BreakerState::Open));
    assert!(breaker.probe(at(61), false).is_some(), "another may follow at once");
}

#[test]
fn an_early_probe_closes_it_and_changes_nothing_else() {
    let mut breaker = opened(0);
    let (probe, change) = breaker.probe(at(1), true).expect("it is open");
    assert_eq!((change, breaker.state()), (None, BreakerState::Open));
    assert_eq!(breaker.probe(at(1), true), None, "one probe");
    assert_eq!(breaker.failed(probe, at(2)), None);
    assert_eq!(breaker.due(), Some(at(60)), "the pause goes on as it was");
    let (probe, _) = breaker.probe(at(3), true).expect("the last one is over");
    assert_eq!(to(breaker.succeeded(probe)), Some(BreakerState::Closed));
}

// A call that began before the breaker opened may end at any time after it.
#[test]
fn outcomes_from_before_a_change_count_for_nothing() {
    let mut breaker = breaker(1);
    let (slow, slower) = (permit(&breaker), permit(&breaker));
    fail(&mut breaker, 0);
    assert_eq!(breaker.succeeded(slow), None, "only a probe closes it");
    let (probe, _) = breaker.probe(at(60), false).expect("it is due");
    assert_eq!((breaker.failed(slow, at(60)), breaker.cancelled(slow)), (None, None));
    breaker.succeeded(probe);
    assert_eq!(breaker.failed(slower, at(61)), None, "it failed before the server came back");
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn limits_change_at_any_time() {
    let mut breaker = breaker(5);
    for _ in 0..3 {
        fail(&mut breaker, 0);
    }
    breaker.set_limits(BreakerLimits { threshold: 2, timeout: PAUSE });
    assert_eq!(to(fail(&mut breaker, 0)), Some(BreakerState::Open));
    breaker.set_limits(BreakerLimits { threshold: 2, timeout: Duration::from_secs(5) });
    assert_eq!(breaker.due(), Some(at(5)));
    assert_eq!(
        to(breaker.set_limits(BreakerLimits { threshold: 0, timeout: PAUSE })),
        Some(BreakerState::Closed),
        "without a threshold it is never open"
    );
    for _ in 0..100 {
        assert_eq!(fail(&mut breaker, 0), None);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Permit,
    Succeed(usize),
    Fail(usize),
    Cancel(usize),
    Probe(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Permit),
        2 => any::<usize>().prop_map(Step::Succeed),
        4 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => any::<bool>().prop_map(Step::Probe),
        1 => (0..90u64).prop_map(Step::Pass),
    ]
}

proptest! {
    // Whatever the order of outcomes: it opens after exactly as many failures in a row as its threshold, one probe at a
    // time is on its way, it can always be probed once the pause is over, and every change follows the last one.
    #[test]
    fn it_never_sticks(threshold in 1..6u64, steps in prop::collection::vec(step(), 0..200)) {
        let mut breaker = breaker(threshold);
        let (mut now, mut row, mut opened_at) = (0, 0, None);
        let (mut under_way, mut probe) = (Vec::new(), None);
        let mut state = BreakerState::Closed;
        for step in steps {
            let change = match step {
                Step::Permit => {
                    prop_assert_eq!(breaker.permit().is_some(), state == BreakerState::Closed);
                    under_way.extend(breaker.permit());
                    None
                }
                Step::Pass(seconds) => {
                    now += seconds;
                    None
                }
                Step::Probe(early) => {
                    let is_due = opened_at.is_some_and(|opened: u64| now >= opened + 60);
                    let may = state == BreakerState::Open && probe.is_none() && (is_due || early);
                    let permitted = breaker.probe(at(now), early);
                    prop_assert_eq!(permitted.is_some(), may);
                    probe = probe.or(permitted.map(|(permit, _)| permit));
                    permitted.and_then(|(_, change)| change)
                }
                Step::Succeed(which) | Step::Fail(which) | Step::Cancel(which) => {
                    let count = under_way.len() + usize::from(probe.is_some());
                    if count == 0 {
                        continue;
                    }
                    let which = which % count;
                    let is_probe = which == under_way.len();
                    let permit = if is_probe { probe.take().expect("it is counted") } else { under_way.swap_remove(which) };
                    let counts = Some(permit) == breaker.permit();
                    match step {
                        Step::Succeed(_) => {
                            row = if counts { 0 } else { row };
                            breaker.succeeded(permit)
                        }
                        Step::Fail(_) => {
                            row += u64::from(counts);
                            breaker.failed(permit, at(now))
                        }
                        _ => breaker.cancelled(permit),
                    }
                }
            };
            if let Some(change) = change {
                prop_assert_eq!(change.from, state);
                prop_assert_ne!(change.to, state);
                if change.to == BreakerState::Open && change.from == BreakerState::Closed {
                    prop_assert_eq!(row, threshold);
                }
                opened_at = match (change.from, change.to, step) {
                    (_, BreakerState::Open, Step::Cancel(_)) => opened_at,
                    (_, BreakerState::Open, _) => Some(now),
                    (_, BreakerState::HalfOpen, _) => opened_at,
                    _ => None,
                };
                row = 0;
                state = change.to;
            }
            prop_assert_eq!(breaker.state(), state);
            prop_assert!(state != BreakerState::Closed || row < threshold);
        }
        // Whatever has happened, a backend that is back is used again.
        if let Some(probe) = probe {
            breaker.cancelled(probe);
        }
        if state != BreakerState::Closed {
            let (probe, _) = breaker.probe(at(now + 60), false).expect("it is due");
            breaker.succeeded(probe);
        }
        prop_assert!(breaker.permit().is_some());
    }
}
