//! Simulates a sale in which people and bots want the same units, with each defence on and off.
//!
//! The system is real, and every request goes over HTTP. The people and the bots are a model. This file decides what each
//! of them does, and waits for as long as it would take them. A challenge costs the modelled time and is solved with the
//! modelled success, but this program spends almost no computing on it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use futures_util::future::join_all;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_tests::{Item, ItemTerms, Outsider, Question, Reply, World, solve_proof_of_work};
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until};

use crate::load::Connection;

const UNITS: usize = 100;
/// How many requests each side may have under way at once. It is the same for both: neither gets more of the host.
const CONNECTIONS: usize = 48;
/// How many seconds before the start the item is published and everybody is ready.
const WARM_UP: f64 = 4.0;
/// The longest time that a scenario runs, even if the bots have requests left.
const LONGEST: Duration = Duration::from_secs(120);

/// How many hashes a person's slow phone makes per second, all its workers together.
const PHONE_HASHES: f64 = 300_000.0;
/// How many hashes one core of the bots makes per second, and how many cores they have.
const CORE_HASHES: f64 = 10_000_000.0;
const BOT_CORES: usize = 16;
/// How many hashes a graphics card makes per second. All bots share one card.
const CARD_HASHES: f64 = 22_000_000_000.0;
/// How many seconds after the start a person's page asks for a proof of work by itself, at least and at most.
const PAGE_ASKS: (f64, f64) = (0.0, 0.8);
/// The zero bits of a proof of work that a shop usually asks for. The model counts their cost.
const USUAL_BITS: i32 = 18;
/// The most bits that a crowd and an address's tries lead to.
const HARDEST_BITS: i32 = 23;
/// The zero bits that the simulated shop asks for, so that this program need not compute. The shop adds more in a
/// crowd, and for an address that makes many tries.
const ASKED_BITS: i32 = 1;
/// How many seconds a person needs to read a picture, at least and at most, and how often they are right.
const PERSON_READS: (f64, f64) = (4.0, 10.0);
const PERSON_IS_RIGHT: f64 = 0.92;
/// The same for a free program that somebody adapted to our pictures by a simple filter, as measured by
/// crates/puzzle/measure. The program as it comes reads none.
const OCR_SECONDS: f64 = 0.1;
const OCR_IS_RIGHT: f64 = 0.97;
/// The same for a service of paid people, and how many pictures it reads at once.
const FARM_READS: (f64, f64) = (8.0, 20.0);
const FARM_IS_RIGHT: f64 = 0.95;
const FARM_AT_ONCE: usize = 200;
/// How many seconds after the start a person and a bot act, at least and at most.
const PERSON_REACTS: (f64, f64) = (0.4, 3.0);
const BOT_REACTS: (f64, f64) = (0.0, 0.05);
/// How long a bot pauses after a refusal.
const BOT_PAUSE: Duration = Duration::from_millis(50);
/// How many of the people share an address with others, and how many share each such address.
const SHARING_PEOPLE: usize = 100;
const PEOPLE_AN_ADDRESS: usize = 50;
/// Which share of the bots the risk hook recognises, and which share of the people it takes for bots.
const HOOK_FINDS: f64 = 0.90;
const HOOK_SUSPECTS: f64 = 0.02;
/// How long after the start an operator blocks the bots' addresses.
const OPERATOR_REACTS: Duration = Duration::from_secs(2);

pub struct Settings {
    pub people: usize,
    /// The number of requests of all bots together.
    pub requests: usize,
    pub bots: usize,
    pub addresses: usize,
    /// Only scenarios whose name contains this.
    pub only: Option<String>,
    /// Whether the bots go on when all units are gone and all people have their results, although nothing changes then.
    pub to_the_end: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            people: 1_000,
            requests: 100_000,
            bots: 2_000,
            addresses: 20,
            only: None,
            to_the_end: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Challenge {
    Off,
    Work,
    /// A proof of work; the bots have a graphics card.
    WorkAgainstCard,
    /// A picture; the bots have a program that was adapted to it.
    PictureAgainstPrograms,
    /// A picture; the bots pay a service.
    PictureAgainstPeople,
}

#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    challenge: Challenge,
    /// Whether shoppers and addresses have allowances.
    allowances: bool,
    /// The tries that one address may make in ten seconds, if it is not the default.
    address_tries: Option<u32>,
    units_per_second: u32,
    blocks: bool,
    hook: bool,
}

