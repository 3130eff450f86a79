//! Implements the attributes of retainit. Use them through the facade crate `retainit`, which generated code refers to.
//!
//! | attribute | on | does |
//! |---|---|---|
//! | [`#[retain]`](macro@retain) | a function | caches its results |
//! | [`#[retain_put]`](macro@retain_put) | a function that writes | stores its result for a retained function |
//! | [`#[invalidate]`](macro@invalidate) | a function that writes | removes stale entries of a retained function |
//! | [`#[on]`](macro@on) | a function | calls it with the events of a kind |
//! | [`#[derive(TypeTag)]`](derive@TypeTag) | a type | names it, for generic retained functions |
//!
//! `#[rate_limit]`, `#[circuit_breaker]`, `#[retry]`, `#[bulkhead]`, `#[timeout]` and `#[timed]` are not there yet, and
//! report that where they are used.

mod arguments;
mod attr;
#[cfg(test)]
mod cases;
mod errors;
mod expand;
mod function;
mod invalidate;
mod key;
mod nearest;
mod on;
mod put;
mod signature;
mod template;
mod type_tag;
mod types;
mod values;
mod words;
mod writer;

use proc_macro::TokenStream;

/// Caches the results of a function: the next call with the same arguments returns without running it.
///
/// The function stays what it is: a sync one stays sync and needs no runtime, an `async` one stays async, and calling
/// it is the cached call. Nothing has to be initialised.
///
/// ```
/// use retainit::retain;
///
/// #[retain(ttl = "5m", tags("user", "user:{id}"))]
/// async fn user(id: u64) -> Result<String, std::io::Error> {
///     Ok(format!("user {id}")) // slow
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// assert_eq!(user(42).await?, "user 42"); // runs the function
/// assert_eq!(user(42).await?, "user 42"); // does not
///
/// user::cache().remove(&42).await?;       // the handle, a type of the function's name
/// # Ok(())
/// # }
/// ```
///
/// # Arguments
///
/// All are optional. A time is a string such as `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`, `"1h30m"`, or a whole
/// number of seconds.
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `ttl = "5m"` | how long a result is fresh; `"never"` and `0` never expire, `"off"` stores nothing | the backend's |
/// | `ttl = \|v\| …` | the ttl of each value, by reference to what is stored: a time as above, a `Duration`, a `Ttl` | – |
/// | `jitter = 0.1` | shortens each ttl by up to this fraction, 0 to 1, never lengthens it | 0 in memory |
/// | `backend = "name"` | the backend by its name | the default backend |
/// | `key = "user:{id}"` | a template over arguments; `{}` is one argument after the other | all arguments |
/// | `key = (id, &region)` | any expression over arguments and `self`; what is only named is borrowed | all arguments |
/// | `skip(token)` | arguments that are in no key; `skip(self)` on a method | none |
/// | `hash_key` | keys are stored as keyed hashes | off |
/// | `pii` | like `hash_key`, and keys are in no log | off |
/// | `id = "users.get"` | an identity that survives renames, one word | module path and name |
/// | `version = 2` | a change of it leaves old entries behind | 0 |
/// | `tags("user", "user:{id}")` | groups an entry belongs to; templates over arguments | none |
/// | `none_ttl = "10s"` | also stores `None`, for this long | `None` is not stored |
/// | `err_ttl = "1s"` | also stores `Err`, for this long; errors have to be `Clone` | `Err` is not stored |
/// | `err_if = \|e\| …` | which errors are stored, by `&E` | all, with `err_ttl` |
/// | `when = \|r\| …` | store only if, by reference to what the function returned | always |
/// | `single_flight = "off"` | `"local"`: concurrent calls for one missing key load it once; `"off"`: each loads | `"local"` |
/// | `max_load_time = "60s"` | after this long, another call may load what one is still loading | 60 s |
/// | `max_staleness = "1s"` | how long after an invalidation in another process entries may still be served; `"0s"` asks with every read | 1 s |
/// | `max_idle = "10m"` | after this long without a read a result expires, in backends that keep values in memory | the backend's |
/// | `max_entries = 1_000` | the most entries of this function; in memory, other backends refuse it | unlimited |
/// | `serializer = "json"` | how values become bytes, by the serializer's name; `codec = "json"` is the same | the backend's |
/// | `verify = 0.01` | on this fraction of hits, 0 to 1, the function runs too and its result is compared | 0 |
/// | `handle = Users`, `handle = off` | the handle's name, where a type or module has the function's · no handle | the function's name |
/// | `assoc` | marks a function of an `impl` without `self` | – |
/// | `crate = path` | where retainit is found, for crates that re-export it | `::retainit` |
///
/// The closures of `ttl`, `when` and `err_if` capture nothing.
///
/// With `ttl = |v| …` a value says itself how long it is fresh. A `None` has the ttl of `none_ttl` instead, an error that
/// of `err_ttl`; overrides around the call and `[retainit.override.functions]` take precedence. `"off"` does not store
/// the value. A ttl that cannot be used is reported as a `cache_error`, and the result is not stored.
///
/// ```
/// use std::time::Duration;
/// use retainit::retain;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Token {
///     text: String,
///     expires_in: u64,
/// }
///
/// #[retain(ttl = |token| Duration::from_secs(token.expires_in - 30))]
/// async fn token(client: &str) -> Result<Token, std::io::Error> {
///     Ok(Token { text: format!("for {client}"), expires_in: 3_600 }) // asks the server
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// token("shop").await?;
/// let left = token::cache().ttl(&"shop").await?.flatten();
/// assert!(left.is_some_and(|left| left > Duration::from_secs(3_500)));
/// # Ok(())
/// # }
/// ```
///
/// With `verify`, the function's result on such a hit is compared (`PartialEq`) with the cached value, which the call
/// returns in any case. The runs are counted in `stats().verified`; those with another value, an error or a panic are
/// counted in `stats().verify_mismatches` and reported as an event, `verify_mismatch`. An entry that was invalidated
/// while the function ran is no mismatch. Hits inside a verifying run are not verified.
///
/// # To prime it, and to call without it
///
/// `refresh` runs the function now and replaces what is stored; `warm` runs it for what is missing. `disabled` calls it
/// as if there were no cache: nothing is read and nothing is stored. `#[retain_put]` stores what another function already
/// has.
///
/// ```
/// use retainit::retain;
///
/// #[retain]
/// async fn price(item: u64) -> u64 {
///     item * 100 // slow
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> retainit::Result<()> {
/// price::cache().refresh(1).await;                        // primes one key, whatever is stored
/// price::cache().warm([1, 2, 3]).await?;                  // primes those that are missing
/// assert_eq!(price::cache().stats().loads, 3);
///
/// assert_eq!(retainit::disabled(price(4)).await, 400);    // without the cache
/// assert!(price::cache().get(&4).await?.is_miss());
/// # Ok(())
/// # }
/// ```
///
/// # Keys
///
/// Arguments in a key implement [`serde::Serialize`](https://docs.rs/serde). Two placeholders of a template have a
/// character between them that is no letter, digit or `%`; `{{` stands for a brace. `(id,)` and `id` are the same key.
///
/// Two calls have one key only if their arguments serialize alike, up to the width of numbers, the order of fields and
/// the kind of a list: `null` and `[]`, or `UserId(5)` and `5`, differ. In the template of a key an argument that is
/// spelled as a newtype is its content, and a text that reads as another value (`5`, `true`, `null`) is quoted, unless
/// the argument is spelled as `&str`, `String`, `char` or a pointer to those. Tags are plain text.
///
/// ```
/// use retainit::retain;
///
/// #[retain(key = "report:{region}/{year}", skip(verbose))]
/// fn report(year: u16, region: &str, verbose: bool) -> String {
///     format!("{region} in {year}, {verbose}")
/// }
///
/// assert_eq!(report(2020, "eu", true), report(2020, "eu", false));
/// ```
///
/// # Methods
///
/// A method has to name the part of `self` that its result depends on, or `skip(self)`. Its handle is an associated
/// function, `<name>_cache()`. In the `impl` of a trait, where nothing can be added, it needs `handle = off`.
///
/// ```
/// use retainit::retain;
///
/// struct Shop {
///     tenant: String,
/// }
///
/// impl Shop {
///     #[retain(key = (self.tenant, id))]
///     fn price(&self, id: u64) -> u64 {
///         id + self.tenant.len() as u64
///     }
///
///     #[retain(skip(self))]
///     fn tax(&self, country: &str) -> u8 {
///         if country == "de" { 19 } else { 21 }
///     }
///
///     #[retain(assoc)]
///     fn countries() -> Vec<String> {
///         vec!["de".to_owned()]
///     }
/// }
///
/// let shop = Shop { tenant: "t".to_owned() };
/// assert_eq!((shop.price(2), shop.tax("de"), Shop::countries().len()), (3, 19, 1));
/// let _handle = Shop::price_cache();
/// ```
///
/// # Generic functions
///
/// Type parameters implement `TypeTag`, a bound that the attribute adds; see [`#[derive(TypeTag)]`](derive@TypeTag).
/// The handle is `f::cache::<u8>()`.
///
/// # Handles
///
/// `user::cache()` has `get`, `remove`, `clear`, `explain` and `stats`, which take the key arguments by reference, and
/// `refresh` and `warm`, which take all arguments by value and exist where the function can run from owned ones:
/// `String` for `&str`, `Vec<T>` for `&[T]`, `PathBuf` for `&Path`, `T` for `&T`. The future of an `async` function
/// with a handle is `Send`.
///
/// # Compile errors
///
/// Mistakes are reported at their place, with a remedy: a method that does not mention `self` in its key, a `HashSet`
/// in a key, `&mut` in a key, a name that is no argument, a return type that borrows, `err_ttl` without a `Result`, and
/// so on. A type or a module that has the function's name already is rustc's E0428: set `handle = Name`.
///
/// ```compile_fail
/// use retainit::retain;
///
/// #[retain(key = "user:{idd}")] // there is no argument `idd`: did you mean `id`?
/// fn user(id: u64) -> u64 {
///     id
/// }
/// ```
#[proc_macro_attribute]
pub fn retain(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::retain(arguments.into(), item.into()).into()
}

/// Stores the result of a function as the result of a retained function, for functions that write.
///
/// The key is taken from the arguments before the body runs; after success (`Ok`, or anything that is no `Result`) the
/// value is stored with the ttl and the tags of the named function. A load of that function which is under way is not
/// stored over it. A cache that fails is reported and never becomes the function's failure.
///
/// ```
/// use retainit::{retain, retain_put};
///
/// #[retain(tags("user:{id}"))]
/// fn user(id: u64) -> String {
///     format!("user {id}") // reads the database
/// }
///
/// #[retain_put(of = user, key = (id,))]
/// fn rename(id: u64, name: &str) -> String {
///     name.to_owned() // writes the database
/// }
///
/// assert_eq!(user(1), "user 1");
/// rename(1, "Ann");
/// assert_eq!(user(1), "Ann");
/// ```
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `of = user` | the path of a free function with `#[retain]`, or of the handle it named; it is not generic | required |
/// | `key = (id,)` | that function's key, as its handle's `get` takes it: `&str` for strings, several in a tuple | required |
/// | `crate = path` | where retainit is found | `::retainit` |
///
/// What is returned, without its `Result`, is of the type that the named function returns, without its own; and the
/// tags of that function may use only its key arguments. All else is a compile error.
#[proc_macro_attribute]
pub fn retain_put(arguments: TokenStream, item: TokenStream) -> TokenStream {
    put::retain_put(arguments.into(), item.into()).into()
}

/// Removes entries of retained functions after a function has succeeded that makes them stale.
///
/// Keys and tags are taken from the arguments before the body runs; the removal comes after success (`Ok`, or anything
/// that is no `Result`) and before the function returns. Several of them on one function all apply. A cache that fails
/// is reported and never becomes the function's failure.
///
/// ```
/// use retainit::{invalidate, retain};
///
/// #[retain(tags("user", "user:{id}"))]
/// fn user(id: u64) -> String {
///     format!("user {id}")
/// }
///
/// #[invalidate(of = user, key = (id,))]       // one entry
/// fn rename(id: u64) {}
///
/// #[invalidate(of = user)]                    // all entries of the function
/// fn rename_all() {}
///
/// #[invalidate(tags("user:{id}"))]            // whatever carries the tag
/// fn delete(id: u64) -> Result<(), String> {
///     if id == 0 { Err("no such user".to_owned()) } else { Ok(()) }
/// }
///
/// user(1);
/// rename(1);
/// rename_all();
/// assert!(delete(0).is_err());                // removes nothing
/// ```
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `of = user` | the path of a free function with `#[retain]`, or of the handle it named; it is not generic | – |
/// | `key = (id,)` | the one entry, as the handle's `remove` takes it: `&str` for strings, several in a tuple | all entries |
/// | `tags("user:{id}")` | tags, templates over the arguments | – |
/// | `crate = path` | where retainit is found | `::retainit` |
///
/// `of` or `tags` has to be there. Where the return type borrows or is generic, `Result` is recognised by its name.
#[proc_macro_attribute]
pub fn invalidate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    invalidate::invalidate(arguments.into(), item.into()).into()
}

