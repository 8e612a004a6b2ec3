//! Puts a lane back from the order database, after Redis lost it or came back from an old copy.
//!
//! Redis decides and the database records. So a lane that is missing, or knows fewer events than the database, has
//! forgotten something. [`rebuild`] takes it out of the sale at once and puts it back in six steps:
//! 1. begin: the lane leaves the sale. Until step 6 nobody gets a unit, and shoppers are told to try later.
//! 2. orders: the database's orders go back into Redis, page by page.
//! 3. decisions: what operators decided, and only Redis knows of, is put back and told again.
//! 4. untold: orders that only Redis knows of are told again as events.
//! 5. holds: holds and places in the queue stay, as far as units are left for them.
//! 6. finish: the lane is back in the sale.
//!
//! Each step is one script with a bounded cost, and Redis keeps the place. So another worker goes on where one died, and
//! two workers at once do no harm. While a rebuild is unfinished the lane keeps its alarm and its place in the list of
//! lanes. An alarm, a tick and a message to the ledger all go on with it.
//!
//! Afterwards the lane has its stock and terms, every order of the database, and what each shopper may still buy. Events
//! that the lane sent after it had forgotten are *untold*: the database does not have them. The ordinary scripts repeat
//! them. An order whose units are gone is cancelled, and money that came finds its order.

use crate::event::{Described, Event};
use crate::recorded::{self, RecordedOrder};
use crate::sql::{Sql, SqlError, lane_parameters};
use crate::{CopyError, copy, personal_data, read};
use sale::catalogue::{Document, Documents};
use sale::ids::{Lane, OrderId, PaymentId, UserId};
use sale::scripts::{Decisions, EngineError, OutboxEntry, PassedPage, PaymentOutcome, Rebuilding, Restored};
use sale::store::Redis;
use sale::{Engine, work};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Orders that one script puts back: about 2 ms of Redis's time.
const ORDERS_PAGE_SIZE: u32 = 100;
/// Reservations that one script looks at: about 2 ms of Redis's time.
const RESERVATIONS_PAGE_SIZE: u32 = 300;
/// Untold events that are read at a time.
const UNTOLD_PAGE_SIZE: u32 = 100;
/// Events that [`rebuild_unless_lost`] copies before it looks.
const COPY_AT_MOST: u32 = 500;

/// A lane compared with the order database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It knows every event that the database knows.
    Sound,
    /// It knows fewer events: Redis came back from an old copy.
    Behind,
    /// It is missing and should be there: Redis lost it.
    Lost,
    /// It is being rebuilt.
    Rebuilding,
    /// It is missing rightly: its time is over, or it was never published.
    Gone,
}

/// The result of rebuilding a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Whether there was anything to do.
    pub rebuilt: bool,
    /// False when the timeout passed before the end. Another call goes on.
    pub finished: bool,
    /// Orders put back.
    pub orders: u64,
    /// Orders that only Redis knew of, and that were told again.
    pub retold: u64,
    /// Orders among the retold that were cancelled, because their units are gone.
    pub cancelled: u64,
    /// Holds and places in the queue that ended, because no units are left.
    pub ended: u64,
}

/// Compares `lane` with the order database.
pub async fn standing<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
) -> Result<Standing, CopyError> {
    // The database is read first: a sound lane is never behind what was copied from it earlier.
    let written = read::written(sql, lane).await?;
    let position = engine.position(lane).await?;
    Ok(match position.seq {
        _ if position.rebuilding => Standing::Rebuilding,
        Some(seq) if seq < written => Standing::Behind,
        Some(_) if position.untold => Standing::Rebuilding,
        Some(_) => Standing::Sound,
        None => match recorded::latest_offer(sql, lane).await? {
            Some(offer) => {
                let over = offer.purge_at <= now(engine).await?;
                if over && !recorded::has_open_orders(sql, lane).await? {
                    Standing::Gone
                } else {
                    Standing::Lost
                }
            }
            None => Standing::Gone,
        },
    })
}

