//! Functions that call themselves, and bodies that return early.
#![deny(warnings)]

use retainit::retain;

#[retain]
fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    fib(n - 1) + fib(n - 2)
}

#[retain]
async fn fib_async(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    fib_async(n - 1).await + fib_async(n - 2).await
}

struct Numbers;

impl Numbers {
    #[retain(skip(self))]
    async fn fib(&self, n: u64) -> Result<u64, String> {
        if n < 2 {
            return Ok(n);
        }
        Ok(self.fib(n - 1).await? + self.fib(n - 2).await?)
    }
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(fib(50), 12_586_269_025);
    assert_eq!(is_send(fib_async(50)).await, 12_586_269_025);
    assert_eq!(Numbers.fib(50).await, Ok(12_586_269_025));
    assert_eq!(fib::cache().refresh(10), 55);
    assert_eq!(fib_async::cache().refresh(10).await, 55);
}
