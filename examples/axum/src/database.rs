//! The shop's database: SQLite behind a pool, queries on threads that may block, results retained.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use retainit::{invalidate, retain};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// A product with what its reviews say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Number of its reviews.
    pub reviews: u64,
    /// Mean number of stars, 0 without reviews.
    pub stars: f64,
}

/// A query that failed.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error(error.to_string())
    }
}

/// Connections to one database. A clone is cheap and uses the same ones.
#[derive(Clone)]
pub struct Database {
    pool: Arc<Pool>,
}

struct Pool {
    /// Distinguishes the results of one database from those of another.
    name: String,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.pool.name).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens a database, and fills it if it is new: 1 000 products, 20 000 reviews.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn open(path: &Path, connections: usize) -> Result<Database, Error> {
        let mut idle = (0..connections.max(1)).map(|_| Connection::open(path)).collect::<Result<Vec<_>, _>>()?;
        fill(&mut idle[0])?;
        let permits = Arc::new(Semaphore::new(idle.len()));
        let name = path.display().to_string();
        Ok(Database { pool: Arc::new(Pool { name, idle: Mutex::new(idle), permits }) })
    }

    /// Returns a product, `None` if there is none of that number.
    ///
    /// `self` is no part of the key: it cannot be written as one. The database's name is, so that two databases of one
    /// process do not answer for each other.
    ///
    /// # Errors
    ///
    /// SQLite's; they are not stored.
    #[retain(
        id = "shop.product",
        key = (&self.pool.name, id),
        ttl = "5m",
        none_ttl = "10s",
        tags("product", "product:{id}")
    )]
    pub async fn product(&self, id: u64) -> Result<Option<Product>, Error> {
        // Reviews have no index on purpose: this is the slow query that the cache spares.
        const QUERY: &str = "SELECT name, (SELECT count(*) FROM reviews WHERE product = ?1), \
            (SELECT coalesce(avg(stars), 0.0) FROM reviews WHERE product = ?1) FROM products WHERE id = ?1";
        self.run(move |connection| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Product { id, name: row.get(0)?, reviews: row.get::<_, i64>(1)?.unsigned_abs(), stars: row.get(2)? })
            };
            Ok(connection.prepare_cached(QUERY)?.query_row([id.cast_signed()], read).optional()?)
        })
        .await
    }

    /// Renames a product, and ends what was retained of it once that has succeeded. Returns `false` if there is none.
    ///
    /// # Errors
    ///
    /// SQLite's; then nothing is invalidated.
    #[invalidate(tags("product:{id}"))]
    pub async fn rename(&self, id: u64, name: String) -> Result<bool, Error> {
        self.run(move |connection| {
            let changed =
                connection.execute("UPDATE products SET name = ?2 WHERE id = ?1", (id.cast_signed(), name))?;
            Ok(changed > 0)
        })
        .await
    }

    /// Runs a query on a connection of its own, on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let pool = Arc::clone(&self.pool);
        let permit = Arc::clone(&pool.permits).acquire_owned().await.map_err(|error| Error(error.to_string()))?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = || pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // A permit is a connection: there is one unless an earlier query has panicked with it.
            let connection = idle().pop().ok_or_else(|| Error("no connection is left".to_owned()))?;
            let result = query(&connection);
            idle().push(connection);
            result
        });
        work.await.map_err(|error| Error(error.to_string()))?
    }
}

fn fill(connection: &mut Connection) -> Result<(), Error> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    if connection.table_exists(None, "products")? {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
         CREATE TABLE reviews (product INTEGER NOT NULL, stars INTEGER NOT NULL);",
    )?;
    for id in 0..1_000_i64 {
        transaction.execute("INSERT INTO products VALUES (?1, ?2)", (id, format!("product {id}")))?;
    }
    for review in 0..20_000_i64 {
        transaction.execute("INSERT INTO reviews VALUES (?1, ?2)", (review * 7 % 1_000, 1 + review % 5))?;
    }
    Ok(transaction.commit()?)
}