const NOTHING: Scenario = Scenario {
    name: "nothing",
    challenge: Challenge::Off,
    allowances: false,
    address_tries: None,
    units_per_second: 0,
    blocks: false,
    hook: false,
};
impl Challenge {
    fn is_picture(self) -> bool {
        matches!(self, Challenge::PictureAgainstPrograms | Challenge::PictureAgainstPeople)
    }
}

const PROGRAMS: Challenge = Challenge::PictureAgainstPrograms;
const FARM: Challenge = Challenge::PictureAgainstPeople;

/// The scenarios: each defence alone, then several together.
fn scenarios() -> Vec<Scenario> {
    let alone = NOTHING;
    let limited = Scenario { allowances: true, ..NOTHING };
    vec![
        alone,
        Scenario { name: "allowances", ..limited },
        Scenario { name: "allowances, 6 tries an address", address_tries: Some(6), ..limited },
        Scenario { name: "proof of work", challenge: Challenge::Work, ..alone },
        Scenario { name: "proof of work, a graphics card", challenge: Challenge::WorkAgainstCard, ..alone },
        Scenario { name: "picture, read by programs", challenge: PROGRAMS, ..alone },
        Scenario { name: "picture, read by a paid service", challenge: FARM, ..alone },
        Scenario { name: "blocklist", blocks: true, ..alone },
        Scenario { name: "risk hook", hook: true, ..alone },
        Scenario { name: "5 units a second", units_per_second: 5, ..alone },
        Scenario { name: "as shipped: allowances and proof of work", challenge: Challenge::Work, ..limited },
        Scenario { name: "as shipped, a graphics card", challenge: Challenge::WorkAgainstCard, ..limited },
        Scenario { name: "allowances and picture, programs", challenge: PROGRAMS, ..limited },
        Scenario { name: "allowances and picture, paid service", challenge: FARM, ..limited },
        Scenario {
            name: "allowances, picture, 5 units a second, programs",
            challenge: PROGRAMS,
            units_per_second: 5,
            ..limited
        },
        Scenario {
            name: "allowances, picture, 5 units a second, blocklist, programs",
            challenge: PROGRAMS,
            units_per_second: 5,
            blocks: true,
            ..limited
        },
        Scenario {
            name: "all, against programs",
            challenge: PROGRAMS,
            units_per_second: 5,
            blocks: true,
            hook: true,
            address_tries: Some(6),
            ..limited
        },
        Scenario {
            name: "all, against a paid service",
            challenge: FARM,
            units_per_second: 5,
            blocks: true,
            hook: true,
            address_tries: Some(6),
            ..limited
        },
    ]
}

/// The result of a scenario.
struct Outcome {
    name: &'static str,
    people_units: usize,
    bot_units: usize,
    /// Seconds after the start when people had half of the units that they got in the end, and when they had all.
    people_half: Option<f64>,
    people_last: Option<f64>,
    /// How many people were refused as bots.
    people_blocked: usize,
    /// How many people were told to wait at least once, because an allowance was used up.
    people_limited: usize,
    bot_requests: usize,
    /// How often the bots got each problem, or `accepted`.
    bot_responses: BTreeMap<String, usize>,
    bot_solutions: usize,
    seconds: f64,
}

pub async fn run(settings: &Settings) -> anyhow::Result<String> {
    let mut outcomes = Vec::new();
    for scenario in scenarios() {
        if settings.only.as_ref().is_some_and(|part| !scenario.name.contains(part.as_str())) {
            continue;
        }
        let outcome = simulate(settings, &scenario).await.with_context(|| scenario.name.to_owned())?;
        eprintln!(
            "    {}: people {}, bots {} of {UNITS}; {} bot requests in {:.0} s",
            outcome.name, outcome.people_units, outcome.bot_units, outcome.bot_requests, outcome.seconds
        );
        outcomes.push(outcome);
    }
    ensure!(!outcomes.is_empty(), "no scenario has such a name");
    Ok(report(settings, &outcomes))
}

/// A number from 0 to 1 that looks random but is the same in every run, so that scenarios differ only in their defences.
fn chance(of: usize, salt: usize) -> f64 {
    let mut state = (of as u64) << 32 ^ salt as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
    }
    (state >> 11) as f64 / (1u64 << 53) as f64
}

fn between((least, most): (f64, f64), of: usize, salt: usize) -> Duration {
    Duration::from_secs_f64(least + (most - least) * chance(of, salt))
}

