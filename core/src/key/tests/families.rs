// T-128: hashes of keys that look alike meet no more often than chance has it.

use serde::ser::Serializer;

use super::*;

const MILLION: usize = 1_000_000;

/// Checks the hashes of a million different keys: all differ, and halves of them, as tables use them, are equal no more
/// often than those of random numbers.
fn million<T: Serialize>(family: &str, keys: impl IntoIterator<Item = T>) {
    check(family, MILLION, keys);
}

/// Checks a tenth of a million, for families that are slow in a build without optimizations.
fn many<T: Serialize>(family: &str, keys: impl IntoIterator<Item = T>) {
    check(family, MILLION / 10, keys);
}

fn check<T: Serialize>(family: &str, count: usize, keys: impl IntoIterator<Item = T>) {
    let seed = HashSeed::of_process();
    let mut hashes: Vec<u64> = keys.into_iter().take(count).map(|key| hash(&seed, &Args(key)).unwrap()).collect();
    assert_eq!(hashes.len(), count, "{family}");
    let chance = (count as f64).powi(2) / 2f64.powi(33);
    let bound = chance + 8.0 * chance.sqrt();
    for half in ["high", "low"] {
        hashes.sort_unstable();
        let collisions = |same: fn(u64) -> u64| hashes.windows(2).filter(|two| same(two[0]) == same(two[1])).count();
        assert_eq!(collisions(|hash| hash), 0, "{family}: keys of one hash");
        let halves = collisions(|hash| hash >> 32);
        assert!(halves as f64 <= bound, "{family}: {halves} {half} halves are equal, {chance} would be by chance");
        hashes.iter_mut().for_each(|hash| *hash = hash.rotate_left(32));
    }
}

/// A list of lists of lists, unique for each number.
#[derive(Serialize)]
#[serde(transparent)]
struct Nested(Vec<Nested>);

impl Nested {
    fn of(mut number: u64) -> Nested {
        let mut items = Vec::new();
        while let Some(pair) = number.checked_sub(1) {
            // Every other of twenty bits belongs to the first item, the rest to those behind it.
            let half = |from: u32| (0..10).fold(0, |half, bit| half | (pair >> (2 * bit + from) & 1) << bit);
            items.push(Nested::of(half(0)));
            number = half(1);
        }
        Nested(items)
    }
}

/// A value wrapped in `Some`, several times.
struct Somes(usize, u64);

impl Serialize for Somes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_u64(self.1),
            _ => serializer.serialize_some(&Somes(self.0 - 1, self.1)),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item {
    Number(usize),
    Text(String),
    List([(); 0]),
}

fn item(n: usize) -> Item {
    match n {
        0..=14 => Item::Number(n),
        15..=29 => Item::Text((n - 15).to_string()),
        30 => Item::Text(String::new()),
        _ => Item::List([]),
    }
}

/// Returns the digits of a number in a base, the lowest first.
fn digits(mut number: usize, base: usize, len: usize) -> Vec<usize> {
    let next = |_| {
        let digit = number % base;
        number /= base;
        digit
    };
    (0..len).map(next).collect()
}

fn cuts(base: usize, len: usize) -> impl Iterator<Item = (Vec<usize>, usize)> {
    (0..base.pow(len as u32)).flat_map(move |n| (0..=len).map(move |cut| (digits(n, base, len), cut)))
}

fn permutation(mut number: usize, len: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..len).collect();
    (0..len)
        .map(|_| {
            let at = number % left.len();
            number /= left.len();
            left.remove(at)
        })
        .collect()
}

#[test]
fn numbers() {
    million("sequential", 0..MILLION as u64);
    many("negative", (0..MILLION as i64).map(|n| -n));
    many("multiples of a power of two", (0..MILLION as u64).map(|n| n << 40));
    many("powers of two", (0..50).flat_map(|shift| (0..20_000u128).map(move |n| (2 * n + 1) << shift)));
    many("floats", (0..MILLION).map(|n| n as f64 / 8.0));
    many("tiny floats", (0..MILLION as u64).map(f64::from_bits));
    many("wide", (0..MILLION as u128).map(|n| n << 64 | n));
}

#[test]
fn tuples() {
    let three = || (0..MILLION).map(|n| (n % 100, n / 100 % 100, n / 10_000));
    million("three small numbers", three());
    many("of three kinds", three().map(|(a, b, c)| (a as u64, !(b as i64), c as f64)));
    many("a number and a multiple of it", (0..MILLION as u64).map(|n| (n / 1_000 + 1, n % 1_000 * (n / 1_000 + 1))));
    many("a number and a text", (0..MILLION).map(|n| (n / 1000, (n % 1000).to_string())));
    many("a text and a number", (0..MILLION).map(|n| ((n % 1000).to_string(), n / 1000)));
    many("bools", (0..MILLION).map(|n| digits(n, 2, 20).into_iter().map(|b| b == 1).collect::<Vec<_>>()));
}

#[test]
fn lists() {
    million("cuts", cuts(8, 6).map(|(all, cut)| (all[..cut].to_vec(), all[cut..].to_vec())));
    let twice = |(all, cut): (Vec<usize>, usize)| (all[..cut].to_vec(), all[cut..].to_vec(), cut);
    many("cuts with their place", cuts(8, 6).map(twice));
    million("orders", (0..MILLION).map(|n| permutation(n, 10)));
    many(
        "orders of texts",
        (0..MILLION).map(|n| permutation(n, 10).into_iter().map(|n| n.to_string()).collect::<Vec<_>>()),
    );
    million("numbers and texts", (0..MILLION).map(|n| digits(n, 32, 4).into_iter().map(item).collect::<Vec<_>>()));
}

#[test]
fn nesting() {
    many(
        "nested options",
        (0..MILLION).map(|n| (Somes(n % 10, n as u64 / 100 % 100), Somes(n / 10 % 10, n as u64 / 10_000))),
    );
    million("nested lists", (0..MILLION as u64).map(Nested::of));
}

#[test]
fn texts() {
    many("a common prefix", (0..MILLION).map(|n| format!("user:{n}")));
    many("a common suffix", (0..MILLION).map(|n| format!("{n}:user")));
    many("a number in long texts", (0..MILLION).map(|n| format!("{}{n:08}{0}", "x".repeat(n % 40))));
    many("zeros and ones", (0..MILLION).map(|n| format!("{:020b}", n)));
    let runs = (0..MILLION).map(|n| ("a".repeat(n % 100), "a".repeat(n / 100 % 100), "b".repeat(n / 10_000)));
    many("lengths", runs);
    let cut = |(all, cut): (Vec<usize>, usize)| {
        let text: String = all.iter().map(|digit| char::from(b'a' + *digit as u8)).collect();
        (text[..cut].to_owned(), text[cut..].to_owned())
    };
    many("cuts of a text", cuts(8, 6).map(cut));
    many(
        "three characters",
        (0..MILLION).map(|n| digits(n, 100, 3).into_iter().map(|b| b as u8 as char).collect::<String>()),
    );
}
