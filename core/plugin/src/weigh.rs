/// The weight of a value in bytes, for backends with `max_bytes`.
///
/// Implement it where counting is cheap or where a value holds memory that its serialized form does not show. Types
/// that implement `Serialize` need nothing: their MessagePack form is counted once, when they are stored.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::Weigh;
///
/// struct Image { pixels: Vec<u8> }
///
/// impl Weigh for Image {
///     fn weigh(&self) -> u64 {
///         self.pixels.len() as u64
///     }
/// }
/// # assert_eq!(Image { pixels: vec![0; 10] }.weigh(), 10);
/// ```
pub trait Weigh {
    /// Returns the bytes held by this value, without the cost of the entry around it.
    fn weigh(&self) -> u64;
}
