//! What keeps a deployment running.
//!
//! | route | who | what |
//! | --- | --- | --- |
//! | `POST /internal/tick` | operator | does what doorbells and alarms would: scripts of the folders `worker`, `ledger`, `rebuild`, and `apply_rules`, `erase` |
//! | `GET /healthz` | everybody | whether the process lives |
//! | `GET /readyz` | everybody | whether Redis, the key-value store and the order database respond |
//! | `GET /metrics` | everybody, or who has the token in `metrics_token` or the operator's | Prometheus text: script `view_lane` |
//!
//! Problems: unauthorized, rate-limited, not-found, unavailable.

use std::fmt::Write;
use std::time::{Duration, Instant};

use order_ledger::rebuild::rebuild_unless_lost;
use order_ledger::{CopyError, SqlError, personal_data, read, set_aside, spin};
use provider_simulation::SimulatedProvider;
use sale::Engine;
use sale::ids::Lane;
use sale::time::Timestamp;
use sale::work::{self, Done};
use serde::Serialize;
use web::caller::operator;
use web::platform::{outbound, settings};
use web::shop::payment::{PaymentProvider, remind_provider};
use web::shop::{catalogue, publishing, rules, worker};
use web::{HeaderValue, Method, Problem, Request, Response, SharedRedis, StatusCode};

/// Scripts that a tick may run to drain one lane's queue; each grants 500 reservations.
const GRANT_BATCHES: u32 = 40;
/// How long a tick works with the order database, for all lanes together. One call may add its own timeout.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);
/// Events of one lane that a tick copies at a time, and how often in one tick.
const COPY_BATCH: u32 = 500;
const COPY_BATCHES: u32 = 20;
/// Batches of 500 orders whose personal data one tick erases, and of older erasures that it repeats in Redis.
const ERASE_BATCHES: usize = 10;
/// The most days that personal data may be kept, so that the moment is a number that everything can hold.
const MOST_DAYS: u64 = 36_500;
const DAY_MS: i64 = 86_400_000;
/// How long a tick waits for the simulated payment provider.
const PROVIDER_PATIENCE: Duration = Duration::from_secs(5);

web::service!("upkeep", handle, settings: [LOG_REQUESTS, REDIS_URL, TRUST_PROXY], OPERATOR, [METRICS_TOKEN], RULES, [
    HOLD_SECONDS,
    PAY_SECONDS,
    RETENTION_SECONDS,
    PERSONAL_DATA_DAYS,
    PAYMENT_PROVIDER,
    LEDGER,
]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    match request.path().segments()[..] {
        ["healthz"] => {
            request.on("/healthz", &[Method::GET])?;
            Ok(Response::ok(&Health { status: "ok" }))
        }
        ["readyz"] => {
            request.on("/readyz", &[Method::GET])?;
            Ok(readiness(request).await)
        }
        ["metrics"] => {
            request.on("/metrics", &[Method::GET])?;
            operator::check_reader_of_metrics(request).await?;
            metrics().await
        }
        // The operator alone may call anything below `/internal`, so no route can be left open by mistake.
        ["internal", ref path @ ..] => {
            operator::check(request).await?;
            if path != ["tick"] {
                return Err(Problem::NotFound { what: "route" });
            }
            request.on("/internal/tick", &[Method::POST])?;
            tick().await
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    redis: &'static str,
    key_value: &'static str,
    database: &'static str,
    /// The payment provider. Without one nobody can pay, but everything else works: so this alone makes nothing unready.
    payments: &'static str,
}

/// 200 when Redis, the key-value store and the order database respond; else 503 that names which does not.
async fn readiness(request: &Request) -> Response {
    let word = |component: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => "ok",
        Err(cause) => {
            worker::log_failure("upkeep", component, cause);
            "unavailable"
        }
    };
    let engine = Engine::new(SharedRedis);
    let redis = sale::store::Redis::execute(engine.redis(), "PING", &[]).await;
    let redis = word("redis", redis.map(drop).map_err(|error| error.to_string()));
    let key_value = word("key_value", catalogue::is_store_ready().await.map_err(cause_of));
    let database = async { Ok(read::ping(&spin::open().await?).await?) };
    let database = word("database", database.await.map_err(cause_of));
    let payments = PaymentProvider::in_words().await.unwrap_or("not understood");
    let ready = [redis, key_value, database].iter().all(|state| *state == "ok");
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        status: if ready { "ready" } else { "unavailable" },
        redis,
        key_value,
        database,
        payments,
    };
    if ready {
        return Response::json(status, &readiness);
    }
    // A problem document, with the parts as members of their own.
    let problem = Problem::unavailable("not ready");
    let mut document = problem.document(request.request_id());
    if let (Some(members), Ok(serde_json::Value::Object(parts))) =
        (document.as_object_mut(), serde_json::to_value(&readiness))
    {
        members.extend(parts.into_iter().filter(|(name, _)| name != "status"));
    }
    let media_type = HeaderValue::from_static("application/problem+json");
    let mut response = Response::bytes(status, media_type, document.to_string());
    for (name, value) in problem.headers() {
        response = response.header(name, &value);
    }
    response
}

