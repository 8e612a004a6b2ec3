//! A component that does what the path and the body say, and returns the outcome as text.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::rc::Rc;
use std::time::Duration;

use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{HeaderMap, IntoResponse, Request, Response, StatusCode};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::{http_service, key_value, pg, redis, sqlite, variables};

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
    static AT_ONCE: Cell<u32> = const { Cell::new(0) };
    static REDIS: RefCell<Option<Rc<redis::Connection>>> = const { RefCell::new(None) };
}

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    REQUESTS.set(REQUESTS.get() + 1);
    AT_ONCE.set(AT_ONCE.get() + 1);
    let response = respond(request).await;
    AT_ONCE.set(AT_ONCE.get() - 1);
    response
}

async fn respond(request: Request) -> anyhow::Result<(StatusCode, String)> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let argument = head.uri.query().unwrap_or_default().to_owned();
    let text = match path.as_str() {
        "/constant" => "constant".to_owned(),
        "/echo" => String::from_utf8_lossy(&body.bytes().await?).into_owned(),
        "/length" => body.bytes().await?.len().to_string(),
        "/uri" => head.uri.to_string(),
        "/status" => return Ok((argument.parse()?, String::new())),
        "/large" => "x".repeat(argument.parse()?),
        "/counted" => REQUESTS.get().to_string(),
        "/at-once" => {
            sleep(Duration::from_millis(300)).await;
            AT_ONCE.get().to_string()
        }
        "/sleep" => {
            sleep(Duration::from_millis(argument.parse()?)).await;
            "slept".to_owned()
        }
        "/busy" => loop {
            std::hint::spin_loop();
        },
        "/trap" => std::process::abort(),
        "/panic" => panic!("as asked"),
        "/memory" => vec![1_u8; argument.parse()?].iter().map(|byte| u64::from(*byte)).sum::<u64>().to_string(),
        "/print" => {
            println!("a plain line");
            eprintln!("{{\"structured\":true}}");
            "printed".to_owned()
        }
        "/environment" => shown(std::env::var(argument)),
        "/variable" => shown(variables::get(argument).await),
        "/read" => shown(std::fs::read_to_string(argument)),
        "/write" => shown(std::fs::write(argument, "x")),
        "/remove" => shown(std::fs::remove_file(argument)),
        "/socket" => shown(std::net::TcpStream::connect(argument).map(drop)),
        "/fetch" => shown(spin_sdk::http::get(argument).await.map(|response: Response| response.status().as_u16())),
        "/fetch-text" => shown(fetch_text(&argument).await),
        "/script" => script(&argument).await?,
        "/redis" => redis(&body.bytes().await?).await,
        "/kv" => key_value(&body.bytes().await?).await,
        "/sqlite" => sqlite(&body.bytes().await?).await,
        "/postgres" => postgres(&body.bytes().await?).await,
        "/postgres-values" => postgres_values(&argument).await?,
        _ => headers(&head.headers),
    };
    Ok((StatusCode::OK, text))
}

async fn fetch_text(url: &str) -> anyhow::Result<String> {
    let response: Response = spin_sdk::http::get(url).await?;
    Ok(String::from_utf8(response.into_body().bytes().await?.to_vec())?)
}

async fn sleep(time: Duration) {
    monotonic_clock::wait_for(time.as_nanos() as u64).await;
}

fn shown<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    format!("{result:?}")
}

fn headers(headers: &HeaderMap) -> String {
    let mut lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap_or("?"))).collect();
    lines.sort();
    lines.join("\n")
}

/// Runs a script on a connection that the instance keeps, as a function that runs often would.
async fn script(address: &str) -> anyhow::Result<String> {
    const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";
    /// SHA-1 of the script.
    const DIGEST: &str = "61636018f4e6b5817b89791bbed242f93fa089e3";
    let kept = REDIS.with_borrow(Clone::clone);
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let connection = Rc::new(redis::Connection::open(address).await?);
            REDIS.replace(Some(connection.clone()));
            connection
        }
    };
    let run = async |command: &str, script: &str| {
        let arguments = [script, "1", "counter"].map(binary);
        connection.execute(command, arguments).await
    };
    let results = match run("EVALSHA", DIGEST).await {
        Err(redis::Error::Other(text)) if text.starts_with("NOSCRIPT") => run("EVAL", SCRIPT).await?,
        results => results?,
    };
    Ok(format!("{results:?}"))
}