/// Rebuilds `lane` if it needs it, for at most `timeout` plus one step.
///
/// `contradicts` says that an event of the lane contradicts a written one. The lane is then rebuilt however many events
/// it knows.
pub async fn rebuild<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    contradicts: bool,
    timeout: Duration,
) -> Result<Rebuilt, CopyError> {
    let begun = Instant::now();
    let mut rebuilt = Rebuilt { finished: true, ..Rebuilt::default() };
    match standing(engine, sql, lane).await? {
        Standing::Gone => return Ok(rebuilt),
        Standing::Sound if !contradicts => return Ok(rebuilt),
        _ => {}
    }
    let Some(offer) = recorded::latest_offer(sql, lane).await? else { return Ok(rebuilt) };
    let written = read::written(sql, lane).await?;
    let in_doubt = recorded::orders_in_doubt(sql, lane).await?;
    let mut stage = engine.begin_rebuild(lane, written, contradicts, &offer).await?;
    // At once, so that ticks visit the lane if this worker dies.
    work::remember(engine, lane).await?;
    while stage != Rebuilding::Sound {
        rebuilt.rebuilt = true;
        stage = match stage {
            Rebuilding::Orders { cursor } => {
                let after = cursor.parse().ok().map(|tail| OrderId::new(lane.clone(), tail));
                let orders = recorded::orders_of_lane(sql, lane, after.as_ref(), ORDERS_PAGE_SIZE).await?;
                let last = orders.len() < ORDERS_PAGE_SIZE as usize;
                rebuilt.orders += orders.len() as u64;
                let ids: Vec<OrderId> = orders.iter().map(|recorded| recorded.order.id.clone()).collect();
                let mut contacts = personal_data::contacts(sql, &ids).await?;
                let orders: Vec<Restored> = orders
                    .into_iter()
                    .map(|RecordedOrder { order, attempts, .. }| Restored {
                        keep: in_doubt.contains(&order.id.to_string()),
                        contact: contacts.remove(&order.id),
                        order,
                        attempts,
                    })
                    .collect();
                engine.rebuild_orders(lane, &cursor, &orders, last).await?
            }
            Rebuilding::Decisions { cursor } => put_decisions_back(engine, sql, lane, &cursor).await?,
            Rebuilding::Untold { cursor } => {
                tell_untold_orders(engine, sql, lane, &cursor, &mut rebuilt).await?
            }
            Rebuilding::Counting { ended } => {
                rebuilt.ended += ended;
                engine.rebuild_holds(lane, RESERVATIONS_PAGE_SIZE).await?
            }
            Rebuilding::Ready => {
                engine.finish_rebuild(lane).await?;
                Rebuilding::Sound
            }
            Rebuilding::Sound => Rebuilding::Sound,
        };
        // Each call does at least one step, so that repeated calls reach the end.
        if stage != Rebuilding::Sound && begun.elapsed() >= timeout {
            return leave_unfinished(engine, lane, rebuilt).await;
        }
    }
    while engine.position(lane).await?.untold {
        rebuilt.rebuilt = true;
        repeat_untold(engine, lane).await?;
        if begun.elapsed() >= timeout && engine.position(lane).await?.untold {
            return leave_unfinished(engine, lane, rebuilt).await;
        }
    }
    Ok(rebuilt)
}

/// Sees to it that somebody goes on with the rebuild: rings the ledger, and sets the alarm in case nobody hears it.
async fn leave_unfinished<R: Redis>(
    engine: &Engine<R>,
    lane: &Lane,
    rebuilt: Rebuilt,
) -> Result<Rebuilt, CopyError> {
    engine.lapse(lane, 1).await?;
    Ok(Rebuilt { finished: false, ..rebuilt })
}

/// Goes on with the rebuild of `lane` if one is unfinished. Costs one script if none is.
pub async fn go_on<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    timeout: Duration,
) -> Result<Rebuilt, CopyError> {
    if !engine.position(lane).await?.is_unfinished() {
        return Ok(Rebuilt { finished: true, ..Rebuilt::default() });
    }
    rebuild_unless_lost(engine, sql, lane, timeout).await
}

/// Copies what can be copied, then rebuilds a lane that is behind the database or contradicts it.
///
/// A lane that is missing altogether stays missing, because an operator may have meant to start with an empty Redis. For
/// such a lane the operator calls `reconcile`.
pub async fn rebuild_unless_lost<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    timeout: Duration,
) -> Result<Rebuilt, CopyError> {
    if standing(engine, sql, lane).await? == Standing::Lost {
        return Ok(Rebuilt::default());
    }
    let contradicts = copy(engine, sql, lane, COPY_AT_MOST).await?.events.contradicts;
    rebuild(engine, sql, lane, contradicts, timeout).await
}

/// Puts the operator's sale and item back into the catalogue, if Redis lost them or has an older version.
///
/// Returns the documents that the database has.
pub async fn restore_documents<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
) -> Result<Option<Documents>, CopyError> {
    let Some(documents) = recorded::latest_documents(sql, lane).await? else { return Ok(None) };
    restore_document(engine, &documents.sale).await?;
    restore_document(engine, &documents.item).await?;
    Ok(Some(documents))
}