/// A session token, signed as the shop signs it. In the model both sides have had their sessions for long.
fn session(secret: &str, user: &str, expires: i64) -> String {
    let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = json!({ "sub": user, "exp": expires, "aud": "stampede-session" }).to_string();
    let signed = format!("{header}.{}", BASE64.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// The connections that all people, or all bots, share.
struct Connections {
    free: RefCell<Vec<Connection>>,
    permits: Semaphore,
}

impl Connections {
    async fn open(address: SocketAddr) -> anyhow::Result<Connections> {
        let mut free = Vec::new();
        for _ in 0..CONNECTIONS {
            free.push(Connection::open(address).await?);
        }
        Ok(Connections { free: RefCell::new(free), permits: Semaphore::new(CONNECTIONS) })
    }

    async fn exchange(&self, request: &Bytes) -> anyhow::Result<Response> {
        let _permit = self.permits.acquire().await?;
        let connection = self.free.borrow_mut().pop();
        let mut connection = connection.context("there are as many connections as permits")?;
        let response = connection
            .exchange(request, |response| Response {
                status: response.status,
                body: serde_json::from_slice(response.body).unwrap_or_default(),
            })
            .await;
        self.free.borrow_mut().push(connection);
        response
    }
}

struct Response {
    status: u16,
    body: Value,
}

impl Response {
    /// How long to wait before the next try.
    fn pause(&self) -> Duration {
        Duration::from_millis(self.body["retry_after_ms"].as_u64().unwrap_or(1_000).clamp(10, 10_000))
    }
}

/// A person or a bot who wants a unit.
struct Actor {
    number: usize,
    token: String,
    address: String,
    connections: Rc<Connections>,
}

impl Actor {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Response> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\nx-forwarded-for: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            self.address,
            body.len()
        );
        self.connections.exchange(&Bytes::from(request)).await
    }

    async fn ask_challenge(&self, item: &Item) -> anyhow::Result<Response> {
        self.ask("POST", &format!("/api/items/{}/challenges", item.id), None).await
    }

    async fn reserve(&self, item: &Item, solved: Value) -> anyhow::Result<Response> {
        self.ask("POST", &format!("/api/items/{}/reservations", item.id), Some(solved)).await
    }
}

/// The body of a reservation with a solution, right or wrong, and the bits that the challenge asked for beyond
/// [`ASKED_BITS`].
fn solution(challenge: &Value, right: bool) -> (Value, i32) {
    let token = challenge["challenge"].as_str().unwrap_or_default();
    let bits = challenge["difficulty"].as_u64().unwrap_or(0);
    let solution = if right { solve_proof_of_work(token, bits) } else { "wrong".to_owned() };
    (json!({ "challenge": token, "answer": solution, "quantity": 1 }), bits as i32 - ASKED_BITS)
}

/// The mean number of hashes for the usual proof of work with so many more bits.
fn mean_hashes(more_bits: i32) -> f64 {
    2f64.powi((USUAL_BITS + more_bits.max(0)).min(HARDEST_BITS))
}

/// The state of a scenario, which all people and bots share.
struct Sale {
    item: Item,
    challenge: Challenge,
    start: Instant,
    to_the_end: bool,
    /// The number of units that people and bots have got.
    units_gone: Cell<usize>,
    /// The number of people who have no result yet.
    waiting_people: Cell<usize>,
    /// The number of requests that the bots may still send.
    bot_requests_left: Cell<usize>,
    bot_responses: RefCell<BTreeMap<String, usize>>,
    bot_solutions: Cell<usize>,
    /// The bots' cores, their graphics card, and the readers of the paid service.
    cores: Semaphore,
    card: Semaphore,
    readers: Semaphore,
}

impl Sale {
    fn is_over(&self) -> bool {
        let is_decided = self.units_gone.get() == UNITS && self.waiting_people.get() == 0;
        self.start.elapsed() > LONGEST || (is_decided && !self.to_the_end)
    }
}

/// The result of one person or bot.
enum Fate {
    /// They got a unit, so many seconds after the start.
    Got(f64),
    Blocked,
    Nothing,
}

