/// A token that a loader takes from a slot before it begins to load.
///
/// A store is accepted only while the fence is valid. A removal, a `set` and a refresh invalidate it, so the result of
/// a load that was under way is refused. The backend defines the number: a stripe's counter in memory, a placeholder's
/// random generation in Redis, an ETag's hash in S3. Absence is never a fence: a backend that finds nothing in a slot
/// has to leave something there, or keep a counter beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence(u64);

impl Fence {
    /// Makes a fence with the backend's own number.
    pub const fn new(token: u64) -> Fence {
        Fence(token)
    }

    /// Returns the backend's own number.
    pub const fn token(self) -> u64 {
        self.0
    }
}
