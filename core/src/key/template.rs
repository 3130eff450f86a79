use serde::Serialize;

use super::canon::KeyError;
use super::{KeySource, Sink, text};

/// A key or tag written as text with values in it: `"user:{id}"`.
#[derive(Clone, Copy, Debug)]
pub struct Template<V> {
    /// The text around the values: one more than there are values.
    pub literals: &'static [&'static str],
    /// Every non-alphanumeric character that stands between two values; escaped in them.
    pub between: &'static str,
    /// The values, as a tuple.
    pub values: V,
}

impl<V: Values> Template<V> {
    fn texts(&self) -> Result<Vec<String>, KeyError> {
        (0..self.literals.len() - 1).map(|i| self.values.value(i)).collect()
    }

    /// The text with its values as they are, for tags.
    pub(crate) fn plain_text(&self) -> Result<String, KeyError> {
        let texts = self.texts()?;
        let mut out = self.literals[0].to_owned();
        for (value, after) in texts.iter().zip(&self.literals[1..]) {
            out.push_str(value);
            out.push_str(after);
        }
        Ok(out)
    }
}

impl<V: Values> KeySource for Template<V> {
    const IS_TEXT: bool = true;

    fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), KeyError> {
        // A template without values is the commonest and needs no text of its own.
        match self.literals {
            [only] if !only.contains(['%', '*', '?', '[', ']', '{', '}', ' ']) => sink.put(only.as_bytes()),
            _ => sink.put(text::fill(self.literals, self.between, &self.texts()?).as_bytes()),
        }
        Ok(())
    }
}

/// The values of a template: a tuple of up to twelve, or one value.
pub trait Values {
    /// The text of the value at `index`: strings as they are, everything else in canonical text.
    ///
    /// # Errors
    ///
    /// What the value's own `Serialize` says.
    fn value(&self, index: usize) -> Result<String, KeyError>;
}

fn bare<T: Serialize + ?Sized>(value: &T) -> Result<String, KeyError> {
    let mut bytes = super::sink::Bytes::new();
    super::Args(value).feed(&mut bytes)?;
    Ok(super::plain_string(&bytes).map_or_else(|| text::canonical_text(&bytes), str::to_owned))
}

macro_rules! values {
    ($($name:ident $index:tt)*) => {
        impl<$($name: Serialize),*> Values for ($($name,)*) {
            fn value(&self, index: usize) -> Result<String, KeyError> {
                match index {
                    $($index => bare(&self.$index),)*
                    _ => Ok(String::new()),
                }
            }
        }
    };
}
values!();
values!(A 0);
values!(A 0 B 1);
values!(A 0 B 1 C 2);
values!(A 0 B 1 C 2 D 3);
values!(A 0 B 1 C 2 D 3 E 4);
values!(A 0 B 1 C 2 D 3 E 4 F 5);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
values!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);