/// Plays one person until they have a result.
async fn play_person(person: &Actor, sale: &Sale, limited: &Cell<usize>) -> anyhow::Result<Fate> {
    let acts = sale.start + between(PERSON_REACTS, person.number, 1);
    let begins = match sale.challenge {
        Challenge::Work | Challenge::WorkAgainstCard => {
            acts.min(sale.start + between(PAGE_ASKS, person.number, 2))
        }
        _ => acts,
    };
    sleep_until(begins.into()).await;
    let mut was_limited = false;
    for attempt in 0.. {
        if sale.is_over() {
            return Ok(Fate::Nothing);
        }
        let solved = if sale.challenge == Challenge::Off {
            json!({ "quantity": 1 })
        } else {
            let challenge = person.ask_challenge(&sale.item).await?;
            if challenge.status != 201 {
                if challenge.status == 429 && !std::mem::replace(&mut was_limited, true) {
                    limited.set(limited.get() + 1);
                }
                match fate_of_refusal(&challenge).await {
                    Some(fate) => return Ok(fate),
                    None => continue,
                }
            }
            let reads = sale.challenge.is_picture();
            let right = !reads || chance(person.number, 100 + attempt) < PERSON_IS_RIGHT;
            let (solved, more_bits) = solution(&challenge.body, right);
            let takes = if reads {
                between(PERSON_READS, person.number, 200 + attempt)
            } else {
                // The number of hashes until a solution is random, with this mean.
                let luck = -(1.0 - chance(person.number, 300 + attempt)).max(1e-9).ln();
                Duration::from_secs_f64((luck * mean_hashes(more_bits) / PHONE_HASHES).min(60.0))
            };
            sleep(takes).await;
            solved
        };
        // The page may have worked before the person pressed the button.
        sleep_until(acts.into()).await;
        let response = person.reserve(&sale.item, solved).await?;
        match response.status {
            200..=202 => return wait_for_result(person, sale, &response).await,
            // The solution was wrong, so ask for another picture.
            422 => continue,
            _ => {}
        }
        if response.status == 429 && !std::mem::replace(&mut was_limited, true) {
            limited.set(limited.get() + 1);
        }
        if let Some(fate) = fate_of_refusal(&response).await {
            return Ok(fate);
        }
    }
    Ok(Fate::Nothing)
}

/// If a refusal says when to try again, waits that long, as the page does, and returns `None`. Any other is final.
async fn fate_of_refusal(response: &Response) -> Option<Fate> {
    match (response.status, response.body["type"].as_str()) {
        (429 | 503, _) | (403, Some("/problems/not-started")) => {
            sleep(response.pause()).await;
            None
        }
        (403, _) => Some(Fate::Blocked),
        _ => Some(Fate::Nothing),
    }
}

/// Polls until the reservation is decided.
async fn wait_for_result(actor: &Actor, sale: &Sale, response: &Response) -> anyhow::Result<Fate> {
    let id = response.body["id"].as_str().context("a reservation has an id")?.to_owned();
    let mut reservation = response.body.clone();
    while reservation["state"] == "queued" && !sale.is_over() {
        sleep(Duration::from_millis(reservation["poll_after_ms"].as_u64().unwrap_or(500))).await;
        let polled = actor.ask("GET", &format!("/api/reservations/{id}"), None).await?;
        match polled.status {
            200 => reservation = polled.body,
            _ => sleep(polled.pause()).await,
        }
    }
    let got = reservation["state"] == "held";
    sale.units_gone.set(sale.units_gone.get() + usize::from(got));
    Ok(if got { Fate::Got(sale.start.elapsed().as_secs_f64()) } else { Fate::Nothing })
}

