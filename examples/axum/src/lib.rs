//! A small shop behind axum: one database, two routes that read, one that writes, and the cache's routes for operators.
//!
//! The guide `docs/axum.md` explains it step by step. `cargo run --release -p retainit-axum` starts it, and
//! `cargo run --release -p retainit-axum --bin load` measures it with and without the cache.
//!
//! Shows the promises P-40 and T-67.

mod database;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

pub use database::{Database, Error, Product};

/// Makes the routes of a shop on a database.
///
/// The state is the database alone. The cache needs none: handlers call methods with `#[retain]`.
pub fn app(database: Database) -> Router {
    Router::new()
        .route("/products/{id}", get(product))
        .route("/products/{id}/name/{name}", put(rename))
        .route("/health", get(health))
        .route("/stats", get(stats))
        .with_state(database)
}

async fn product(State(database): State<Database>, Path(id): Path<u64>) -> Result<Json<Product>, StatusCode> {
    match database.product(id).await {
        Ok(Some(product)) => Ok(Json(product)),
        Ok(None) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn rename(
    State(database): State<Database>,
    Path((id, name)): Path<(u64, String)>,
) -> Result<StatusCode, StatusCode> {
    match database.rename(id, name).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// 200 while the cache works, 503 with the failing parts. Calls are answered in either case, uncached if need be: take
/// it for an alert, not for the probe that restarts the service.
async fn health() -> (StatusCode, Json<Value>) {
    match retainit::health().await {
        Ok(health) => {
            let status = if health.is_healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let failing: Vec<String> =
                health.failing.iter().map(|(name, error)| format!("{name}: {error:#}")).collect();
            let backends: Vec<String> = health.backends.iter().map(ToString::to_string).collect();
            (status, Json(json!({ "failing": failing, "backends": backends })))
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "failing": [format!("{error:#}")] }))),
    }
}

async fn stats() -> Json<Value> {
    let stats = retainit::stats();
    Json(json!({ "hits": stats.hits, "misses": stats.misses, "uncached": stats.uncached, "loads": stats.loads }))
}
