//! One run: a shop of its own, a storm, and the calm after it.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;
use stampede_tests::{AppendOnly, ItemTerms, Postgres, Proxy, RedisServer, Shopper, World};
use tokio::sync::OnceCell;

use crate::check;
use crate::operator::{self, Desk};
use crate::plan::{Database, HOLD_SECONDS, PAY_SECONDS, Plan, STORM};
use crate::record::Record;
use crate::shopper::{Provider, Visit};
use crate::trouble::{self, Breakable};

/// How long shoppers and provider go on after the storm before they give up. Everything has healed by then.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long the shop may take, when everybody has left, until nothing is under way any more: the longest hold or
/// order, the alarm's second, and time for a busy machine.
const SETTLING: Duration = Duration::from_secs(HOLD_SECONDS + PAY_SECONDS + 40);

/// PostgreSQL for all runs of this process, each with a database of its own.
static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();

/// What a run came to.
pub struct Outcome {
    pub plan: Plan,
    /// Everything that should not be, in words. Empty for a good run.
    pub findings: Vec<String>,
    pub reservations: usize,
    pub orders: usize,
    pub took: Duration,
    /// What the hosts logged last, where there are findings.
    pub logs: String,
}

/// What the checker reads.
pub struct Aftermath<'a> {
    pub plan: &'a Plan,
    pub records: &'a [Record],
    pub desk: &'a Desk,
    pub database: &'a check::Books,
}

/// Runs the sale of `plan`.
pub async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let way_to_database = match plan.database {
        Database::Sqlite => None,
        Database::Postgres => Some(postgres_behind_proxy(plan.seed).await?),
    };
    let mut builder = World::builder()
        .unchecked()
        .set("hold_seconds", HOLD_SECONDS)
        .set("pay_seconds", PAY_SECONDS)
        .set("captcha_difficulty", 1)
        .with_append_only(if plan.always_synced { AppendOnly::Always } else { AppendOnly::EverySecond })
        .with_redis_behind(Proxy::start().await);
    if let Some((_, proxy, name)) = &way_to_database {
        let origin = format!("postgres://127.0.0.1:{}", proxy.port());
        let url = format!("postgres://stampede@127.0.0.1:{}/{name}?connect_timeout=5", proxy.port());
        builder = builder.set("ledger", url).set("ledger_origin", origin);
    }
    let mut world = builder.start().await;
    let mut other = world.start_host_with_clock_off_by(plan.clock_off_by).await;
    let bases = [world.host.base(), other.base()];
    let seller = world.seller();
    let ends_in = if plan.ends_early { STORM.as_secs_f64() * 0.7 } else { 3_600.0 };
    let terms =
        ItemTerms { mode: if plan.instant { "instant" } else { "queued" }, ..ItemTerms::of(plan.stock) };
    let item = seller.publish(&terms.limited_to(plan.cap).between(-1.0, ends_in)).await;
    let client = world.client();
    let arrivals = plan.shoppers.iter().map(|shopper| Shopper::arrive_at(&client, &bases[shopper.host]));
    let people = join_all(arrivals).await;

    // What was made so far is not what this run may lose.
    world.redis.written().await;
    let begun = Instant::now();
    let leaves_at = begun + STORM + PATIENCE;
    let visits = people.into_iter().zip(&plan.shoppers).enumerate().map(|(number, (shopper, intentions))| {
        let provider = Provider {
            client: world.client().at(&bases[1 - intentions.host]),
            secret: world.webhook_secret(),
        };
        let record = Record::of(number, shopper.user_id());
        let may_be_forgotten = plan.may_forget();
        Visit { plan: intentions, shopper, provider, item: &item, record, may_be_forgotten, leaves_at }
            .live(begun)
    });
    let visits = join_all(visits.collect::<Vec<_>>());
    let state = world.state_folder().to_owned();
    let lane = format!("{}:0", item.id);
    let way_to_redis = world.way_to_redis.take().context("the world has a proxy")?;
    let (records, mut desk, ()) = tokio::join!(
        visits,
        operator::act(&plan.acts, begun, &seller, &item, plan.stock),
        trouble::make(
            &plan.faults,
            begun,
            Breakable {
                hosts: [&mut world.host, &mut other],
                redis: &mut world.redis,
                way_to_redis: &way_to_redis,
                way_to_database: way_to_database.as_ref().map(|(_, proxy, _)| proxy),
                state: &state,
                lane,
            },
        ),
    );

    if plan.may_forget() {
        desk.decide_again(&seller, &item).await;
    }
    let books = match &way_to_database {
        None => check::Books::Sqlite(state),
        Some((postgres, _, name)) => check::Books::Postgres(postgres.url(name)),
    };
    let mut findings = check::settle(&seller, &item, SETTLING).await;
    let aftermath = Aftermath { plan: &plan, records: &records, desk: &desk, database: &books };
    let checked = check::check(&aftermath, &seller, &item).await?;
    findings.extend(checked.findings);
    let logs = if findings.is_empty() {
        String::new()
    } else {
        world.host.log() + &other.log() + &redis_in_words(&world.redis).await
    };
    Ok(Outcome {
        findings,
        reservations: checked.reservations,
        orders: checked.orders,
        took: began.elapsed(),
        logs,
        plan,
    })
}

/// What Redis says of its append-only file, and the end of its log.
async fn redis_in_words(redis: &RedisServer) -> String {
    let information: String = redis.command(&["INFO", "persistence"]).await;
    let lines: Vec<&str> = information.lines().filter(|line| line.starts_with("aof_")).collect();
    format!("\n{}\n{}\n", lines.join(" "), redis.last_words())
}

/// A new database of the shared server, behind a proxy of its own.
async fn postgres_behind_proxy(seed: u64) -> anyhow::Result<(&'static Postgres, Proxy, String)> {
    let postgres = POSTGRES.get_or_try_init(async || Postgres::start()).await?;
    let name = format!("run_{seed}_{}", std::process::id());
    let (client, connection) =
        tokio_postgres::connect(&postgres.url("postgres"), tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await?;
    client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    drop(client);
    connection.await??;
    let proxy = Proxy::start().await;
    let url = postgres.url(&name);
    let port = url.split(':').nth(2).and_then(|rest| rest.split('/').next()).context("the URL has a port")?;
    proxy.lead_to(port.parse()?);
    Ok((postgres, proxy, name))
}
