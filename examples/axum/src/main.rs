//! Starts the shop: `retainit-axum [address] [database]`. Its settings are those of `retainit.toml` in the working
//! directory and of the profile that `RETAINIT_PROFILE` names.

use std::error::Error;
use std::path::PathBuf;

use retainit_axum::{Database, app};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let database = arguments.next().map_or_else(|| PathBuf::from("shop.db"), PathBuf::from);

    // Without this line the first call would do it; here a mistake in the settings ends the start.
    let retainit = retainit::init()?;
    let database = Database::open(&database, 4)?;
    let listener = TcpListener::bind(&address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app(database)).with_graceful_shutdown(terminated()).await?;

    // No request is left: what is queued is written, and backends are closed.
    retainit.close().await?;
    Ok(())
}

/// Waits for Ctrl-C, or for what a container is sent before it is ended.
async fn terminated() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    drop(tokio::signal::ctrl_c().await);
}
