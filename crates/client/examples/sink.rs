//! A server that only decodes and sums: what `tally load` can do when nothing holds it up.
//!
//! ```sh
//! cargo run --release -p tally-client --example sink -- 127.0.0.1:7071 &
//! cargo run --release -p tally-client --bin tally -- load --seconds 10
//! ```

#[expect(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/it/fake.rs"]
mod fake;
#[expect(unreachable_pub, reason = "shared with the tests")]
#[path = "../tests/it/fake_stream.rs"]
mod fake_stream;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/it/script.rs"]
mod script;

#[tokio::main]
async fn main() {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7071".to_owned());
    let sink = fake::Fake::start_on(&address).await;
    eprintln!("sink on {}; stop it with Ctrl-C", sink.node());
    tokio::signal::ctrl_c().await.expect("signals work");
    let adds: i64 = sink.state().values.values().sum();
    eprintln!("took {adds} adds");
}
