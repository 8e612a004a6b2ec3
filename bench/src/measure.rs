//! All measurements.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use stampede_tests::{
    Item, ItemTerms, Seller, World, WorldBuilder, checkout, eventually, solve_proof_of_work,
};

use crate::load::{self, Connection, Outcome, Response, closed_loop, each_once, repeat_for, request};
use crate::reference::{Monitor, Nginx, ScriptCall, redis_benchmark};
use crate::report::{Budget, Report, milliseconds_at};

const RESERVE: &str = "reserve, accepted";
const RESERVE_REFERENCE: &str = "redis-benchmark, the same script";
const REFUSAL: &str = "refusal, sold out";
/// The stocks of the items whose refusals are measured, with the names of the measurements.
const REFUSED: [(usize, &str); 3] = [
    (1, REFUSAL),
    (20_000, "refusal, 20,000 units sold out"),
    (1_000_000, "refusal, 1,000,000 units sold out"),
];
const PAGE: &str = "static page";
const PAGE_REFERENCE: &str = "Nginx, the same bytes";
/// A stock that is larger than any measurement needs.
const PLENTY: i64 = 5_000_000;
/// How many reservations are in the queue when the drain begins.
const QUEUE: usize = 200_000;

#[derive(Clone, Serialize)]
pub struct Settings {
    /// The seconds that a measurement lasts, if its length is free to choose.
    pub seconds: u64,
    pub connections: usize,
    /// How many shoppers reserve. Each gets a session and solves a challenge before the measurement.
    pub shoppers: usize,
    /// Only measurements whose name contains this.
    pub only: Option<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { seconds: 5, connections: 64, shoppers: 30_000, only: None }
    }
}

impl Settings {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// The servers that are measured, and clients for them.
struct Bench<'a> {
    settings: &'a Settings,
    world: World,
    seller: Seller,
    address: SocketAddr,
}

pub async fn everything(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let world = quiet(World::builder()).start().await;
    let address = world.host.base().trim_start_matches("http://").parse()?;
    let mut bench = Bench { settings, seller: world.seller(), world, address };

    sizes(report)?;
    if settings.wants("instantiate") {
        instantiation(report, address).await?;
    }
    if settings.wants("challenge") {
        challenges(settings, report).await?;
    }
    if settings.wants("first load") {
        bench.first_load(report).await?;
    }
    if settings.wants("page") {
        bench.page(report).await?;
    }
    if settings.wants("item") {
        bench.item_detail(report).await?;
    }
    if settings.wants("reserve") || settings.wants("poll") || settings.wants("result") {
        bench.reservations(report).await?;
    }
    for (units, name) in REFUSED {
        if settings.wants(name) {
            bench.refusals(units, name, report).await?;
        }
    }
    if settings.wants("script") || settings.wants("drain") {
        bench.script_and_drain(report).await?;
    }

    let budgets = [
        (RESERVE, RESERVE_REFERENCE, "reserve / redis-benchmark", 0.4),
        (REFUSAL, RESERVE, "refusals / accepted", 1.5),
        (REFUSED[1].1, REFUSAL, "refusals of 20,000 units / of one", 0.7),
        (REFUSED[2].1, REFUSAL, "refusals of 1,000,000 units / of one", 0.5),
        (PAGE, PAGE_REFERENCE, "page / Nginx", 0.4),
    ];
    for (ours, theirs, name, least) in budgets {
        if let (Some(ours), Some(theirs)) = (report.rate_of(ours), report.rate_of(theirs)) {
            report.add_figure(name, ours / theirs, "", Budget::AtLeast(least));
        }
    }
    Ok(())
}

/// Settings of a shop that expects a crowd: no line in the log for a request that succeeds. Challenges are checked, but
/// the generator solves them in no time.
fn quiet(world: WorldBuilder) -> WorldBuilder {
    world.unchecked().set("log_requests", "problems").set("captcha_difficulty", 1)
}

/// Reports the sizes of the components.
fn sizes(report: &mut Report) -> anyhow::Result<()> {
    let folder = checkout().join("target/wasm32-wasip2/function");
    let mut largest = 0;
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("{} is not there; run `cargo xtask bench`", folder.display()))?
        .collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let bytes = entry.metadata()?.len();
            largest = largest.max(bytes);
            report.add_component(&path.file_stem().unwrap_or_default().to_string_lossy(), bytes);
        }
    }
    report.add_figure("largest component", largest as f64 / 1024.0, "KiB", Budget::Below(500.0));
    Ok(())
}

