//! Attributes of the function: lints, `cfg`, `inline`, `deprecated`, those of arguments.
//! With `deny(warnings)` this file does not compile where one of them is lost.
#![deny(warnings, unfulfilled_lint_expectations)]

use retainit::retain;

#[allow(unused_variables, reason = "has to hold behind the macro")]
#[retain]
fn lints(used: u8, unused: u8) -> u8 {
    let never = 1;
    used
}

#[retain]
#[expect(unused_variables, reason = "for the test")]
#[inline]
fn expectations(n: u8) -> u8 {
    let never = 1;
    n
}

struct Type;

impl Type {
    #[retain(skip(self))]
    #[expect(unused_variables)]
    fn method(&self, n: u8) -> u8 {
        let never = 1;
        n
    }
}

#[cfg(any())]
#[retain]
fn gone(n: Missing) -> u8 {
    n
}

#[retain]
#[cfg(any())]
fn gone(n: Missing) -> u8 {
    n
}

#[retain]
#[cfg(not(any()))]
fn there(#[allow(unused_mut, reason = "has to hold behind the macro")] mut n: u8) -> u8 {
    n
}

#[retain]
#[deprecated]
fn old(n: u8) -> u8 {
    n
}

#[retain]
#[allow(clippy::too_many_arguments, reason = "has to hold behind the macro")]
fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: u8) -> u8 {
    a + b + c + d + e + f + g + h + i + j + k + l
}

#[allow(dead_code, reason = "has to hold for what the macro makes, too")]
mod unused {
    #[retainit::retain]
    fn never_called(n: u8) -> u8 {
        n
    }
}

fn main() {
    assert_eq!(lints(1, 2) + expectations(1) + Type.method(1) + there(1), 4);
    #[allow(deprecated)]
    let old = old(1);
    assert_eq!(old, 1);
    assert_eq!(many(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 12);
}
