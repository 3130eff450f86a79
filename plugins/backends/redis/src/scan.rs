use futures_util::future::join_all;
use retainit_plugin::{Error, ErrorKind, Page, Result, Scan};

use crate::backend::{RedisBackend, unexpected};
use crate::client::{Reply, command};
use crate::dial::text;
use crate::route::Call;

/// Keys that are looked at at once.
const BATCH: usize = 256;

impl RedisBackend {
    /// Lists a page of keys: of one primary after the other, by `SCAN`. The cursor is the address of the primary and its
    /// own cursor.
    pub(crate) async fn page(&self, scan: Scan) -> Result<Page> {
        let mut nodes = self.router.primaries().await?;
        nodes.sort_by_key(|node| node.address.to_string());
        let (number, cursor) = match scan.cursor.as_deref().map(|cursor| cursor.rsplit_once(' ')) {
            None => (Some(0), "0"),
            Some(Some((address, cursor))) => match nodes.iter().position(|node| node.address.to_string() == address) {
                Some(number) => (Some(number), cursor),
                // A primary that is gone in the middle of its scan: those behind it in the order are still to come.
                None => (nodes.iter().position(|node| *node.address.to_string() > *address), "0"),
            },
            Some(None) => return Err(Error::new(ErrorKind::Backend, "the cursor of the scan cannot be read")),
        };
        let Some((number, node)) = number.and_then(|number| Some((number, nodes.get(number)?))) else {
            return Ok(Page::default());
        };
        let mut command = command("SCAN");
        command.arg(cursor).arg("MATCH").arg(pattern(&scan.prefix)).arg("COUNT").arg(scan.page.max(1));
        let reply = self.router.call_at(node.clone(), &Call::new("", command)).await?;
        let (cursor, keys) = parts(&reply).ok_or_else(|| unexpected(&reply))?;
        let next = match cursor.as_str() {
            "0" => nodes.get(number + 1).map(|node| format!("{} 0", node.address)),
            cursor => Some(format!("{} {cursor}", node.address)),
        };
        let keys = if scan.placeholders { keys } else { self.with_entries(keys).await? };
        Ok(Page::new(keys, next))
    }

    /// Returns those keys that an entry is at, not a placeholder.
    async fn with_entries(&self, keys: Vec<String>) -> Result<Vec<String>> {
        let mut found = Vec::with_capacity(keys.len());
        for batch in keys.chunks(BATCH) {
            let heads = batch.iter().map(|key| {
                let mut head = command("GETRANGE");
                head.arg(key).arg(0).arg(0);
                self.call(key, head)
            });
            for (key, head) in batch.iter().zip(join_all(heads).await) {
                if matches!(head?, Reply::BulkString(head) if head == b"E") {
                    found.push(key.clone());
                }
            }
        }
        Ok(found)
    }
}

fn parts(reply: &Reply) -> Option<(String, Vec<String>)> {
    let Reply::Array(parts) = reply else { return None };
    let [cursor, Reply::Array(keys)] = parts.as_slice() else { return None };
    Some((text(cursor)?, keys.iter().filter_map(text).collect()))
}

/// Returns the pattern of keys that begin with a text, whose signs mean themselves.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for sign in prefix.chars() {
        if matches!(sign, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(sign);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_itself() {
        assert_eq!(pattern("r1:d:shop:*a[b]?"), r"r1:d:shop:\*a\[b\]\?*");
    }
}
