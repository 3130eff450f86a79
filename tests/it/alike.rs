//! Tests keys that look alike and are not. Two calls share an entry if their arguments are written by the same calls to
//! a serializer, up to the width of numbers, the order of fields and the kind of a list.

use retainit::retain;
use serde::Serialize;
use serde_json::{Value, json};

use crate::common::{Runs, Stage};

static RUNS: Runs = Runs::new();
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Calls with each argument, twice: each is run once, and answered with its own value.
fn are_told_apart<T: std::fmt::Debug>(all: &[T], call: impl Fn(&T) -> String) {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    for stage in Stage::each() {
        RUNS.take();
        stage.run_sync(|| {
            for argument in all.iter().chain(all) {
                assert_eq!(call(argument), format!("{argument:?}"));
            }
        });
        assert_eq!(RUNS.take(), all.len() as u64, "each has an entry of its own");
    }
}

fn json_values() -> Vec<Value> {
    let plain = vec![
        json!(null),
        json!([]),
        json!({}),
        json!(""),
        json!("null"),
        json!("[]"),
        json!(0),
        json!(0.0),
        json!(-0.0),
        json!("0"),
        json!(false),
        json!("false"),
        json!([null, null]),
        json!([[], null]),
        json!([null, []]),
        json!([[null], []]),
        json!(u64::MAX),
        json!(-1),
    ];
    let lists = plain.iter().map(|value| json!([value]));
    let fields = plain.iter().map(|value| json!({"a": value, "b": []}));
    plain.iter().cloned().chain(lists).chain(fields).collect()
}

#[retain(id = "alike.json")]
fn of_json(value: &Value) -> String {
    RUNS.add();
    format!("{value:?}")
}

#[retain(id = "alike.json.in", key = "v:{value}")]
fn of_json_in_template(value: &Value) -> String {
    RUNS.add();
    format!("{value:?}")
}

