//! The shop as its clients see it, over TCP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use retainit_axum::{Database, app};
use serde_json::Value;
use tokio::net::TcpListener;

/// Sends one request and returns status and body.
fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

async fn asked(address: SocketAddr, method: &'static str, path: &'static str) -> (u16, Value) {
    tokio::task::spawn_blocking(move || ask(address, method, path)).await.expect("no panic")
}

// P-40, T-67, T-146, A-44
#[tokio::test(flavor = "multi_thread")]
async fn a_shop_answers_from_the_cache_until_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str| Database::open(&folder.path().join(name), 2).expect("a database");
    let (database, other) = (open("shop.db"), open("other.db"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serve = axum::serve(listener, app(database.clone())).with_graceful_shutdown(async { drop(ended.await) });
    let server = tokio::spawn(async move { serve.await });

    let (status, product) = asked(address, "GET", "/products/7").await;
    assert_eq!((status, product["name"].as_str(), product["reviews"].as_u64()), (200, Some("product 7"), Some(20)));
    assert_eq!(asked(address, "GET", "/products/7").await, (status, product));
    assert_eq!(asked(address, "GET", "/products/1000").await.0, 404);
    assert_eq!(asked(address, "GET", "/products/1000").await.0, 404, "an absent product is an answer");
    let (_, stats) = asked(address, "GET", "/stats").await;
    assert_eq!((stats["hits"].as_u64(), stats["loads"].as_u64()), (Some(2), Some(2)), "{stats}");

    assert_eq!(asked(address, "PUT", "/products/7/name/lamp").await.0, 204);
    assert_eq!(asked(address, "GET", "/products/7").await.1["name"], "lamp");
    assert_eq!(asked(address, "PUT", "/products/1000/name/lamp").await.0, 404);
    let elsewhere = other.product(7).await.expect("a query").expect("a product");
    assert_eq!(elsewhere.name, "product 7", "another database has results of its own");

    assert_eq!(asked(address, "GET", "/health").await.0, 200);
    end.send(()).expect("the server runs");
    server.await.expect("no panic").expect("it ends in order");
    retainit::current().close().await.expect("closed");
    assert_eq!(database.product(7).await.expect("a query").expect("a product").name, "lamp", "uncached from now on");
}
