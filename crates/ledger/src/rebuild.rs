//! A lane that Redis lost, or that came back from an old copy, made anew from the order database.
//!
//! Redis decides and the database records what was decided; so a lane that is not there, or knows fewer events than the
//! database, has forgotten. It is taken out of the sale at once ([`Engine::unseat`]), made anew in bounded steps, each one
//! script, and put back ([`Engine::seat`]); until then nobody gets a unit of it, and shoppers are told to try later. The
//! steps keep their own place in Redis, so whoever comes next goes on where the last one died, and two at once do no harm.
//!
//! Afterwards the lane has every order of the database, its stock and terms, what each shopper may still buy, and of
//! reservations without an order those that Redis still has and units are left for. What the lane told after it had
//! forgotten, and before it was noticed, is done again by the ordinary scripts: an order whose units are gone is
//! cancelled, money that came finds its order.

use crate::event::Event;
use crate::recorded::{self, RecordedOrder};
use crate::sql::{Sql, SqlError};
use crate::{CopyError, copy, read};
use sale::catalogue::{Document, Documents};
use sale::ids::{Lane, OrderId, PaymentId, UserId};
use sale::scripts::{Contact, EngineError, PaymentOutcome, Rebuilding, Restored};
use sale::store::Redis;
use sale::{Engine, work};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Orders, and reservations, that one script looks at: about 2 ms of Redis's time.
const ORDERS: u32 = 100;
const RESERVATIONS: u32 = 300;
/// Untold events that are read at a time.
const UNTOLD: u32 = 100;

/// How a lane stands beside the order database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It knows all that the database knows.
    Sound,
    /// It knows less: Redis came back from an old copy.
    Behind,
    /// It is not there, and should be: Redis lost it.
    Lost,
    /// It is being made anew.
    Rebuilding,
    /// It left Redis when its time was over, or was never published.
    Gone,
}

/// What making a lane anew came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Whether there was anything to do.
    pub rebuilt: bool,
    /// False when time was over before the end: calling again goes on.
    pub finished: bool,
    /// Orders put back.
    pub orders: u64,
    /// Orders that only Redis knew of, told again; and those of them that were cancelled, their units being gone.
    pub retold: u64,
    pub cancelled: u64,
    /// Holds and places in the queue that nothing was left for.
    pub ended: u64,
}

/// How `lane` stands.
pub async fn standing<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
) -> Result<Standing, CopyError> {
    // The database first: a sound lane is never behind what was copied from it.
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

/// Makes `lane` anew if it has to be, for as long as `patience` lasts. `contradicts` says that its events were found to
/// contradict those of the database, however many it has.
pub async fn rebuild<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    contradicts: bool,
    patience: Duration,
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
    let mut stage = engine.unseat(lane, written, contradicts, &offer).await?;
    while stage != Rebuilding::Sound {
        rebuilt.rebuilt = true;
        stage = match stage {
            Rebuilding::Orders { cursor } => {
                let after = cursor.parse().ok().map(|tail| OrderId::new(lane.clone(), tail));
                let orders = recorded::orders_of_lane(sql, lane, after.as_ref(), ORDERS).await?;
                let last = orders.len() < ORDERS as usize;
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
                engine.restore(lane, &cursor, &orders, last).await?
            }
            Rebuilding::Untold => {
                retell(engine, sql, lane, &mut rebuilt).await?;
                engine.regrant(lane, RESERVATIONS).await?
            }
            Rebuilding::Counting { ended } => {
                rebuilt.ended += ended;
                engine.regrant(lane, RESERVATIONS).await?
            }
            Rebuilding::Ready => {
                engine.seat(lane).await?;
                Rebuilding::Sound
            }
            Rebuilding::Sound => Rebuilding::Sound,
        };
        // Each call takes a step at least, so that calling again always ends.
        if stage != Rebuilding::Sound && begun.elapsed() >= patience {
            return Ok(Rebuilt { finished: false, ..rebuilt });
        }
    }
    work::remember(engine, lane).await?;
    if engine.position(lane).await?.untold {
        rebuilt.rebuilt = true;
        replay(engine, lane).await?;
    }
    Ok(rebuilt)
}

/// Copies what can be copied, and makes the lane anew if it is behind the database or contradicts it; one that is lost
/// altogether only if `lost` says so, since an operator may have meant to begin with an empty Redis.
pub async fn mend<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    lost: bool,
    patience: Duration,
) -> Result<Rebuilt, CopyError> {
    if !lost && standing(engine, sql, lane).await? == Standing::Lost {
        return Ok(Rebuilt::default());
    }
    let contradicts = copy(engine, sql, lane, 500).await?.events.contradicts;
    rebuild(engine, sql, lane, contradicts, patience).await
}

/// Puts what the operator wrote of an item back into the catalogue, where Redis has lost it or has an older text; answers
/// what there was to be had.
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
    let there = engine.document::<D>(document.id()).await?.map_or(0, |there| there.version());
    if there < document.version() {
        // Whoever was faster has saved the same, or something newer.
        engine.save_document(document, there).await?;
    }
    Ok(())
}

/// Redis's own clock, which the sale goes by.
async fn now<R: Redis>(engine: &Engine<R>) -> Result<i64, EngineError> {
    let time = engine.redis().execute("TIME", &[]).await?;
    Ok(time.first().and_then(sale::store::Reply::int).unwrap_or(0) * 1_000)
}

/// An event that the lane told and the database does not have, as far as it is done again.
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

/// Goes through the untold events: those that the database has are passed over, orders that it has not are told again.
async fn retell<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    rebuilt: &mut Rebuilt,
) -> Result<(), CopyError> {
    let mut after: Option<String> = None;
    loop {
        let entries = engine.untold(lane, after.as_deref(), UNTOLD).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for entry in &entries {
            let known = match Event::parse(lane, &entry.event) {
                Ok(event) => is_written(sql, lane, event.seq, &entry.event).await?,
                Err(_) => true,
            };
            let told = serde_json::from_str::<Untold>(&entry.event);
            match told {
                Ok(told) if !known => {
                    // One that was made twice, before and after Redis forgot it, is the one that is written.
                    if told.r#type == "order.created" && read::order(sql, &told.order_id).await?.is_none() {
                        let details = serde_json::to_string(&told.details).unwrap_or_default();
                        rebuilt.retold += 1;
                        rebuilt.cancelled +=
                            u64::from(engine.retell(&told.order_id, &entry.id, &details).await?);
                    }
                }
                _ => engine.forget_untold(lane, &entry.id).await?,
            }
        }
    }
}

async fn is_written(sql: &impl Sql, lane: &Lane, seq: i64, event: &str) -> Result<bool, SqlError> {
    let parameters = [lane.item.as_str().into(), i64::from(lane.number).into(), seq.into(), event.into()];
    let statement = "SELECT 1 FROM events WHERE item_id = $1 AND lane = $2 AND seq = $3 AND payload = $4";
    Ok(!sql.execute(statement, &parameters).await?.is_empty())
}

/// Does again what the untold events tell of, on the lane as it is now. Each step is idempotent, and one that is not legal
/// any more is refused by its script, as it should be.
async fn replay<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<(), EngineError> {
    loop {
        let entries = engine.untold(lane, None, UNTOLD).await?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            if let Ok(told) = serde_json::from_str::<Untold>(&entry.event) {
                redo(engine, &told).await?;
            }
            engine.forget_untold(lane, &entry.id).await?;
        }
    }
}

async fn redo<R: Redis>(engine: &Engine<R>, told: &Untold) -> Result<(), EngineError> {
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
