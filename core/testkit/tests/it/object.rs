use std::panic::catch_unwind;
use std::sync::Arc;

use retainit_testkit::conformance;

use crate::map::{Flaw, Map};

//
#[test]
fn a_plain_map_passes_every_case() {
    let report = conformance::object(|context| Arc::new(Map::new(&context, None)));
    assert_eq!(report.skipped, []);
}

#[test]
fn the_suite_finds_what_is_broken_and_names_the_case() {
    for (flaw, case) in [
        (Flaw::RemovalLeavesTheFence, "a_removal_refuses_the_load_under_way"),
        (Flaw::AlwaysLeavesTheFence, "a_store_in_any_case_refuses_the_load_under_way"),
        (Flaw::ComparesBeforeItInserts, "an_acknowledged_removal_wins_under_threads"),
        (Flaw::SitesMeet, "sites_never_meet"),
        (Flaw::RetainCountsWrong, "retain_takes_what_it_is_reported_and_counts"),
        (Flaw::RemovalsAreToldTwice, "a_removed_entry_is_reported_once"),
        (Flaw::ReplacementsAreNotTold, "a_replaced_entry_is_reported_once"),
        (Flaw::AbsentReplaces, "absent_goes_in_once_under_threads"),
        (Flaw::ScanSkips, "a_scan_shows_every_entry_once"),
        (Flaw::BoundsAreIgnored, "a_bound_holds_at_every_moment_under_threads"),
        (Flaw::BoundsReachOthers, "a_site_keeps_its_bound_and_others_are_left_alone"),
        (Flaw::DeadlineIsNever, "the_next_deadline_comes_no_later_than_an_end"),
    ] {
        let run = move || conformance::object(move |context| Arc::new(Map::new(&context, Some(flaw))));
        // Some flaws show only where threads meet, which one run on a busy machine may miss.
        let panic = (0..20).find_map(|_| catch_unwind(run).err()).unwrap_or_else(|| panic!("{flaw:?} was not found"));
        let message = panic.downcast_ref::<String>().expect("the suite says what failed");
        assert!(message.contains(case), "{flaw:?} gave: {message}");
    }
}
