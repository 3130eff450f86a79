/// What a loader took from a slot before it began to load.
///
/// A store is accepted only while the fence still stands. A removal, a `set` and a refresh break it, so whatever was
/// being loaded meanwhile is refused. What the number means is the backend's affair: a stripe's counter in memory, a
/// placeholder's random generation in Redis, an ETag's hash in S3. Absence is never a fence: a backend that finds
/// nothing in a slot has to leave something there, or keep a counter beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence(u64);

impl Fence {
    /// A fence with the backend's own number.
    pub const fn new(token: u64) -> Fence {
        Fence(token)
    }

    /// The backend's own number.
    pub const fn token(self) -> u64 {
        self.0
    }
}
