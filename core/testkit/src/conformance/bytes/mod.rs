mod bench;
mod entries;
mod fences;
mod given_up;
mod leases;
mod lifecycle;
mod scans;
mod versions;

use std::fmt;
use std::sync::Arc;

use retainit_plugin::{Built, Context};

use self::bench::{Bench, Make};
use super::{Case, Report, cases, run};
use crate::ManualClock;

const CASES: &[Case<Bench>] = cases! {
    entries::an_empty_slot_reads_as_none;
    entries::bytes_come_back_as_they_were;
    entries::keys_of_every_shape_are_distinct;
    entries::a_store_replaces_what_was_there;
    entries::remove_says_whether_an_entry_was_there;
    entries::an_entry_goes_when_its_ttl_ends "native_ttl";
    entries::an_entry_without_a_ttl_stays "native_ttl";
    entries::a_store_brings_its_own_ttl "native_ttl";
    entries::absent_goes_only_into_an_empty_slot "set_if_absent";
    entries::absent_counts_a_placeholder_as_empty "set_if_absent" "fences";
    entries::absent_goes_in_once_under_threads "set_if_absent";
    fences::a_fenced_read_of_an_empty_slot_shows_nothing "fences";
    fences::a_fence_of_an_empty_slot_stores_once "fences";
    fences::concurrent_loaders_store_once_between_them "fences";
    fences::a_fence_of_a_present_slot_replaces_what_was_seen "fences";
    fences::a_peek_takes_no_fence "fences";
    fences::a_look_writes_nothing "fences";
    fences::a_look_shows_the_fence_there_is "fences";
    fences::a_take_says_what_it_has_placed "fences";
    fences::a_removal_after_the_end_of_a_slot_refuses_too "fences" "native_ttl";
    fences::a_removal_refuses_the_load_under_way "fences";
    fences::a_removal_refuses_the_reload_under_way "fences";
    fences::a_store_in_any_case_refuses_the_load_under_way "fences";
    fences::a_fence_taken_after_a_removal_holds "fences";
    fences::a_slot_is_usable_after_its_lease "fences";
    fences::an_acknowledged_removal_wins_under_threads "fences";
    fences::what_nobody_loads_goes_in_beside_others "fences";
    fences::what_was_given_up_does_not_follow_a_removal "fences" "async";
    fences::several_keys_are_removed_together;
    leases::a_placeholder_is_kept_while_it_is_renewed "leases" "async";
    leases::what_is_released_is_an_empty_slot "leases" "async";
    leases::what_is_of_another_is_neither_renewed_nor_released "leases" "async";
    given_up::a_store_that_was_given_up_changes_nothing "cancellation" "fences" "set_if_absent";
    given_up::a_store_that_somebody_waits_for_goes_in "cancellation";
    scans::a_scan_shows_the_keys_below_its_prefix "scan";
    scans::a_scan_goes_on_where_a_page_ended "scan";
    scans::a_prefix_is_no_pattern "scan";
    scans::a_scan_hides_placeholders "scan" "fences";
    scans::a_removal_by_scan_refuses_the_loads_under_way "scan" "fences";
    versions::a_version_is_kept "versions";
    versions::a_missing_version_is_made_by_a_take_only "versions";
    versions::a_version_begins_below_its_limit "versions";
    versions::each_strength_raises_its_own_counter "versions";
    versions::groups_count_apart_and_come_in_order "versions";
    versions::raises_under_threads_are_all_different "versions";
    versions::what_nobody_loaded_tells_current_versions "versions";
    versions::a_seal_that_fails_stores_nothing "versions";
    versions::what_lost_a_group_is_neither_listed_nor_counted "versions" "scan";
    versions::a_version_lives_as_long_as_its_entries "versions" "native_ttl";
    versions::a_lost_version_never_returns_to_an_old_number "versions" "lose_versions";
    lifecycle::it_is_healthy;
    lifecycle::a_trial_succeeds_and_leaves_nothing;
    lifecycle::what_is_not_declared_is_refused;
    lifecycle::another_process_sees_the_same "shared";
    lifecycle::another_process_refuses_the_load_under_way "shared" "fences";
    lifecycle::entries_survive_a_restart "persistent";
    lifecycle::calls_after_close_fail;
    lifecycle::what_cannot_be_reached_says_so "unreachable";
    lifecycle::a_dropped_future_leaves_the_store_in_order "async";
};