/// Measures the cost of a new instance: the median time of requests that each get a new one, less that of requests that
/// share one. The component that handles `/healthz` has every grant.
async fn instantiation(report: &mut Report, shared: SocketAddr) -> anyhow::Result<()> {
    let world = quiet(World::builder()).argue(&["--max-instance-reuse-count", "1"]).start().await;
    let fresh = world.host.base().trim_start_matches("http://").parse()?;
    let mut medians = Vec::new();
    for address in [shared, fresh] {
        let asked = vec![request("GET", "/healthz", None, None); 1_000];
        let outcome =
            closed_loop(address, 1, each_once(&asked), |_, response| response.status == 200).await?;
        ensure!(outcome.wrong == 0, "the response to /healthz is {:?}", outcome.example);
        medians.push(milliseconds_at(&outcome.latency, 0.5));
    }
    report.add_figure("a new instance", medians[1] - medians[0], "ms", Budget::Below(1.0));
    Ok(())
}

/// Measures how fast challenges are issued, as a crowd asks for them in the first second of a sale: proofs of work, which
/// are usual, and pictures, which have to be drawn.
async fn challenges(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    for (kind, name) in [("pow", "challenge, proof of work"), ("image", "challenge, picture")] {
        let world =
            quiet(World::builder()).set("captcha_kind", kind).set("captcha_difficulty", 0).start().await;
        let address = world.host.base().trim_start_matches("http://").parse()?;
        let seller = world.seller();
        let item = seller.publish(&ItemTerms::of(100)).await;
        let bench = Bench { settings, seller, world, address };
        let path = format!("/api/items/{}/challenges", item.id);
        let tokens = bench.sessions(1_000).await?;
        let asked = tokens.iter().map(|token| request("POST", &path, Some(token), None)).collect();
        let wanted = format!("\"kind\":\"{kind}\"");
        let outcome =
            closed_loop(address, settings.connections, repeat_for(asked, settings.time()), |_, response| {
                response.status == 201 && contains(response.body, &wanted)
            })
            .await?;
        report.add_outcome(name, &outcome);
        if kind == "pow" {
            report.add_figure("challenges issued", outcome.rate(), "/s", Budget::AtLeast(3_000.0));
        }
    }
    Ok(())
}

