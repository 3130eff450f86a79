mod bench;
mod callbacks;
mod entries;
mod fences;
mod function_bounds;
mod removals;

use std::sync::Arc;

use retainit_plugin::{Context, ObjectBackend};

use self::bench::Bench;
use super::{Case, Report, cases, run};

const CASES: &[Case<Bench>] = cases! {
    entries::what_went_in_is_found;
    entries::what_never_went_in_is_not_found;
    entries::an_insert_replaces_what_was_there;
    entries::keys_of_one_hash_are_distinct;
    entries::sites_never_meet;
    entries::long_and_odd_keys_are_distinct;
    entries::remove_takes_one_entry;
    entries::absent_goes_in_where_nothing_lives "set_if_absent";
    entries::absent_replaces_what_does_not_live "set_if_absent";
    entries::absent_goes_in_once_under_threads "set_if_absent";
    entries::lengths_and_weights_add_up;
    entries::the_next_deadline_comes_no_later_than_an_end;
    entries::a_scan_shows_every_entry_once "scan";
    fences::a_fenced_insert_goes_in "fences";
    fences::a_fenced_insert_leaves_the_fences_of_others "fences";
    fences::a_removal_refuses_the_load_under_way "fences";
    fences::a_store_in_any_case_refuses_the_load_under_way "fences";
    fences::a_refresh_is_fenced_and_refuses_the_load_under_way "fences";
    fences::a_store_into_an_empty_slot_refuses_the_load_under_way "fences" "set_if_absent";
    fences::broken_fences_refuse_every_load_under_way "fences";
    fences::a_refused_insert_changes_nothing "fences";
    fences::retain_leaves_fences_alone "fences";
    fences::an_acknowledged_removal_wins_under_threads "fences";
    removals::a_replaced_entry_is_reported_once;
    removals::a_removed_entry_is_reported_once;
    removals::retain_takes_what_it_is_reported_and_counts;
    removals::what_was_refused_is_not_reported "fences" "set_if_absent";
    removals::every_entry_leaves_once_under_threads;
    function_bounds::a_site_keeps_its_bound_and_others_are_left_alone "function_bounds" "scan";
    function_bounds::a_replaced_entry_evicts_no_other "function_bounds" "scan";
    function_bounds::a_removal_makes_room "function_bounds" "scan";
    function_bounds::a_bound_that_comes_later_or_is_lowered_holds_from_the_next_insert "function_bounds" "scan";
    function_bounds::a_refused_insert_evicts_nothing "function_bounds" "scan" "fences";
    function_bounds::an_eviction_leaves_the_fences_of_loads_under_way "function_bounds" "scan" "fences";
    function_bounds::what_is_read_stays_longer "function_bounds" "scan";
    function_bounds::a_bound_holds_at_every_moment_under_threads "function_bounds" "scan";
    callbacks::a_dropped_value_may_call_the_backend;
    callbacks::a_listener_may_call_the_backend;
};

/// Runs the object suite on what `make` builds and panics if a case fails.
///
/// Every call of `make` has to give a new, empty backend with room for a thousand entries and a mebibyte, and pass the
/// context on to it: its clock pauses, its listener is the suite's.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use retainit_plugin::{Context, ObjectBackend};
/// # fn with(my_backend: fn(Context) -> Arc<dyn ObjectBackend>) {
/// retainit_testkit::conformance::object(my_backend);
/// # }
/// ```
///
/// # Panics
///
/// When cases fail, after all have run, with their names.
pub fn object(make: impl Fn(Context) -> Arc<dyn ObjectBackend> + Send + Sync + 'static) -> Report {
    let make = Arc::new(make);
    let bench = move || Bench::new(make.clone());
    let offered = bench().backend.capabilities().names();
    run("object conformance", CASES, &offered, Arc::new(bench))
}