// T-128
#[test]
fn json() {
    are_told_apart(&json_values(), of_json);
    are_told_apart(&json_values(), of_json_in_template);
    for stage in Stage::each() {
        let cache = stage.retainit.cache::<String>("json").build().unwrap();
        let all = json_values();
        for value in &all {
            cache.blocking().set(value, value.to_string()).unwrap();
        }
        for value in &all {
            assert_eq!(cache.blocking().get(value).unwrap().value(), Some(value.to_string()));
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct UserId(u64);
#[derive(Clone, Debug, Serialize)]
struct OrderId(u64);
#[derive(Clone, Debug, Serialize)]
struct Nothing;
#[derive(Clone, Debug, Serialize)]
struct ById {
    id: u64,
}
#[derive(Clone, Debug, Serialize)]
struct ByUser {
    id: u64,
}
#[derive(Clone, Debug, Serialize)]
enum Status {
    Active,
    Since(u64),
    Between(u64, u64),
    At { id: u64 },
}
#[derive(Clone, Debug, Serialize)]
enum Door {
    Active,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Signed(i8),
    Float(f64),
    Flag(bool),
    Text(String),
    Char(char),
    Nothing(()),
    Maybe(Option<u64>),
    Numbers(Vec<u64>),
    Status(Status),
    Door(Door),
    Unit(Nothing),
    User(UserId),
    Order(OrderId),
    ById(ById),
    ByUser(ByUser),
}

fn ids() -> Vec<Id> {
    let texts =
        ["5", "-5", "5.0", "true", "null", "", "~", "+5", "()", "(5,6)", "(,)", "'5'", "\"5\"", "Status.Active"];
    let mut all: Vec<Id> = texts.map(|text| Id::Text(text.into())).into();
    all.extend([Id::Number(5), Id::Signed(-5), Id::Float(5.0), Id::Flag(true), Id::Char('5'), Id::Nothing(())]);
    all.extend([
        Id::Maybe(None),
        Id::Maybe(Some(5)),
        Id::Numbers(vec![5, 6]),
        Id::Numbers(vec![]),
        Id::Numbers(vec![5]),
    ]);
    all.extend([Status::Active, Status::Since(5), Status::Between(5, 6), Status::At { id: 5 }].map(Id::Status));
    all.extend([Id::Door(Door::Active), Id::Unit(Nothing), Id::ById(ById { id: 5 }), Id::ByUser(ByUser { id: 5 })]);
    all
}

#[retain(id = "alike.id")]
fn of_id(id: &Id) -> String {
    RUNS.add();
    format!("{id:?}")
}

#[retain(id = "alike.id.in", key = "user:{id}")]
fn of_id_in_template(id: &Id) -> String {
    RUNS.add();
    format!("{id:?}")
}

// "tags compare as plain text, keys must not"
#[test]
fn parts_of_an_untagged_enum() {
    let newtypes = [Id::User(UserId(5)), Id::Order(OrderId(5))];
    let all = [ids(), newtypes.into()].concat();
    are_told_apart(&all, of_id_in_template);
    are_told_apart(&all, of_id);
}

#[retain(id = "alike.spelled", key = "user:{id}")]
fn spelled(id: &str) -> String {
    id.to_owned()
}

#[retain(id = "alike.named", key = "user:{id}:{status}")]
fn named(id: UserId, status: Status) -> String {
    format!("{id:?}{status:?}")
}

// Quoted "unless the argument is spelled as a text type".
#[test]
fn the_text_of_templates() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let stage = Stage::bytes();
    stage.run_sync(|| {
        for text in ["5", "true", "\"5\"", "(5)", "ann"] {
            assert_eq!(spelled(text), text);
            assert!(spelled::cache().get(text).unwrap().is_hit());
        }
        named(UserId(5), Status::Active);
        assert!(named::cache().get(&(UserId(5), Status::Active)).unwrap().is_hit());
        of_id_in_template(&Id::Text("5".into()));
        of_id_in_template(&Id::Text("ann".into()));
        of_id_in_template(&Id::Number(5));
    });
    let keys = stage.retainit.blocking().keys("").unwrap();
    let mut expected = vec![
        "alike.spelled:user:5",
        "alike.spelled:user:true",
        "alike.spelled:user:\"5\"",
        "alike.spelled:user:(5)",
        "alike.spelled:user:ann",
        "alike.named:user:5:Status.Active",
        "alike.id.in:user:\"5\"",
        "alike.id.in:user:ann",
        "alike.id.in:user:5",
    ];
    expected.sort_unstable();
    assert_eq!(keys.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(), expected);
}

#[retain(id = "alike.list", key = "of:{items}")]
fn of_list<T: Serialize + retainit::TypeTag + Clone>(items: &[T]) -> usize {
    items.len()
}

#[retain(id = "alike.swapped", key = "{b}/{a}")]
fn swapped<T: Serialize + retainit::TypeTag + Clone>(a: &[T], b: &str) -> usize {
    a.len() + b.len()
}

// A handle without the function's types fills its template as the function does.
#[test]
fn a_list_in_a_template_is_one_value() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            assert_eq!((of_list(&[1u8, 2]), of_list(&[1u8]), of_list::<u8>(&[])), (2, 1, 0));
            let handle = of_list::cache::<u8>();
            for (items, found) in [(vec![1u8, 2], true), (vec![1], true), (vec![], true), (vec![2], false)] {
                assert_eq!(handle.exists(&items).unwrap(), found, "{items:?}");
            }
            assert!(handle.remove(&[1u8, 2]).unwrap() && handle.exists(&[1u8]).unwrap());
            assert_eq!(swapped(&[1u8, 2], "5"), 3);
            let handle = swapped::cache::<u8>();
            assert!(handle.exists(&(vec![1u8, 2], "5")).unwrap());
            assert!(handle.exists(&(1u8, 2, 3)).is_err(), "the template has two parts");
        });
    }
}

#[retain(id = "alike.tagged", tags("status:{status}", "user:{user}"))]
fn tagged(status: Status, user: UserId) -> String {
    RUNS.add();
    format!("{status:?}{user:?}")
}

// T-42
#[test]
fn tags_are_plain_text() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    for stage in Stage::each() {
        RUNS.take();
        let call = || {
            for _ in 0..2 {
                stage.run_sync(|| tagged(Status::Active, UserId(5)));
            }
        };
        let blocking = stage.retainit.blocking();
        call();
        assert_eq!(RUNS.take(), 1);
        for tag in ["status:Active", "user:5"] {
            blocking.invalidate_tag(tag).unwrap();
            call();
            assert_eq!(RUNS.take(), 1, "{tag}");
        }
    }
}

#[retain(id = "alike.lists")]
fn two_lists(a: &[u64], b: &[u64]) -> String {
    RUNS.add();
    format!("{:?}", (a, b))
}

// Each has a hash of its own: none takes another's place in memory.
#[test]
fn cuts_of_a_list() {
    let mut all = Vec::new();
    for list in [[1, 2, 3, 4], [2, 1, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1], [0, 0, 0, 0]] {
        all.extend((0..=4).map(|cut| (list[..cut].to_vec(), list[cut..].to_vec())));
        all.extend((0..=2).map(|cut| (list[..cut].to_vec(), list[cut..2].to_vec())));
    }
    all.sort();
    all.dedup();
    are_told_apart(&all, |(a, b)| two_lists(a, b));
}