impl Bench<'_> {
    /// Adds up the sizes of everything that a browser fetches before an item's page works, except for the picture.
    async fn first_load(&self, report: &mut Report) -> anyhow::Result<()> {
        let client = self.world.client();
        let mut to_fetch = vec!["/items/i0000000000".to_owned()];
        let mut seen = BTreeSet::new();
        let mut total = 0;
        while let Some(path) = to_fetch.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let packed = client.get(&path).header("accept-encoding", "br").send().await;
            ensure!(packed.status == 200, "{packed}");
            total += packed.body.len();
            let plain = client.get(&path).send().await;
            to_fetch.extend(needed_at_once(&String::from_utf8_lossy(&plain.body)));
        }
        let kib = total as f64 / 1024.0;
        report.add_figure("item page, first load, compressed", kib, "KiB", Budget::Below(30.0));
        Ok(())
    }

    /// Measures the same page from us and from Nginx.
    async fn page(&self, report: &mut Report) -> anyhow::Result<()> {
        let client = self.world.client();
        let page = client.get("/").send().await;
        ensure!(page.status == 200, "{page}");
        let ask = || repeat_for(vec![request("GET", "/", None, None)], self.settings.time());
        let is_right = |_, response: &Response<'_>| response.status == 200 && response.body == page.body;

        let nginx = Nginx::start(&self.world.folder(), &page.body).await?;
        let theirs = closed_loop(nginx.address, self.settings.connections, ask(), is_right).await?;
        report.add_outcome(PAGE_REFERENCE, &theirs);
        drop(nginx);
        let ours = closed_loop(self.address, self.settings.connections, ask(), is_right).await?;
        report.add_outcome(PAGE, &ours);
        Ok(())
    }

    async fn item_detail(&self, report: &mut Report) -> anyhow::Result<()> {
        let item = self.seller.publish(&ItemTerms::of(100)).await;
        let asked = vec![request("GET", &format!("/api/items/{}", item.id), None, None)];
        let outcome = closed_loop(
            self.address,
            self.settings.connections,
            repeat_for(asked, self.settings.time()),
            |_, response| response.status == 200 && contains(response.body, &item.id),
        )
        .await?;
        report.add_outcome("item detail", &outcome);
        Ok(())
    }

    /// Measures accepted reservations at full speed, then polls of them. Then measures the time from a reservation to its
    /// result, at half of that speed.
    async fn reservations(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let item = self.seller.publish(&ItemTerms::of(PLENTY)).await;
        let tokens = self.sessions(self.settings.shoppers).await?;
        let wishes = self.wishes(&item, &tokens).await?;
        let mut paths = vec![String::new(); wishes.len()];
        let outcome =
            closed_loop(self.address, self.settings.connections, each_once(&wishes), |number, response| {
                if let Some(id) = accepted(response) {
                    paths[number] = format!("/api/reservations/{id}");
                    return true;
                }
                false
            })
            .await?;
        report.add_outcome(RESERVE, &outcome);
        self.wait_until_drained(&item).await;
        let counters = self.seller.counters(&item).await;
        if counters.held != outcome.right as i64 {
            report.complain(format!(
                "{} reservations were accepted, {} are held",
                outcome.right, counters.held
            ));
        }
        self.seller.audit(&item).await;

        let polls: Vec<Bytes> = paths
            .iter()
            .zip(&tokens)
            .filter(|(path, _)| !path.is_empty())
            .map(|(path, token)| request("GET", path, Some(token), None))
            .collect();
        ensure!(!polls.is_empty(), "no reservation was accepted: {:?}", outcome.example);
        let polled = closed_loop(
            self.address,
            self.settings.connections,
            repeat_for(polls, self.settings.time()),
            |_, response| response.status == 200 && contains(response.body, "\"held\""),
        )
        .await?;
        report.add_outcome("poll", &polled);

        if self.settings.wants("result") {
            self.reserve_to_result(report, outcome.rate() / 2.0).await?;
        }
        Ok(())
    }

    /// Measures the time from a reservation to its result. Shoppers come at a steady pace, even if we do not keep up, and
    /// each polls until there is a result.
    async fn reserve_to_result(&self, report: &mut Report, pace: f64) -> anyhow::Result<()> {
        let item = self.seller.publish(&ItemTerms::of(PLENTY)).await;
        let count = ((pace * self.settings.seconds as f64) as usize).clamp(100, self.settings.shoppers);
        let tokens = self.sessions(count).await?;
        let wishes = self.wishes(&item, &tokens).await?;
        // So many that no shopper waits for a connection while we keep up.
        let connection_count = 256.min(count);
        let mut connections = Vec::new();
        for _ in 0..connection_count {
            connections.push(Connection::open(self.address).await?);
        }
        let started = Instant::now();
        let mut outcome = Outcome {
            right: 0,
            wrong: 0,
            example: None,
            elapsed: Duration::ZERO,
            latency: load::histogram(),
        };
        let work = connections.into_iter().enumerate().map(|(first, mut connection)| {
            let (wishes, tokens) = (&wishes, &tokens);
            async move {
                let mut results = Vec::new();
                for number in (first..wishes.len()).step_by(connection_count) {
                    // Count from the moment when the shopper should have come, so that the result includes our delay.
                    let due = started + Duration::from_secs_f64(number as f64 / pace);
                    tokio::time::sleep_until(due.into()).await;
                    let result = until_decided(&mut connection, &wishes[number], &tokens[number]).await?;
                    results.push((result, due.elapsed()));
                }
                anyhow::Ok(results)
            }
        });
        for results in join_all(work).await {
            for ((status, body), latency) in results? {
                let is_held = status == 200 && contains(&body, "\"held\"");
                outcome.note(&Response { status, body: &body }, is_held, latency);
            }
        }
        outcome.elapsed = started.elapsed();
        report.add_outcome("reserve to result, at half of peak", &outcome);
        for (name, share) in [("reserve to result, p50", 0.5), ("reserve to result, p99", 0.99)] {
            let latency = milliseconds_at(&outcome.latency, share);
            report.add_figure(name, latency, "ms", Budget::Below(50.0));
        }
        self.wait_until_drained(&item).await;
        self.seller.audit(&item).await;
        Ok(())
    }

    /// Measures refusals of an item of so many units that is sold out, each unit to a shopper of its own.
    async fn refusals(&self, units: usize, name: &str, report: &mut Report) -> anyhow::Result<()> {
        let item = self.seller.publish(&ItemTerms::of(i64::try_from(units)?)).await;
        // All shoppers solve their challenges before the last unit is sold.
        let tokens = self.sessions(1_000).await?;
        let asked = self.wishes(&item, &tokens).await?;
        let call = self.capture_reserve(&item).await?;
        if units > 1 {
            redis_benchmark(self.world.redis.port(), self.settings.connections, units - 1, &call)?;
        }
        self.wait_until_drained(&item).await;
        let holders = self.seller.counters(&item).await.held;
        ensure!(holders as usize > units * 9 / 10, "only {holders} of {units} units are held");
        // Two of the random shoppers may have been the same.
        self.seller.set_stock(&item, json!({ "total": holders })).await.expect(200);
        let outcome = closed_loop(
            self.address,
            self.settings.connections,
            repeat_for(asked, self.settings.time()),
            |_, response| response.status == 410 && contains(response.body, "/problems/sold-out"),
        )
        .await?;
        report.add_outcome(name, &outcome);
        let counters = self.seller.counters(&item).await;
        if counters.held != holders || counters.available != 0 {
            report.complain(format!("{holders} units were held, and now: {counters:?}"));
        }
        Ok(())
    }

    /// Measures the reserve script alone with redis-benchmark. Then measures how fast the queue that this fills is drained.
    async fn script_and_drain(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let item = self.seller.publish(&ItemTerms::of(PLENTY)).await;
        let call = self.capture_reserve(&item).await?;
        let port = self.world.redis.port();
        // Stop the host, so that nobody else uses Redis.
        self.world.host.kill9();
        let calls = self.settings.shoppers.max(20_000);
        let connections = self.settings.connections;
        let rate = redis_benchmark(port, connections, calls, &call)?;
        report.add_reference(RESERVE_REFERENCE, rate);
        if !self.settings.wants("drain") {
            self.world.host.restart().await;
            return Ok(());
        }

        redis_benchmark(port, connections, QUEUE.saturating_sub(calls), &call)?;
        let queue = call.key(4).to_owned();
        let mut redis = self.world.redis.connection().await;
        let mut length = async || -> u64 {
            let command = redis_command("LLEN", &queue);
            command.query_async(&mut redis).await.unwrap_or_default()
        };
        let queued = length().await;
        ensure!(queued > QUEUE as u64 / 2, "only {queued} of {QUEUE} reservations are in the queue");
        let (host, timeout) = (&mut self.world.host, Duration::from_secs(60));
        let restart = host.restart();
        // Measure from the moment when the first reservation leaves the queue until the last has left.
        let watch = async {
            let started = eventually("the drain begins", timeout, async || {
                (length().await < queued).then(Instant::now)
            })
            .await;
            eventually("the queue is empty", timeout, async || (length().await == 0).then_some(())).await;
            started.elapsed()
        };
        let ((), elapsed) = tokio::join!(restart, watch);
        let rate = queued as f64 / elapsed.as_secs_f64();
        report.add_figure("queue drained by grant", rate, "/s", Budget::AtLeast(50_000.0));
        let counters = self.seller.counters(&item).await;
        if counters.held as u64 != queued + 1 {
            report.complain(format!("{queued} reservations were queued, {} are held", counters.held));
        }
        // No audit: it would refuse the random ids of redis-benchmark, which are longer than real ones.
        counters.assert_conserved();
        Ok(())
    }

    /// Captures the script call of a real reservation, and makes everything random that differs between shoppers.
    async fn capture_reserve(&self, item: &Item) -> anyhow::Result<ScriptCall> {
        let shopper = self.world.shopper().await;
        let mut monitor = Monitor::start(self.world.redis.port())?;
        let response = shopper.reserve(item).await;
        ensure!(response.status == 202, "{response}");
        let reservation = response.json();
        let tail =
            reservation["id"].as_str().and_then(|id| id.rsplit('-').next()).context("no reservation id")?;
        let call = monitor.script_call_naming(tail)?;
        shopper.result(&reservation).await;
        // The eighth argument is the challenge's id.
        Ok(call.with_random(&[shopper.user_id().trim_start_matches("u-"), tail]).with_random_argument(8))
    }

    /// Session tokens of that many new guests.
    async fn sessions(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let asked = vec![request("POST", "/api/session", None, None); count];
        let mut tokens = vec![String::new(); count];
        let outcome =
            closed_loop(self.address, self.settings.connections, each_once(&asked), |number, response| {
                tokens[number] = member(response.body, "token");
                response.status == 201
            })
            .await?;
        ensure!(outcome.wrong == 0, "the response to a new session is {:?}", outcome.example);
        Ok(tokens)
    }

    /// One reservation request for each of these shoppers, with the solution of a challenge of theirs.
    async fn wishes(&self, item: &Item, tokens: &[String]) -> anyhow::Result<Vec<Bytes>> {
        let path = format!("/api/items/{}/challenges", item.id);
        let asked: Vec<Bytes> =
            tokens.iter().map(|token| request("POST", &path, Some(token), None)).collect();
        let mut solved = vec![String::new(); tokens.len()];
        let outcome =
            closed_loop(self.address, self.settings.connections, each_once(&asked), |number, response| {
                let challenge: Value = serde_json::from_slice(response.body).unwrap_or_default();
                let (Some(token), Some(difficulty)) =
                    (challenge["challenge"].as_str(), challenge["difficulty"].as_u64())
                else {
                    return false;
                };
                let solution = solve_proof_of_work(token, difficulty);
                solved[number] = json!({ "challenge": token, "answer": solution, "quantity": 1 }).to_string();
                response.status == 201
            })
            .await?;
        ensure!(outcome.wrong == 0, "the response to a new challenge is {:?}", outcome.example);
        let path = format!("/api/items/{}/reservations", item.id);
        let wishes = tokens.iter().zip(&solved);
        Ok(wishes.map(|(token, body)| request("POST", &path, Some(token), Some(body))).collect())
    }

    async fn wait_until_drained(&self, item: &Item) {
        let path = format!("/api/admin/items/{}/stats", item.id);
        let operator = self.seller.client();
        eventually("the queue is empty", Duration::from_secs(60), async || {
            let stats = operator.get(&path).insist().await.expect(200);
            (stats["waiting"] == 0).then_some(())
        })
        .await;
    }
}