/// Calls a function with every event of the named kinds, of every instance in the process.
///
/// The function runs off the path of the calls the events are about: a sync one on a thread of its own, an `async` one
/// on the runtime of the instance. Events come in their order; a handler that is too slow loses the oldest. Kinds are
/// the variants of `EventKind`. `retainit::on(kinds, handler)` does the same at run time.
///
/// ```
/// use retainit::{Event, on};
///
/// #[on(CacheHit, CacheMiss)]
/// fn log(event: &Event) {
///     println!("{event}");
/// }
///
/// #[on(CacheError)]
/// async fn report(event: Event) {
///     eprintln!("{event}");
/// }
/// ```
///
/// # Arguments
///
/// | argument | meaning | default |
/// |---|---|---|
/// | `CacheHit`, `CacheMiss` … | kinds of events, at least one | required |
/// | `crate = path` | where retainit is found | `::retainit` |
///
/// A sync function takes `&Event`, an `async` one `Event`; its future is `Send`. It is a free function without type
/// parameters and returns nothing.
#[proc_macro_attribute]
pub fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    on::on(arguments.into(), item.into()).into()
}

/// Names a type for generic retained functions: the name is the same in every build, process and machine.
///
/// It is the type's path in its crate, or the text of `#[type_tag = "…"]`, which survives renames; type and const
/// parameters are added. `#[type_tag(id = "…", crate = path)]` also sets the path of retainit.
///
/// ```
/// use retainit::{TypeTag, retain};
///
/// #[derive(TypeTag)]
/// #[type_tag = "shop.Euro"]
/// struct Euro;
///
/// trait Currency {
///     const NAME: &'static str;
/// }
///
/// impl Currency for Euro {
///     const NAME: &'static str = "euro";
/// }
///
/// #[retain]
/// fn price<C: Currency>(id: u64) -> String {
///     format!("{id} {}", C::NAME)
/// }
///
/// assert_eq!(price::<Euro>(5), "5 euro");
/// assert_eq!(Euro::tag(), "shop.Euro");
/// ```
#[proc_macro_derive(TypeTag, attributes(type_tag))]
pub fn type_tag(item: TokenStream) -> TokenStream {
    type_tag::type_tag(item.into()).into()
}

