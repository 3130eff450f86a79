use retainit_plugin::{Scan, StoreCondition, Stored};

use super::bench::Bench;

pub(super) fn a_scan_shows_the_keys_below_its_prefix(bench: &Bench) {
    let keys = fill(bench, &["user/1", "user/2", "order/1"]);
    assert_eq!(bench.scan(&bench.key("user/"), 100), keys[..2]);
    assert_eq!(bench.scan(&bench.key("nobody/"), 100), [] as [String; 0]);
    assert_eq!(bench.scan(&keys[0], 100), keys[..1], "a key is a prefix of itself");
    assert!(bench.remove(&keys[0]));
    assert_eq!(bench.scan(&bench.key("user/"), 100), keys[1..2], "a removed key was shown");
}

pub(super) fn a_scan_goes_on_where_a_page_ended(bench: &Bench) {
    let names: Vec<String> = (0..25).map(|i| format!("page/{i:02}")).collect();
    let keys = fill(bench, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for page in [1, 3, 5, 25, 1_000] {
        let mut found = bench.scan(&bench.key("page/"), page);
        found.dedup();
        assert_eq!(found, keys, "in pages of {page}");
    }
}

pub(super) fn a_prefix_is_no_pattern(bench: &Bench) {
    let keys = fill(bench, &["a*c", "a[b]c", "a?c", "a_c", "abc", "a%c"]);
    for (sign, key) in [("a*", 0), ("a[b]", 1), ("a?", 2), ("a_", 3), ("a%", 5)] {
        assert_eq!(bench.scan(&bench.key(sign), 100), keys[key..=key], "below {sign}");
    }
}

pub(super) fn a_scan_hides_placeholders(bench: &Bench) {
    let keys = fill(bench, &["entry"]);
    bench.fence(&bench.key("placeholder"));
    bench.fence(&keys[0]);
    assert_eq!(bench.scan(&bench.key(""), 100), keys);
}

pub(super) fn a_removal_by_scan_refuses_the_loads_under_way(bench: &Bench) {
    let keys = fill(bench, &["entry"]);
    let (empty, present) = (bench.key("placeholder"), bench.fence(&keys[0]));
    let absent = bench.fence(&empty);
    let shown = bench.scan_all(&Scan::prefix(bench.key("")).placeholders(), 100);
    assert!(shown.contains(&keys[0]), "entries are shown as ever");
    for key in &shown {
        assert_eq!(bench.remove(key), *key == keys[0], "a placeholder counts as no entry");
    }
    // Whether the scan showed the empty slot or broke its fence itself, the load behind it is refused.
    assert_eq!(bench.store(&empty, "stale", StoreCondition::Fenced(absent)), Stored::Refused);
    assert_eq!(bench.store(&keys[0], "stale", StoreCondition::Fenced(present)), Stored::Refused);
}

fn fill(bench: &Bench, names: &[&str]) -> Vec<String> {
    let keys = names.iter().map(|name| bench.key(name));
    let store = |key: &String| assert_eq!(bench.store(key, "value", StoreCondition::Always), Stored::Yes);
    keys.inspect(store).collect()
}
