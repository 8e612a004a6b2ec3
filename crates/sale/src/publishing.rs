//! Bringing a published item's document into its lane.
//!
//! The catalogue and the lane may live on two servers, so publishing and changing an item take several steps. The order:
//!
//! 1. [`Engine::save_published`]: the document is saved, and one script also puts a marker into [`UNFINISHED`].
//! 2. The lane gets the terms. A lane that is not there yet opens with the document's stock.
//! 3. The lane joins those that ticks visit.
//! 4. The lane tells the order database the documents.
//! 5. The marker goes.
//!
//! Before step 1 nothing has happened. After it the change is made: the next call of [`finish`] takes the remaining steps
//! from the document as it is then. That is the same call, the operator's next call, or a tick. Each step may be taken again.
//! So a crash leaves the old state or the new one, and shoppers never buy by terms that no document says.

use crate::catalogue::{Documents, Item, Sale};
use crate::ids::{ItemId, Lane};
use crate::item::Terms;
use crate::keys::UNFINISHED;
use crate::scripts::{Engine, EngineError, Published};
use crate::store::Redis;
use crate::work;
use std::fmt;
use std::str::FromStr;

/// What a step on the way has in mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A draft became published: its lane may have to be opened.
    Publish,
    /// A published item was changed: a lane that is not there has ended.
    Change,
}

/// A document that may not have reached its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub purpose: Purpose,
    pub item: ItemId,
    /// The version that was saved.
    pub version: u64,
}

impl Marker {
    /// The marker of `item` as it is.
    pub fn of(purpose: Purpose, item: &Item) -> Self {
        Marker { purpose, item: item.id.clone(), version: item.version }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let purpose = match self.purpose {
            Purpose::Publish => "publish",
            Purpose::Change => "change",
        };
        write!(f, "{purpose} {} {}", self.item, self.version)
    }
}

impl FromStr for Marker {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let [purpose, item, version] = text.split(' ').collect::<Vec<_>>()[..] else { return Err(()) };
        let purpose = match purpose {
            "publish" => Purpose::Publish,
            "change" => Purpose::Change,
            _ => return Err(()),
        };
        Ok(Marker { purpose, item: item.parse().map_err(|_| ())?, version: version.parse().map_err(|_| ())? })
    }
}

/// The documents that may not have reached their lanes.
pub async fn unfinished<R: Redis>(engine: &Engine<R>) -> Result<Vec<Marker>, EngineError> {
    let replies = engine.redis().execute("SMEMBERS", &[UNFINISHED.as_bytes()]).await?;
    Ok(replies.iter().filter_map(|reply| reply.text()?.parse().ok()).collect())
}

/// Takes the steps 2 to 5 for `item`, the document of `marker` or a newer one. `terms` are the item's.
///
/// A lane that was never opened does not open after the item's end. A missing lane of a changed item has left Redis, or is
/// lost and will be rebuilt; then the marker stays until the end.
pub async fn finish<R: Redis>(
    engine: &Engine<R>,
    marker: &Marker,
    item: &Item,
    sale: &Sale,
    terms: &Terms,
) -> Result<Published, EngineError> {
    let lane = Lane::first(item.id.clone());
    let is_over = engine.time().await? >= item.ends_at;
    let outcome = match marker.purpose {
        Purpose::Publish if !is_over => engine.publish(&lane, item.stock, terms).await?,
        _ => engine.revise(&lane, terms).await?,
    };
    match outcome {
        Published::New | Published::Revised => {
            work::remember(engine, &lane).await?;
            engine.describe(&lane, &Documents { item: item.clone(), sale: sale.clone() }).await?;
        }
        Published::NotFound if !is_over => return Ok(outcome),
        Published::NotFound | Published::Older | Published::Closed => {}
    }
    unmark(engine, marker).await?;
    Ok(outcome)
}

/// Takes a marker away whose document has reached its lane.
pub async fn unmark<R: Redis>(engine: &Engine<R>, marker: &Marker) -> Result<(), EngineError> {
    engine.redis().execute("SREM", &[UNFINISHED.as_bytes(), marker.to_string().as_bytes()]).await?;
    Ok(())
}