async fn restore_document<R: Redis, D: Document>(
    engine: &Engine<R>,
    document: &D,
) -> Result<(), EngineError> {
    let present = engine.document::<D>(document.id()).await?.map_or(0, |present| present.version());
    if present < document.version() {
        // If somebody else saved first, it is the same version or a newer one.
        engine.save_document(document, present).await?;
    }
    Ok(())
}

/// Redis's own clock, in milliseconds since 1970. The sale goes by it.
async fn now<R: Redis>(engine: &Engine<R>) -> Result<i64, EngineError> {
    Ok(engine.time().await?.millis())
}

/// The parts of an untold event that are needed to repeat it.
#[derive(Deserialize)]
struct Untold {
    r#type: String,
    order_id: OrderId,
    user_id: UserId,
    payment_id: Option<PaymentId>,
    amount: Option<i64>,
}

/// The next page of untold events behind `cursor`, where the rebuild is.
struct UntoldPage {
    entries: Vec<OutboxEntry>,
    next: String,
}

impl UntoldPage {
    async fn read<R: Redis>(engine: &Engine<R>, lane: &Lane, cursor: &str) -> Result<Self, EngineError> {
        let entries = engine.untold(lane, Some(cursor).filter(|id| !id.is_empty()), UNTOLD_PAGE_SIZE).await?;
        let next = entries.last().map_or(cursor, |last| last.id.as_str()).to_owned();
        Ok(UntoldPage { entries, next })
    }

    fn passed<'a>(&'a self, cursor: &'a str) -> PassedPage<'a> {
        let is_last = self.entries.len() < UNTOLD_PAGE_SIZE as usize;
        PassedPage { cursor, next: &self.next, is_last }
    }
}

/// Puts back what operators decided by one page of untold events, and the database does not know.
///
/// Only what such an event changed is put back. Its other fields may be older than those of the database: a pause by
/// an operator says nothing about the stock.
async fn put_decisions_back<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    cursor: &str,
) -> Result<Rebuilding, CopyError> {
    let page = UntoldPage::read(engine, lane, cursor).await?;
    let mut decisions = Decisions::default();
    let mut before: Option<Terms> = None;
    for entry in &page.entries {
        let Ok(event) = Event::parse(lane, &entry.event) else { continue };
        let is_decision = event.order_id.is_none();
        if !is_decision || is_written(sql, lane, event.seq, &entry.event).await? {
            continue;
        }
        if let Ok(Described { documents }) = serde_json::from_slice(entry.event.as_bytes()) {
            decisions.documents = serde_json::to_string(&documents).ok();
        } else if let Some(terms) = terms_of(&entry.event) {
            let known = match before.take() {
                Some(known) => known,
                None => terms_before(engine, sql, lane, &entry.id).await?,
            };
            let differs = |name: &str| known.get(name) != terms.get(name);
            // Whether the rules pause a lane is decided with its switch.
            let names = known.keys().chain(terms.keys()).map(String::as_str);
            let changed: BTreeSet<&str> = names
                .filter(|name| differs(name))
                .chain(differs("switch").then_some("paused_by_rules"))
                .collect();
            for name in changed {
                decisions.fields.retain(|(earlier, _)| earlier != name);
                decisions.fields.push((name.to_owned(), field(terms.get(name).unwrap_or(&Value::Null))));
            }
            before = Some(terms);
        }
    }
    Ok(engine.rebuild_decisions(lane, page.passed(cursor), &decisions).await?)
}

/// A lane's stock and terms by the names of its fields.
type Terms = Map<String, Value>;

/// The terms that an event of the type `lane.changed` tells; nothing for any other event.
fn terms_of(event: &str) -> Option<Terms> {
    let mut terms: Terms = serde_json::from_slice(event.as_bytes()).ok()?;
    if terms.get("type")? != "lane.changed" {
        return None;
    }
    for name in ["seq", "type", "at", "item_id", "lane"] {
        terms.remove(name);
    }
    Some(terms)
}

/// A value as the lane keeps it.
fn field(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(false) => String::new(),
        Value::Bool(true) => "1".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The terms that the operator saw who made the untold change `id`: those of the change before it. If it is the first
/// untold one, those that the database has of the time before Redis and the database went apart.
async fn terms_before<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    id: &str,
) -> Result<Terms, CopyError> {
    let mut before = id.to_owned();
    loop {
        let entries = engine.untold_before(lane, &before, UNTOLD_PAGE_SIZE).await?;
        if let Some(terms) = entries.iter().find_map(|entry| terms_of(&entry.event)) {
            return Ok(terms);
        }
        match entries.last() {
            Some(oldest) => before = oldest.id.clone(),
            None => break,
        }
    }
    let first_unknown = first_unwritten(engine, sql, lane).await?;
    let known = recorded::change_before(sql, lane, first_unknown).await?;
    Ok(known.and_then(|payload| terms_of(&payload)).unwrap_or_default())
}

