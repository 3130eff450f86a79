//! Makes calls of retained functions. Holds the code that is generic over the return type, and for async functions over
//! the function.

mod function;
mod rules;
mod run;
mod slots;
mod start;

pub use function::{PutTarget, Reload, ReloadSync, RetainedFunction};
pub use rules::{CallRules, RuleAnswer, RuleQuestion, error_is, ttl_of, ttl_of_any, when};
pub use run::{Begun, Check, Pinned, Reloaded, Run, Running, begin, finish, reload_sync, run, verify, verify_closure};
pub use start::{Call, KeyPart, KeyPartByValue, KeyValue, hit, key_value, look, own_key, put_key, succeeded, tag};
pub(crate) use start::{Target, failed, found_in, give, hit_in, looked_just_before};