/// Plays one bot until it has a unit, or the bots may send no more. Returns whether it got a unit.
async fn play_bot(bot: &Actor, sale: &Sale) -> anyhow::Result<bool> {
    sleep_until((sale.start + between(BOT_REACTS, bot.number, 1)).into()).await;
    for attempt in 0.. {
        let solved = if sale.challenge == Challenge::Off {
            json!({ "quantity": 1 })
        } else {
            let Some(challenge) = send_as_bot(sale, bot.ask_challenge(&sale.item)).await? else {
                return Ok(false);
            };
            if challenge.status != 201 {
                sleep(BOT_PAUSE).await;
                continue;
            }
            sale.bot_solutions.set(sale.bot_solutions.get() + 1);
            let lucky = chance(bot.number, 1_000_000 + attempt);
            let right = match sale.challenge {
                Challenge::PictureAgainstPrograms => lucky < OCR_IS_RIGHT,
                Challenge::PictureAgainstPeople => lucky < FARM_IS_RIGHT,
                Challenge::Off | Challenge::Work | Challenge::WorkAgainstCard => true,
            };
            let (solved, more_bits) = solution(&challenge.body, right);
            match sale.challenge {
                Challenge::PictureAgainstPrograms => sleep(Duration::from_secs_f64(OCR_SECONDS)).await,
                Challenge::PictureAgainstPeople => {
                    let _reader = sale.readers.acquire().await?;
                    sleep(between(FARM_READS, bot.number, 2_000_000 + attempt)).await;
                }
                Challenge::WorkAgainstCard => {
                    let _card = sale.card.acquire().await?;
                    sleep(Duration::from_secs_f64((mean_hashes(more_bits) / CARD_HASHES).min(60.0))).await;
                }
                Challenge::Off | Challenge::Work => {
                    let _core = sale.cores.acquire().await?;
                    sleep(Duration::from_secs_f64((mean_hashes(more_bits) / CORE_HASHES).min(60.0))).await;
                }
            }
            solved
        };
        let Some(response) = send_as_bot(sale, bot.reserve(&sale.item, solved)).await? else {
            return Ok(false);
        };
        if matches!(response.status, 200..=202) {
            return Ok(matches!(wait_for_result(bot, sale, &response).await?, Fate::Got(_)));
        }
        // A bot ignores what a refusal says and tries again.
        sleep(BOT_PAUSE).await;
    }
    Ok(false)
}

/// Sends a request of a bot. Returns `None` if the bots may send no more.
async fn send_as_bot(
    sale: &Sale,
    request: impl Future<Output = anyhow::Result<Response>>,
) -> anyhow::Result<Option<Response>> {
    if sale.bot_requests_left.get() == 0 || sale.is_over() {
        return Ok(None);
    }
    sale.bot_requests_left.set(sale.bot_requests_left.get() - 1);
    let response = request.await?;
    let slug = response.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or("accepted");
    *sale.bot_responses.borrow_mut().entry(slug.to_owned()).or_insert(0) += 1;
    Ok(Some(response))
}

fn bot_address(number: usize, addresses: usize) -> String {
    format!("203.0.113.{}", number % addresses)
}

fn person_address(number: usize) -> String {
    if number < SHARING_PEOPLE {
        format!("198.51.100.{}", number / PEOPLE_AN_ADDRESS)
    } else {
        format!("198.18.{}.{}", number / 250, number % 250)
    }
}

/// The risk hook: recognises most of the bots, and takes some people for bots.
fn risk_hook(question: &Question) -> Reply {
    let user = question.body["user_id"].as_str().unwrap_or_default();
    let (kind, number) = user.split_once('-').unwrap_or_default();
    let number = number.parse().unwrap_or(0);
    let refused = chance(number, 77) < if kind == "bot" { HOOK_FINDS } else { HOOK_SUSPECTS };
    Reply::Json(200, json!({ "decision": if refused { "refuse" } else { "allow" } }))
}

/// Starts a shop with the defences of a scenario. The risk hook, if there is one, runs until it is dropped.
async fn start_shop(scenario: &Scenario) -> (Option<Outsider>, World) {
    let risk = if scenario.hook { Some(Outsider::start(risk_hook).await) } else { None };
    let mut builder = World::builder()
        .unchecked()
        .set("trust_proxy", "on")
        .set("log_requests", "problems")
        .set("captcha_kind", if scenario.challenge == Challenge::Off { "off" } else { "pow" })
        .set("captcha_difficulty", ASKED_BITS)
        .set("rate_limits", if scenario.allowances { "on" } else { "off" })
        .set("units_per_second", scenario.units_per_second);
    if let Some(tries) = scenario.address_tries {
        builder = builder.set("address_tries_per_ten_seconds", tries);
    }
    if let Some(risk) = &risk {
        builder = builder.set("risk_url", risk.url("/")).set("risk_origin", risk.origin());
    }
    (risk, builder.start().await)
}