/// Reserves, and polls until the reservation is decided. Returns the status and body of the last response.
async fn until_decided(
    connection: &mut Connection,
    wish: &[u8],
    token: &str,
) -> anyhow::Result<(u16, Vec<u8>)> {
    let (status, body) =
        connection.exchange(wish, |response| (response.status, response.body.to_vec())).await?;
    let Some(id) = accepted(&Response { status, body: &body }) else { return Ok((status, body)) };
    let poll = request("GET", &format!("/api/reservations/{id}"), Some(token), None);
    loop {
        // A page that expects its result this soon polls about as often as a screen can show it.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let polled = connection.exchange(&poll, |response| (response.status, response.body.to_vec())).await?;
        if !contains(&polled.1, "\"queued\"") {
            return Ok(polled);
        }
    }
}

/// The id of the reservation, if the response is a 202.
fn accepted(response: &Response<'_>) -> Option<String> {
    (response.status == 202).then(|| member(response.body, "id")).filter(|id| !id.is_empty())
}

/// The string member of this name in a JSON body; empty if there is none.
fn member(body: &[u8], name: &str) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    value[name].as_str().unwrap_or_default().to_owned()
}

fn contains(body: &[u8], part: &str) -> bool {
    body.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The paths of what a page or a module needs before it works: linked styles and scripts, and imported modules.
fn needed_at_once(text: &str) -> Vec<String> {
    let quoted = text.split(['"', '\'']);
    let before = text.split(['"', '\'']);
    before
        .zip(quoted.skip(1))
        .filter(|(before, path)| {
            let before = before.trim_end();
            let is_needed = ["href=", "src=", "from", "import"].iter().any(|word| before.ends_with(word));
            path.starts_with("/assets/") && is_needed
        })
        .map(|(_, path)| path.split('#').next().unwrap_or_default().to_owned())
        .collect()
}

fn redis_command(name: &str, key: &str) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(key);
    command
}

#[cfg(test)]
mod tests {
    use super::needed_at_once;

    #[test]
    fn links_and_workers_are_not_needed_at_once() {
        let page = r#"<link rel="stylesheet" href="/assets/app.css"><script type="module" src="/assets/item.js"></script>
            <a href="/orders">x</a>"#;
        assert_eq!(needed_at_once(page), ["/assets/app.css", "/assets/item.js"]);
        let module =
            r#"import { a } from "/assets/net.js"; new Worker("/assets/pow.js"); import "/assets/ui.js";"#;
        assert_eq!(needed_at_once(module), ["/assets/net.js", "/assets/ui.js"]);
    }
}
