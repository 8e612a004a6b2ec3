//! A component behind a Redis channel that notes each message in Redis.

use std::cell::Cell;
use std::time::Duration;

use spin_sdk::redis::{Connection, RedisParameter};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::{redis_subscriber, variables};

thread_local! {
    static MESSAGES: Cell<u32> = const { Cell::new(0) };
}

/// Appends `begin <message> <count>` and `end <message>` to the list `rung`. `count` is the number of messages that this
/// instance has got. The message may be `sleep:<milliseconds>`, `fetch:<url>` (which appends its outcome), `trap` or
/// `error`.
#[redis_subscriber]
async fn ring(message: Vec<u8>) -> anyhow::Result<()> {
    MESSAGES.set(MESSAGES.get() + 1);
    let message = String::from_utf8(message)?;
    let redis = Connection::open(variables::get("redis_url").await?).await?;
    note(&redis, format!("begin {message} {}", MESSAGES.get())).await?;
    match message.split_once(':') {
        Some(("sleep", time)) => monotonic_clock::wait_for(Duration::from_millis(time.parse()?).as_nanos() as u64).await,
        Some(("fetch", url)) => {
            let status = spin_sdk::http::get(url).await.map(|response| response.status().as_u16());
            note(&redis, format!("{status:?}")).await?;
        }
        _ if message == "trap" => std::process::abort(),
        _ if message == "error" => anyhow::bail!("as asked"),
        _ => {}
    }
    note(&redis, format!("end {message}")).await
}

async fn note(redis: &Connection, line: String) -> anyhow::Result<()> {
    let arguments = ["rung".to_owned(), line].map(|text| RedisParameter::Binary(text.into_bytes()));
    redis.execute("RPUSH", arguments).await?;
    Ok(())
}