fn binary(text: &str) -> redis::RedisParameter {
    redis::RedisParameter::Binary(text.as_bytes().to_vec())
}

/// First line: the address. Each other line: a command.
async fn redis(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut lines = body.lines();
    let address = lines.next().unwrap_or_default();
    let connection = match redis::Connection::open(address).await {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    let mut outcomes = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let command = words.next().unwrap_or_default();
        outcomes.push(shown(connection.execute(command, words.map(binary)).await));
    }
    outcomes.join("\n")
}

/// First line: the store. Then `set k v`, `get k`, `delete k`, `exists k`, `keys`.
async fn key_value(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut lines = body.lines();
    let store = match key_value::Store::open(lines.next().unwrap_or_default()).await {
        Ok(store) => store,
        Err(error) => return format!("{error:?}"),
    };
    let mut outcomes = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        outcomes.push(match words[..] {
            ["set", key, value] => shown(store.set(key, value).await),
            ["get", key] => shown(store.get(key).await.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned()))),
            ["delete", key] => shown(store.delete(key).await),
            ["exists", key] => shown(store.exists(key).await),
            ["keys"] => {
                let mut keys = store.get_keys().await.collect().await.unwrap_or_default();
                keys.sort();
                format!("{keys:?}")
            }
            _ => "what?".to_owned(),
        });
    }
    outcomes.join("\n")
}

/// First line: the database. Each other line: a statement; `sleep N` waits N milliseconds.
async fn sqlite(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut lines = body.lines();
    let connection = match sqlite::Connection::open(lines.next().unwrap_or_default()).await {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    let mut outcomes = Vec::new();
    for line in lines {
        if let Some(time) = line.strip_prefix("sleep ") {
            sleep(Duration::from_millis(time.parse().unwrap_or_default())).await;
            continue;
        }
        outcomes.push(match connection.execute(line, []).await {
            Ok(result) => shown(result.collect().await.map(|rows| rows.into_iter().map(|row| row.values).collect::<Vec<_>>())),
            Err(error) => format!("{error:?}"),
        });
    }
    outcomes.push(format!("changes {}", connection.changes().await));
    outcomes.join("\n")
}

/// First line: the address. Each other line: a statement.
async fn postgres(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut lines = body.lines();
    let connection = match pg::Connection::open(lines.next().unwrap_or_default()).await {
        Ok(connection) => connection,
        Err(error) => return format!("{error:?}"),
    };
    let mut outcomes = Vec::new();
    for line in lines {
        outcomes.push(match connection.query(line, []).await {
            Ok(mut result) => {
                let mut rows = Vec::new();
                while let Some(row) = result.rows().next().await {
                    rows.push(format!("{row:?}"));
                }
                rows.join("; ")
            }
            Err(error) => format!("{error:?}"),
        });
    }
    outcomes.join("\n")
}

/// Sends a value of each common kind and shows what comes back.
async fn postgres_values(address: &str) -> anyhow::Result<String> {
    use pg::ParameterValue::{Binary, Boolean, Datetime, DbNull, Floating64, Int64, Jsonb, Str, Timestamp};
    let connection = pg::Connection::open(address).await?;
    let parameters = vec![
        Str("价".into()),
        Int64(-7),
        Boolean(true),
        Jsonb(br#"{"a": 1}"#.to_vec()),
        Floating64(0.25),
        Binary(vec![0, 255]),
        Datetime((2026, 11, 21, 10, 0, 0, 123_000_000)),
        Timestamp(951_782_400),
        DbNull,
    ];
    let statement = "SELECT $1::text, $2::int8, $3::bool, $4::jsonb, $5::float8, $6::bytea, $7::timestamp, $8::timestamptz, $9::text";
    let mut result = connection.query(statement, parameters).await?;
    let row = result.rows().next().await;
    Ok(format!("{row:?}"))
}