/// Plays one scenario, and checks that what people and bots got is what the shop sold.
async fn simulate(settings: &Settings, scenario: &Scenario) -> anyhow::Result<Outcome> {
    let (_risk_hook, world) = start_shop(scenario).await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(UNITS as i64).between(WARM_UP, 3600.0)).await;
    let start = Instant::now() + Duration::from_secs_f64(WARM_UP);
    let address = world.host.base().trim_start_matches("http://").parse()?;
    let sale = Sale {
        item,
        challenge: scenario.challenge,
        start,
        to_the_end: settings.to_the_end,
        units_gone: Cell::new(0),
        waiting_people: Cell::new(settings.people),
        bot_requests_left: Cell::new(settings.requests),
        bot_responses: RefCell::default(),
        bot_solutions: Cell::new(0),
        cores: Semaphore::new(BOT_CORES),
        card: Semaphore::new(1),
        readers: Semaphore::new(FARM_AT_ONCE),
    };
    let expires = time::OffsetDateTime::now_utc().unix_timestamp() + 86_400;
    let people_connections = Rc::new(Connections::open(address).await?);
    let bot_connections = Rc::new(Connections::open(address).await?);
    let actor = |kind: &str, number: usize, address: String, connections: &Rc<Connections>| Actor {
        number,
        token: session(world.session_secret(), &format!("{kind}-{number}"), expires),
        address,
        connections: connections.clone(),
    };
    let people: Vec<Actor> =
        (0..settings.people).map(|n| actor("person", n, person_address(n), &people_connections)).collect();
    let bots: Vec<Actor> = (0..settings.bots)
        .map(|n| actor("bot", n, bot_address(n, settings.addresses), &bot_connections))
        .collect();

    let limited = Cell::new(0);
    let operator = async {
        if scenario.blocks {
            sleep_until((start + OPERATOR_REACTS).into()).await;
            for number in 0..settings.addresses {
                let path =
                    format!("/api/admin/blocklist/address/{}", bot_address(number, settings.addresses));
                seller.client().put(&path).send().await;
            }
        }
    };
    let (fates, bots_that_got, ()) = tokio::join!(
        join_all(people.iter().map(async |person| {
            let fate = play_person(person, &sale, &limited).await;
            sale.waiting_people.set(sale.waiting_people.get() - 1);
            fate
        })),
        join_all(bots.iter().map(|bot| play_bot(bot, &sale))),
        operator
    );
    let seconds = start.elapsed().as_secs_f64();
    let fates: Vec<Fate> = fates.into_iter().collect::<anyhow::Result<_>>()?;
    let bots_that_got: Vec<bool> = bots_that_got.into_iter().collect::<anyhow::Result<_>>()?;

    let mut times: Vec<f64> =
        fates.iter().filter_map(|fate| if let Fate::Got(at) = fate { Some(*at) } else { None }).collect();
    times.sort_by(f64::total_cmp);
    let bot_units = bots_that_got.iter().filter(|got| **got).count();
    let counters = seller.counters(&sale.item).await;
    counters.assert_conserved();
    ensure!(
        counters.held as usize == times.len() + bot_units && counters.held as usize <= UNITS,
        "{counters:?}, but people say {} and bots {bot_units}",
        times.len()
    );
    Ok(Outcome {
        name: scenario.name,
        people_units: times.len(),
        bot_units,
        people_half: times.get(times.len().div_ceil(2).saturating_sub(1)).copied(),
        people_last: times.last().copied(),
        people_blocked: fates.iter().filter(|fate| matches!(fate, Fate::Blocked)).count(),
        people_limited: limited.get(),
        bot_requests: settings.requests - sale.bot_requests_left.get(),
        bot_responses: sale.bot_responses.take(),
        bot_solutions: sale.bot_solutions.get(),
        seconds,
    })
}

fn report(settings: &Settings, outcomes: &[Outcome]) -> String {
    let Settings { people, requests, bots, addresses, .. } = settings;
    let mut text = String::from(
        "| defence | units to people | units to bots | left | half of the people's / last, s | people refused as bots | people told to wait | bot requests by then | challenges that bots solved |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let seconds = |at: Option<f64>| at.map_or("-".to_owned(), |at| format!("{at:.1}"));
    for outcome in outcomes {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} / {} | {} | {} | {} | {} |",
            outcome.name,
            outcome.people_units,
            outcome.bot_units,
            UNITS - outcome.people_units - outcome.bot_units,
            seconds(outcome.people_half),
            seconds(outcome.people_last),
            outcome.people_blocked,
            outcome.people_limited,
            outcome.bot_requests,
            outcome.bot_solutions,
        );
    }
    let _ = writeln!(text, "\nThe responses to the bots' requests:\n");
    for outcome in outcomes {
        let responses: Vec<String> =
            outcome.bot_responses.iter().map(|(slug, count)| format!("{count} {slug}")).collect();
        let _ = writeln!(text, "- {}: {}.", outcome.name, responses.join(", "));
    }
    let _ = writeln!(
        text,
        "\n{people} people, {bots} bot sessions from {addresses} addresses with {requests} requests to send, {UNITS} units."
    );
    text
}
