//! A sale under attack: people and bots for the same units, with each defence on and off.
//!
//! The system is the real one and every request goes over HTTP. The people and the bots are a model, stated in the
//! report: what a person or a bot does is decided here, and how long it takes is waited for. A challenge is solved at
//! the modelled cost and with the modelled success; the computer that runs this spends next to nothing on it.

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
/// Requests under way at once, of each side. Neither has more of the host than the other.
const CONNECTIONS: usize = 48;
/// How long before the start everybody stands ready, in seconds.
const WARM_UP: f64 = 4.0;
/// After this long a scenario ends, whatever is left of the bots' requests.
const LONGEST: Duration = Duration::from_secs(120);

/// A person's phone and a bot's core, in hashes a second; and the bot has so many cores.
const PHONE_HASHES: f64 = 300_000.0;
const CORE_HASHES: f64 = 5_000_000.0;
const BOT_CORES: usize = 16;
/// Leading zero bits of a proof of work as a shop sets it. Here one bit is asked for, and what the shop adds to it.
const USUAL_BITS: i32 = 18;
const ASKED_BITS: i32 = 1;
/// The picture as people read it.
const PERSON_READS: (f64, f64) = (4.0, 10.0);
const PERSON_IS_RIGHT: f64 = 0.92;
/// The picture as a program reads it, and as a service of paid people does.
const OCR_SECONDS: f64 = 0.1;
const OCR_IS_RIGHT: f64 = 0.30;
const FARM_READS: (f64, f64) = (8.0, 20.0);
const FARM_IS_RIGHT: f64 = 0.95;
const FARM_AT_ONCE: usize = 200;
/// What a person needs to see that the sale has begun, and to act.
const PERSON_REACTS: (f64, f64) = (0.4, 3.0);
const BOT_REACTS: (f64, f64) = (0.0, 0.05);
/// A bot's pause after a refusal.
const BOT_PAUSE: Duration = Duration::from_millis(50);
/// How many of a thousand people share an address with others, and how many share one.
const SHARING_PEOPLE: usize = 100;
const PEOPLE_AN_ADDRESS: usize = 50;
/// What a risk hook knows: so many of the bots, and wrongly so many of the people.
const HOOK_FINDS: f64 = 0.90;
const HOOK_SUSPECTS: f64 = 0.02;
/// When an operator who watches has blocked the bots' addresses, after the start.
const OPERATOR_REACTS: Duration = Duration::from_secs(2);

pub struct Settings {
    pub people: usize,
    /// Requests of all bots together.
    pub requests: usize,
    pub bots: usize,
    pub addresses: usize,
    /// Only scenarios whose name contains this.
    pub only: Option<String>,
    /// Whether the bots go on when every unit is gone and every person has heard; then nothing changes any more.
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
    /// A picture; the bots have a program that reads it.
    PictureAgainstPrograms,
    /// A picture; the bots pay a service.
    PictureAgainstPeople,
}

#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    challenge: Challenge,
    limits: bool,
    /// The limit on tries of one address, where it is not the default.
    address_tries: Option<u32>,
    units_per_second: u32,
    blocks: bool,
    hook: bool,
}

const NOTHING: Scenario = Scenario {
    name: "nothing",
    challenge: Challenge::Off,
    limits: false,
    address_tries: None,
    units_per_second: 0,
    blocks: false,
    hook: false,
};
const PROGRAMS: Challenge = Challenge::PictureAgainstPrograms;
const FARM: Challenge = Challenge::PictureAgainstPeople;