fn cause_of(problem: Problem) -> String {
    problem.cause().unwrap_or(problem.slug()).to_owned()
}

#[derive(Serialize, Default)]
struct Ticked {
    lanes: usize,
    #[serde(flatten)]
    done: Done,
    /// Events that were written to the order database.
    recorded: usize,
    /// Published items whose documents reached their lanes only now, because a call died.
    published: u64,
    /// Orders whose personal data was erased, because it is as old as the setting allows.
    erased: usize,
    /// Webhooks that the simulated provider delivered.
    delivered: u64,
    /// What could not be done, with the cause.
    failures: Vec<String>,
}

/// Does the work of every lane that doorbells and alarms would start.
async fn tick() -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let mut ticked = Ticked::default();
    // Before the lanes, because this may open one.
    match publishing::finish_all(&engine).await {
        Ok(finished) => ticked.published = finished,
        Err(problem) => {
            ticked.failures.push(format!("publishing: {}", problem.cause().unwrap_or_default()));
        }
    }
    let lanes = work::lanes(&engine).await?;
    // A lane may not have heard of a change of rules or settings.
    if let Err(problem) = rules::tell(&engine, &lanes).await {
        ticked.failures.push(format!("rules: {}", problem.cause().unwrap_or_default()));
    }
    ticked.lanes = lanes.len();
    for lane in &lanes {
        ticked.work_in_redis(&engine, lane).await?;
    }
    // Before events are copied, so that this tick also records the payments that the webhooks report.
    let provider = SimulatedProvider::new(Engine::new(SharedRedis));
    let is_due = async || provider.deliveries_due().await;
    match remind_provider(is_due, outbound::OWN, PROVIDER_PATIENCE).await {
        Ok(round) => ticked.delivered = round.delivered,
        Err(problem) => {
            ticked.failures.push(format!("payment provider: {}", problem.cause().unwrap_or_default()))
        }
    }
    // Last, because the database may hang.
    // A database that hangs is waited for once.
    if let Err(error) = ticked.work_in_database(&engine, &lanes).await {
        ticked.failures.push(format!("order database: {error}"));
    } else if let Err(problem) = ticked.erase_personal_data(&engine).await {
        ticked.failures.push(format!("personal data: {}", problem.cause().unwrap_or_default()));
    }
    Ok(Response::ok(&ticked))
}

impl Ticked {
    /// Does what a lane's alarm and its queue call for.
    async fn work_in_redis(&mut self, engine: &Engine<SharedRedis>, lane: &Lane) -> Result<(), Problem> {
        self.done.add(work::lapse(engine, lane).await?);
        self.done.add(work::drain(engine, lane, GRANT_BATCHES).await?);
        engine.collect_changes(lane).await?;
        Ok(())
    }