/// The number of the first untold event that the database does not have.
///
/// Whatever came after it is not written either, because the database has no gaps.
async fn first_unwritten<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
) -> Result<i64, CopyError> {
    let mut cursor = String::new();
    loop {
        let page = UntoldPage::read(engine, lane, &cursor).await?;
        let events: Vec<_> = page
            .entries
            .iter()
            .filter_map(|entry| Some((Event::parse(lane, &entry.event).ok()?.seq, entry.event.as_str())))
            .collect();
        let Some((seq, event)) = events.last() else { return Ok(i64::MAX) };
        if is_written(sql, lane, *seq, event).await? {
            cursor = page.next;
            continue;
        }
        for (seq, event) in events {
            if !is_written(sql, lane, seq, event).await? {
                return Ok(seq);
            }
        }
    }
}

/// Goes through one page of untold events. Forgets those that the database has, and tells the orders it lacks again.
async fn tell_untold_orders<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    cursor: &str,
    rebuilt: &mut Rebuilt,
) -> Result<Rebuilding, CopyError> {
    let page = UntoldPage::read(engine, lane, cursor).await?;
    for entry in &page.entries {
        let written = match Event::parse(lane, &entry.event) {
            Ok(event) => is_written(sql, lane, event.seq, &entry.event).await?,
            Err(_) => true,
        };
        let told = serde_json::from_str::<Untold>(&entry.event);
        match told {
            Ok(told) if !written => {
                // An order may have been made twice, before and after Redis forgot it. The written one counts.
                if told.r#type == "order.created" && read::order(sql, &told.order_id).await?.is_none() {
                    rebuilt.retold += 1;
                    rebuilt.cancelled += u64::from(engine.rebuild_untold(&told.order_id, &entry.id).await?);
                }
            }
            _ => engine.forget_untold(lane, &entry.id).await?,
        }
    }
    Ok(engine.pass_untold(lane, page.passed(cursor)).await?)
}

/// Whether the database has this very event, with this number.
async fn is_written(sql: &impl Sql, lane: &Lane, seq: i64, event: &str) -> Result<bool, SqlError> {
    let [item, number] = lane_parameters(lane);
    let parameters = [item, number, seq.into(), event.into()];
    let statement = "SELECT 1 FROM events WHERE item_id = $1 AND lane = $2 AND seq = $3 AND payload = $4";
    Ok(!sql.execute(statement, &parameters).await?.is_empty())
}

/// Repeats on the lane as it is now what a page of the other untold events did.
///
/// A repeat changes nothing twice, and a script refuses a change that is not legal any more.
async fn repeat_untold<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<(), EngineError> {
    for entry in engine.untold(lane, None, UNTOLD_PAGE_SIZE).await? {
        if let Ok(told) = serde_json::from_str::<Untold>(&entry.event) {
            repeat(engine, &told).await?;
        }
        engine.forget_untold(lane, &entry.id).await?;
    }
    Ok(())
}

async fn repeat<R: Redis>(engine: &Engine<R>, told: &Untold) -> Result<(), EngineError> {
    match (told.r#type.as_str(), &told.payment_id) {
        ("order.cancelled", _) => engine.cancel(&told.order_id, &told.user_id).await.map(drop),
        ("payment.created", Some(payment)) => engine.repeat_payment(payment, &told.user_id).await.map(drop),
        ("payment.failed", Some(payment)) => settle(engine, payment, PaymentOutcome::Failed, told).await,
        ("order.paid" | "order.refund_due" | "payment.refund_due", Some(payment)) => {
            settle(engine, payment, PaymentOutcome::Succeeded, told).await
        }
        ("order.refunded" | "payment.refunded", Some(payment)) => {
            engine.refund_payment(payment).await.map(drop)
        }
        _ => Ok(()),
    }
}

async fn settle<R: Redis>(
    engine: &Engine<R>,
    payment: &PaymentId,
    outcome: PaymentOutcome,
    told: &Untold,
) -> Result<(), EngineError> {
    engine.settle(payment, outcome, told.amount.unwrap_or_default()).await.map(drop)
}
