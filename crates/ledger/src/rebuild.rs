//! Puts a lane back from the order database, after Redis lost it or came back from an old copy.
//!
//! Redis decides and the database records. So a lane that is missing, or knows fewer events than the database, has
//! forgotten something. [`rebuild`] takes it out of the sale at once and puts it back in five steps:
//! 1. begin: the lane leaves the sale. Until step 5 nobody gets a unit, and shoppers are told to try later.
//! 2. orders: the database's orders go back into Redis, page by page.
//! 3. untold: orders that only Redis knows of are told again as events.
//! 4. holds: holds and places in the queue stay, as far as units are left for them.
//! 5. finish: the lane is back in the sale.
//!
//! Each step is one script with a bounded cost, and Redis keeps the place. So another worker goes on where one died, and
//! two workers at once do no harm.
//!
//! Afterwards the lane has its stock and terms, every order of the database, and what each shopper may still buy. Events
//! that the lane sent after it had forgotten are *untold*: the database does not have them. The ordinary scripts repeat
//! them. An order whose units are gone is cancelled, and money that came finds its order.

use crate::event::Event;
use crate::recorded::{self, RecordedOrder};
use crate::sql::{Sql, SqlError, lane_parameters};
use crate::{CopyError, copy, read};
use sale::catalogue::{Document, Documents};
use sale::ids::{Lane, OrderId, PaymentId, UserId};
use sale::scripts::{Contact, EngineError, PaymentOutcome, Rebuilding, Restored};
use sale::store::Redis;
use sale::{Engine, work};
use serde::{Deserialize, Serialize};
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
    while stage != Rebuilding::Sound {
        rebuilt.rebuilt = true;
        stage = match stage {
            Rebuilding::Orders { cursor } => {
                let after = cursor.parse().ok().map(|tail| OrderId::new(lane.clone(), tail));
                let orders = recorded::orders_of_lane(sql, lane, after.as_ref(), ORDERS_PAGE_SIZE).await?;
                let last = orders.len() < ORDERS_PAGE_SIZE as usize;
                rebuilt.orders += orders.len() as u64;
                let orders: Vec<Restored> = orders
                    .into_iter()
                    .map(|RecordedOrder { order, attempts, contact, .. }| Restored {
                        keep: in_doubt.contains(&order.id.to_string()),
                        order,
                        attempts,
                        contact,
                    })
                    .collect();
                engine.rebuild_orders(lane, &cursor, &orders, last).await?
            }
            Rebuilding::Untold => {
                tell_untold_orders(engine, sql, lane, &mut rebuilt).await?;
                engine.rebuild_holds(lane, RESERVATIONS_PAGE_SIZE).await?
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
            return Ok(Rebuilt { finished: false, ..rebuilt });
        }
    }
    work::remember(engine, lane).await?;
    if engine.position(lane).await?.untold {
        rebuilt.rebuilt = true;
        repeat_untold(engine, lane).await?;
    }
    Ok(rebuilt)
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
    let time = engine.redis().execute("TIME", &[]).await?;
    Ok(time.first().and_then(sale::store::Reply::int).unwrap_or(0) * 1_000)
}

/// The parts of an untold event that are needed to repeat it.
#[derive(Deserialize)]
struct Untold {
    r#type: String,
    order_id: OrderId,
    user_id: UserId,
    payment_id: Option<PaymentId>,
    amount: Option<i64>,
    #[serde(default)]
    details: Contact,
}

/// Goes through the untold events. Forgets those that the database has, and tells the orders it lacks again.
async fn tell_untold_orders<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    rebuilt: &mut Rebuilt,
) -> Result<(), CopyError> {
    let mut after: Option<String> = None;
    loop {
        let entries = engine.untold(lane, after.as_deref(), UNTOLD_PAGE_SIZE).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for entry in &entries {
            let written = match Event::parse(lane, &entry.event) {
                Ok(event) => is_written(sql, lane, event.seq, &entry.event).await?,
                Err(_) => true,
            };
            let told = serde_json::from_str::<Untold>(&entry.event);
            match told {
                Ok(told) if !written => {
                    // An order may have been made twice, before and after Redis forgot it. The written one counts.
                    if told.r#type == "order.created" && read::order(sql, &told.order_id).await?.is_none() {
                        let details = serde_json::to_string(&told.details).unwrap_or_default();
                        rebuilt.retold += 1;
                        rebuilt.cancelled +=
                            u64::from(engine.rebuild_untold(&told.order_id, &entry.id, &details).await?);
                    }
                }
                _ => engine.forget_untold(lane, &entry.id).await?,
            }
        }
    }
}

/// Whether the database has this very event, with this number.
async fn is_written(sql: &impl Sql, lane: &Lane, seq: i64, event: &str) -> Result<bool, SqlError> {
    let [item, number] = lane_parameters(lane);
    let parameters = [item, number, seq.into(), event.into()];
    let statement = "SELECT 1 FROM events WHERE item_id = $1 AND lane = $2 AND seq = $3 AND payload = $4";
    Ok(!sql.execute(statement, &parameters).await?.is_empty())
}

/// Repeats on the lane as it is now what the other untold events did.
///
/// A repeat changes nothing twice, and a script refuses a change that is not legal any more.
async fn repeat_untold<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<(), EngineError> {
    loop {
        let entries = engine.untold(lane, None, UNTOLD_PAGE_SIZE).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            if let Ok(told) = serde_json::from_str::<Untold>(&entry.event) {
                repeat(engine, &told).await?;
            }
            engine.forget_untold(lane, &entry.id).await?;
        }
    }
}

async fn repeat<R: Redis>(engine: &Engine<R>, told: &Untold) -> Result<(), EngineError> {
    match (told.r#type.as_str(), &told.payment_id) {
        ("order.cancelled", _) => engine.cancel(&told.order_id, &told.user_id).await.map(drop),
        ("payment.created", _) => engine.pay(&told.order_id, &told.user_id).await.map(drop),
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