/// Each defence alone, then together.
fn scenarios() -> Vec<Scenario> {
    let alone = NOTHING;
    let limited = Scenario { limits: true, ..NOTHING };
    vec![
        alone,
        Scenario { name: "limits", ..limited },
        Scenario { name: "limits, 6 tries an address", address_tries: Some(6), ..limited },
        Scenario { name: "proof of work", challenge: Challenge::Work, ..alone },
        Scenario { name: "picture, read by programs", challenge: PROGRAMS, ..alone },
        Scenario { name: "picture, read by a paid service", challenge: FARM, ..alone },
        Scenario { name: "blocklist", blocks: true, ..alone },
        Scenario { name: "risk hook", hook: true, ..alone },
        Scenario { name: "5 units a second", units_per_second: 5, ..alone },
        Scenario { name: "limits and proof of work", challenge: Challenge::Work, ..limited },
        Scenario { name: "limits and picture, programs", challenge: PROGRAMS, ..limited },
        Scenario { name: "limits and picture, paid service", challenge: FARM, ..limited },
        Scenario {
            name: "limits, picture, 5 units a second, programs",
            challenge: PROGRAMS,
            units_per_second: 5,
            ..limited
        },
        Scenario {
            name: "limits, picture, 5 units a second, blocklist, programs",
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

/// What a scenario came to.
struct Outcome {
    name: &'static str,
    people_units: usize,
    bot_units: usize,
    /// Seconds after the start at which half of the units that people got were theirs, and all of them.
    people_half: Option<f64>,
    people_last: Option<f64>,
    /// People who never heard anything but refusals for reasons that were not theirs.
    people_blocked: usize,
    people_limited: usize,
    bot_requests: usize,
    bot_answers: BTreeMap<String, usize>,
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

/// A number from 0 to 1 that is the same in every run: what differs between scenarios is the defence.
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

/// A session, signed as the shop signs it: both sides have theirs since long before the sale.
fn session(secret: &str, user: &str, expires: i64) -> String {
    let header = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = json!({ "sub": user, "exp": expires, "aud": "stampede-session" }).to_string();
    let signed = format!("{header}.{}", BASE64.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

/// The connections of one side: as many requests at once, whoever they are from.
struct Line {
    free: RefCell<Vec<Connection>>,
    places: Semaphore,
}

impl Line {
    async fn open(address: SocketAddr) -> anyhow::Result<Line> {
        let mut free = Vec::new();
        for _ in 0..CONNECTIONS {
            free.push(Connection::open(address).await?);
        }
        Ok(Line { free: RefCell::new(free), places: Semaphore::new(CONNECTIONS) })
    }

    async fn exchange(&self, request: &Bytes) -> anyhow::Result<Answer> {
        let _place = self.places.acquire().await?;
        let connection = self.free.borrow_mut().pop();
        let mut connection = connection.context("as many connections as places")?;
        let answer = connection
            .exchange(request, |response| Answer {
                status: response.status,
                body: serde_json::from_slice(response.body).unwrap_or_default(),
            })
            .await;
        self.free.borrow_mut().push(connection);
        answer
    }
}

struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn pause(&self) -> Duration {
        Duration::from_millis(self.body["retry_after_ms"].as_u64().unwrap_or(1_000).clamp(10, 10_000))
    }
}

/// Somebody who wants a unit.
struct Actor {
    number: usize,
    token: String,
    address: String,
    line: Rc<Line>,
}

impl Actor {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\nx-forwarded-for: {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            self.address,
            body.len()
        );
        self.line.exchange(&Bytes::from(request)).await
    }

    async fn ask_challenge(&self, item: &Item) -> anyhow::Result<Answer> {
        self.ask("POST", &format!("/api/items/{}/challenges", item.id), None).await
    }

    async fn reserve(&self, item: &Item, solved: Value) -> anyhow::Result<Answer> {
        self.ask("POST", &format!("/api/items/{}/reservations", item.id), Some(solved)).await
    }
}

/// What a challenge is answered with, and the bits that it asked for beyond the least.
fn solution(challenge: &Value, right: bool) -> (Value, i32) {
    let token = challenge["challenge"].as_str().unwrap_or_default();
    let bits = challenge["difficulty"].as_u64().unwrap_or(0);
    let answer = if right { solve_proof_of_work(token, bits) } else { "wrong".to_owned() };
    (json!({ "challenge": token, "answer": answer, "quantity": 1 }), bits as i32 - ASKED_BITS)
}

fn work(more_bits: i32) -> f64 {
    2f64.powi(USUAL_BITS + more_bits.max(0))
}

/// What everybody in a scenario shares.
struct Sale {
    item: Item,
    challenge: Challenge,
    start: Instant,
    to_the_end: bool,
    /// Units that somebody said they have, and people who have not heard yet.
    taken: Cell<usize>,
    waiting_people: Cell<usize>,
    budget: Cell<usize>,
    bot_answers: RefCell<BTreeMap<String, usize>>,
    bot_solutions: Cell<usize>,
    cores: Semaphore,
    service: Semaphore,
}

impl Sale {
    fn is_over(&self) -> bool {
        let is_decided = self.taken.get() == UNITS && self.waiting_people.get() == 0;
        self.start.elapsed() > LONGEST || (is_decided && !self.to_the_end)
    }
}

/// How it ended for one person.
enum Fate {
    Got(f64),
    Blocked,
    Nothing,
}

async fn live(person: &Actor, sale: &Sale, limited: &Cell<usize>) -> anyhow::Result<Fate> {
    sleep_until((sale.start + between(PERSON_REACTS, person.number, 1)).into()).await;
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
                match refused(&challenge).await {
                    Some(fate) => return Ok(fate),
                    None => continue,
                }
            }
            let reads = sale.challenge != Challenge::Work;
            let right = !reads || chance(person.number, 100 + attempt) < PERSON_IS_RIGHT;
            let (solved, more_bits) = solution(&challenge.body, right);
            let takes = if reads {
                between(PERSON_READS, person.number, 200 + attempt)
            } else {
                // The number of tries is a matter of luck, with this mean.
                let luck = -(1.0 - chance(person.number, 300 + attempt)).max(1e-9).ln();
                Duration::from_secs_f64((luck * work(more_bits) / PHONE_HASHES).min(60.0))
            };
            sleep(takes).await;
            solved
        };
        let answer = person.reserve(&sale.item, solved).await?;
        match answer.status {
            200..=202 => return wait(person, sale, &answer).await,
            // Wrong: another picture.
            422 => continue,
            _ => {}
        }
        if answer.status == 429 && !std::mem::replace(&mut was_limited, true) {
            limited.set(limited.get() + 1);
        }
        if let Some(fate) = refused(&answer).await {
            return Ok(fate);
        }
    }
    Ok(Fate::Nothing)
}

/// Waits where a refusal says how long, as the page does; otherwise it is the end.
async fn refused(answer: &Answer) -> Option<Fate> {
    match (answer.status, answer.body["type"].as_str()) {
        (429 | 503, _) => {
            sleep(answer.pause()).await;
            None
        }
        (403, Some("/problems/not-started")) => {
            sleep(answer.pause()).await;
            None
        }
        (403, _) => Some(Fate::Blocked),
        _ => Some(Fate::Nothing),
    }
}

/// Polls until the reservation is decided.
async fn wait(actor: &Actor, sale: &Sale, answer: &Answer) -> anyhow::Result<Fate> {
    let id = answer.body["id"].as_str().context("a reservation has an id")?.to_owned();
    let mut now = answer.body.clone();
    while now["state"] == "queued" && !sale.is_over() {
        sleep(Duration::from_millis(now["poll_after_ms"].as_u64().unwrap_or(500))).await;
        let polled = actor.ask("GET", &format!("/api/reservations/{id}"), None).await?;
        match polled.status {
            200 => now = polled.body,
            _ => sleep(polled.pause()).await,
        }
    }
    let got = now["state"] == "held";
    sale.taken.set(sale.taken.get() + usize::from(got));
    Ok(if got { Fate::Got(sale.start.elapsed().as_secs_f64()) } else { Fate::Nothing })
}

/// One identity of the bots, until it has a unit or nobody may send any more. Gives whether it got one.
async fn swarm(bot: &Actor, sale: &Sale) -> anyhow::Result<bool> {
    sleep_until((sale.start + between(BOT_REACTS, bot.number, 1)).into()).await;
    for attempt in 0.. {
        let solved = if sale.challenge == Challenge::Off {
            json!({ "quantity": 1 })
        } else {
            let Some(challenge) = spend(sale, bot.ask_challenge(&sale.item)).await? else { return Ok(false) };
            if challenge.status != 201 {
                sleep(BOT_PAUSE).await;
                continue;
            }
            sale.bot_solutions.set(sale.bot_solutions.get() + 1);
            let lucky = chance(bot.number, 1_000_000 + attempt);
            let right = match sale.challenge {
                Challenge::PictureAgainstPrograms => lucky < OCR_IS_RIGHT,
                Challenge::PictureAgainstPeople => lucky < FARM_IS_RIGHT,
                Challenge::Off | Challenge::Work => true,
            };
            let (solved, more_bits) = solution(&challenge.body, right);
            match sale.challenge {
                Challenge::PictureAgainstPrograms => sleep(Duration::from_secs_f64(OCR_SECONDS)).await,
                Challenge::PictureAgainstPeople => {
                    let _reader = sale.service.acquire().await?;
                    sleep(between(FARM_READS, bot.number, 2_000_000 + attempt)).await;
                }
                Challenge::Off | Challenge::Work => {
                    let _core = sale.cores.acquire().await?;
                    sleep(Duration::from_secs_f64((work(more_bits) / CORE_HASHES).min(60.0))).await;
                }
            }
            solved
        };
        let Some(answer) = spend(sale, bot.reserve(&sale.item, solved)).await? else { return Ok(false) };
        if matches!(answer.status, 200..=202) {
            return Ok(matches!(wait(bot, sale, &answer).await?, Fate::Got(_)));
        }
        // No bot is told to go away.
        sleep(BOT_PAUSE).await;
    }
    Ok(false)
}

/// Sends one of the bots' requests, if there is one left.
async fn spend(
    sale: &Sale,
    request: impl Future<Output = anyhow::Result<Answer>>,
) -> anyhow::Result<Option<Answer>> {
    if sale.budget.get() == 0 || sale.is_over() {
        return Ok(None);
    }
    sale.budget.set(sale.budget.get() - 1);
    let answer = request.await?;
    let slug = answer.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or("accepted");
    *sale.bot_answers.borrow_mut().entry(slug.to_owned()).or_insert(0) += 1;
    Ok(Some(answer))
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

/// A service that has seen these bots before, most of them, and is wrong about some people.
fn hook(question: &Question) -> Reply {
    let user = question.body["user_id"].as_str().unwrap_or_default();
    let (kind, number) = user.split_once('-').unwrap_or_default();
    let number = number.parse().unwrap_or(0);
    let refused = chance(number, 77) < if kind == "bot" { HOOK_FINDS } else { HOOK_SUSPECTS };
    Reply::Json(200, json!({ "decision": if refused { "refuse" } else { "allow" } }))
}

async fn simulate(settings: &Settings, scenario: &Scenario) -> anyhow::Result<Outcome> {
    let Scenario { challenge, limits, address_tries, units_per_second, blocks, .. } = *scenario;
    let risk = if scenario.hook { Some(Outsider::start(hook).await) } else { None };
    let mut builder = World::builder()
        .unchecked()
        .set("trust_proxy", "on")
        .set("log_requests", "problems")
        .set("captcha_kind", if challenge == Challenge::Off { "off" } else { "pow" })
        .set("captcha_difficulty", ASKED_BITS)
        .set("rate_limits", if limits { "on" } else { "off" })
        .set("units_per_second", units_per_second);
    if let Some(tries) = address_tries {
        builder = builder.set("address_tries_per_ten_seconds", tries);
    }
    if let Some(risk) = &risk {
        builder = builder.set("risk_url", risk.url("/")).set("risk_origin", risk.origin());
    }
    let world = builder.start().await;
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(UNITS as i64).between(WARM_UP, 3600.0)).await;
    let start = Instant::now() + Duration::from_secs_f64(WARM_UP);
    let address = world.host.base().trim_start_matches("http://").parse()?;
    let sale = Sale {
        item,
        challenge,
        start,
        to_the_end: settings.to_the_end,
        taken: Cell::new(0),
        waiting_people: Cell::new(settings.people),
        budget: Cell::new(settings.requests),
        bot_answers: RefCell::default(),
        bot_solutions: Cell::new(0),
        cores: Semaphore::new(BOT_CORES),
        service: Semaphore::new(FARM_AT_ONCE),
    };
    let expires = time::OffsetDateTime::now_utc().unix_timestamp() + 86_400;
    let (people_line, bot_line) = (Rc::new(Line::open(address).await?), Rc::new(Line::open(address).await?));
    let actor = |kind: &str, number: usize, address: String, line: &Rc<Line>| Actor {
        number,
        token: session(world.session_secret(), &format!("{kind}-{number}"), expires),
        address,
        line: line.clone(),
    };
    let people: Vec<Actor> =
        (0..settings.people).map(|n| actor("person", n, person_address(n), &people_line)).collect();
    let bots: Vec<Actor> =
        (0..settings.bots).map(|n| actor("bot", n, bot_address(n, settings.addresses), &bot_line)).collect();

    let limited = Cell::new(0);
    let operator = async {
        if blocks {
            sleep_until((start + OPERATOR_REACTS).into()).await;
            for number in 0..settings.addresses {
                let path =
                    format!("/api/admin/blocklist/address/{}", bot_address(number, settings.addresses));
                seller.client().put(&path).send().await;
            }
        }
    };
    let (fates, caught, ()) = tokio::join!(
        join_all(people.iter().map(async |person| {
            let fate = live(person, &sale, &limited).await;
            sale.waiting_people.set(sale.waiting_people.get() - 1);
            fate
        })),
        join_all(bots.iter().map(|bot| swarm(bot, &sale))),
        operator
    );
    let seconds = start.elapsed().as_secs_f64();
    let fates: Vec<Fate> = fates.into_iter().collect::<anyhow::Result<_>>()?;
    let caught: Vec<bool> = caught.into_iter().collect::<anyhow::Result<_>>()?;

    let mut times: Vec<f64> =
        fates.iter().filter_map(|fate| if let Fate::Got(at) = fate { Some(*at) } else { None }).collect();
    times.sort_by(f64::total_cmp);
    let bot_units = caught.iter().filter(|got| **got).count();
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
        bot_requests: settings.requests - sale.budget.get(),
        bot_answers: sale.bot_answers.take(),
        bot_solutions: sale.bot_solutions.get(),
        seconds,
    })
}

fn report(settings: &Settings, outcomes: &[Outcome]) -> String {
    let Settings { people, requests, bots, addresses, .. } = settings;
    let mut text = String::from(
        "| defence | units to people | units to bots | left | half of the people's / last, s | people refused as bots | people told to wait | bot requests by then | challenges that bots answered |\n\
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
    let _ = writeln!(text, "\nWhat the bots' requests were answered:\n");
    for outcome in outcomes {
        let answers: Vec<String> =
            outcome.bot_answers.iter().map(|(slug, count)| format!("{count} {slug}")).collect();
        let _ = writeln!(text, "- {}: {}.", outcome.name, answers.join(", "));
    }
    let _ = writeln!(
        text,
        "\n{people} people, {bots} bot sessions from {addresses} addresses with {requests} requests to send, {UNITS} units."
    );
    text
}