    /// Rebuilds the lanes that need it, and copies the events of all. Ends at the first call that the database fails: the
    /// other lanes would wait for the same database, one timeout after the other.
    async fn work_in_database(&mut self, engine: &Engine<SharedRedis>, lanes: &[Lane]) -> Result<(), String> {
        let begun = Instant::now();
        let sql = spin::open().await.map_err(|problem| problem.cause().unwrap_or_default().to_owned())?;
        for lane in lanes {
            let left = DATABASE_PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                self.failures
                    .push(format!("no time was left in the database for lane {lane} and those behind it"));
                break;
            }
            match self.rebuild_and_copy(engine, &sql, lane, left).await {
                Ok(()) => {}
                Err(CopyError::Sql(error @ SqlError::Unavailable(_))) => {
                    return Err(format!("{lane}: {error}"));
                }
                Err(error) => self.failures.push(format!("lane {lane}: {error}")),
            }
        }
        Ok(())
    }

    /// Erases the personal data that is too old, a bounded part at a time, and repeats in Redis what was erased before.
    async fn erase_personal_data(&mut self, engine: &Engine<SharedRedis>) -> Result<(), Problem> {
        let days = settings::number(settings::PERSONAL_DATA_DAYS, 0, MOST_DAYS).await?;
        let sql = spin::open().await?;
        let age = i64::try_from(days).unwrap_or(0) * DAY_MS;
        let oldest_kept = Timestamp::from_millis(engine.time().await?.millis() - age);
        for _ in 0..ERASE_BATCHES {
            let erased = match days {
                0 => 0,
                _ => personal_data::erase_older(engine, &sql, oldest_kept).await?,
            };
            self.erased += erased;
            let confirmed = personal_data::confirm(engine, &sql).await?;
            if erased + confirmed == 0 {
                break;
            }
        }
        Ok(())
    }

    async fn rebuild_and_copy(
        &mut self,
        engine: &Engine<SharedRedis>,
        sql: &spin::Database,
        lane: &Lane,
        timeout: Duration,
    ) -> Result<(), CopyError> {
        let rebuilt = rebuild_unless_lost(engine, sql, lane, timeout).await?;
        if rebuilt.rebuilt && rebuilt.finished {
            self.done.add(work::lapse(engine, lane).await?);
            self.done.add(work::drain(engine, lane, GRANT_BATCHES).await?);
        }
        for _ in 0..COPY_BATCHES {
            let copied = order_ledger::copy(engine, sql, lane, COPY_BATCH).await?;
            self.recorded += copied.events.applied;
            if !copied.more() {
                break;
            }
        }
        Ok(())
    }
}

/// Prometheus text. A scrape reads the counts in Redis; no shopper's request does.
async fn metrics() -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let mut units = String::new();
    let mut waiting = String::new();
    let mut admitted = String::new();
    let mut outbox = String::new();
    for lane in work::lanes(&engine).await? {
        let Some(view) = engine.view(&lane).await? else { continue };
        let labels = format!("item=\"{}\",lane=\"{}\"", lane.item, lane.number);
        for (state, count) in [
            ("available", view.available),
            ("held", view.held),
            ("ordered", view.ordered),
            ("sold", view.sold),
        ] {
            let _ = writeln!(units, "stampede_units{{{labels},state=\"{state}\"}} {count}");
        }
        let _ = writeln!(waiting, "stampede_queue_length{{{labels}}} {}", view.waiting);
        let _ = writeln!(admitted, "stampede_reservations_admitted_total{{{labels}}} {}", view.admitted);
        let _ = writeln!(outbox, "stampede_outbox_events{{{labels}}} {}", view.outbox);
    }
    let set_aside = match spin::open().await {
        Ok(sql) => set_aside::count(&sql).await.ok(),
        Err(_) => None,
    };
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &str| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
    };
    family("stampede_units", "gauge", "Units of an item by where they are.", &units);
    family("stampede_queue_length", "gauge", "Reservations that wait to be decided.", &waiting);
    family("stampede_reservations_admitted_total", "counter", "Reservations ever admitted.", &admitted);
    family("stampede_outbox_events", "gauge", "Order events not yet in the order database.", &outbox);
    let up = format!("stampede_order_database_up {}\n", u8::from(set_aside.is_some()));
    family("stampede_order_database_up", "gauge", "Whether the order database answers.", &up);
    if let Some(count) = set_aside {
        let sample = format!("stampede_events_set_aside {count}\n");
        family("stampede_events_set_aside", "gauge", "Order events that could not be applied.", &sample);
    }
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(Response::bytes(StatusCode::OK, media_type, text))
}