/// Runs the byte suite on what `make` builds, in the time of the context's clock, and panics if a case fails.
///
/// Each call of `make` opens the backend as another process: where the backend is shared or persistent, all of them
/// have to open one store. Keys of different cases never meet. A backend behind a real server, which does not use the
/// clock, is run by [`ByteSuite`].
///
/// ```
/// use retainit_plugin::BackendConfig;
/// use retainit_testkit::{ByteConfig, conformance};
///
/// let config = ByteConfig::new();
/// conformance::bytes(move |context| config.share().build(context).expect("the configuration is sound"));
/// ```
pub fn bytes(make: impl Fn(Context) -> Built + Send + Sync + 'static) -> Report {
    ByteSuite::new(make).run()
}

/// The byte suite with all its choices.
///
/// ```no_run
/// use retainit_plugin::{BackendConfig, Built, Context};
/// use retainit_testkit::conformance::ByteSuite;
///
/// fn build(context: Context) -> Built {
///     // RedisConfig::new().url("redis://localhost").build(context) …
/// #   retainit_testkit::ByteConfig::new().build(context).expect("the configuration is sound")
/// }
///
/// ByteSuite::new(build).real_time().run();
/// ```
#[must_use = "call `run`"]
pub struct ByteSuite {
    make: Make,
    real_time: bool,
    lose_versions: Option<Arc<dyn Fn() + Send + Sync>>,
    unreachable: Option<Make>,
}

impl ByteSuite {
    /// Makes the suite for what `make` builds, as [`bytes`](fn@bytes) runs it.
    pub fn new(make: impl Fn(Context) -> Built + Send + Sync + 'static) -> ByteSuite {
        ByteSuite { make: Arc::new(make), real_time: false, lose_versions: None, unreachable: None }
    }

    /// Waits for a ttl to end instead of moving the clock: for a server with a clock of its own. Takes some ten
    /// seconds longer.
    pub fn real_time(mut self) -> ByteSuite {
        self.real_time = true;
        self
    }

    /// Sets a function that makes the store lose every version, for the case that tests the time after it; skipped
    /// without.
    pub fn lose_versions(mut self, lose: impl Fn() + Send + Sync + 'static) -> ByteSuite {
        self.lose_versions = Some(Arc::new(lose));
        self
    }

    /// Sets what builds the backend where nothing answers, such as a port that nobody listens on, for the case that
    /// asks for the kind of its errors; skipped without.
    pub fn unreachable(mut self, make: impl Fn(Context) -> Built + Send + Sync + 'static) -> ByteSuite {
        self.unreachable = Some(Arc::new(make));
        self
    }

    /// Runs every case that applies.
    ///
    /// # Panics
    ///
    /// When cases fail, after all have run, with their names.
    pub fn run(self) -> Report {
        let ByteSuite { make, real_time, lose_versions, unreachable } = self;
        let clock = (!real_time).then(ManualClock::new);
        let bench = move || Bench::new(make.clone(), clock.clone(), lose_versions.clone(), unreachable.clone());
        let probe = bench();
        let mut offered = probe.capabilities().names();
        offered.extend(probe.is_async().then_some("async"));
        offered.extend(probe.loses_versions().then_some("lose_versions"));
        offered.extend(probe.has_unreachable().then_some("unreachable"));
        drop(probe);
        run("byte conformance", CASES, &offered, Arc::new(bench))
    }
}

impl fmt::Debug for ByteSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteSuite").field("real_time", &self.real_time).finish_non_exhaustive()
    }
}