/// Puts items beside an item: what `#[retain]` generates with its handle's type is one item with it, and one mistake in
/// the place where no item can be.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn __beside(items: TokenStream, item: TokenStream) -> TokenStream {
    [item, items].into_iter().collect()
}

macro_rules! later {
    ($($name:ident)*) => {$(
        /// Reports that the attribute is planned: using it is a compile error with a remedy until it exists.
        #[proc_macro_attribute]
        pub fn $name(_: TokenStream, item: TokenStream) -> TokenStream {
            let error = syn::Error::new(proc_macro2::Span::call_site(), words::attribute_later(stringify!($name)));
            errors::report(&error, item.into()).into()
        }
    )*};
}
later!(rate_limit circuit_breaker retry bulkhead timeout timed);

/// Compiles cases of `tests/ui/pass` in older editions.
#[cfg(doctest)]
mod editions {
    /// ```edition2018
    #[doc = include_str!("../tests/ui/pass/async_trait.rs")]
    /// ```
    struct AsyncTrait2018;

    /// ```edition2021
    #[doc = include_str!("../tests/ui/pass/async_trait.rs")]
    /// ```
    struct AsyncTrait2021;

    /// ```edition2018
    #[doc = include_str!("../tests/ui/pass/beside.rs")]
    /// ```
    struct Beside2018;

    /// ```edition2021
    #[doc = include_str!("../tests/ui/pass/beside.rs")]
    /// ```
    struct Beside2021;

    /// ```edition2018
    #[doc = include_str!("../tests/ui/pass/macro_rules.rs")]
    /// ```
    struct MacroRules2018;

    /// ```edition2021
    #[doc = include_str!("../tests/ui/pass/macro_rules.rs")]
    /// ```
    struct MacroRules2021;
}
