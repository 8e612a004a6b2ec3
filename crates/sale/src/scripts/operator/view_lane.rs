use crate::ids::Lane;
use crate::item::{ItemState, Switch};
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) static SCRIPT: Script = script!("view_lane", 3);

/// A lane's settings and counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneView {
    /// The Redis server's clock at that moment.
    pub now: Timestamp,
    pub switch: Switch,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub per_user_limit: u32,
    pub mode: crate::item::Mode,
    pub total: i64,
    pub available: i64,
    pub held: i64,
    pub ordered: i64,
    pub sold: i64,
    /// Reservations ever admitted.
    pub admitted: u64,
    /// Reservations in the queue.
    pub waiting: u64,
    /// Events that the order database does not have yet.
    pub outbox: u64,
    /// The number of the lane's last event.
    #[serde(skip)]
    pub seq: i64,
}

impl LaneView {
    /// The item's state at `now`, by these counters.
    pub fn state_at(&self, now: Timestamp) -> ItemState {
        ItemState::at(now, self.switch, self.starts_at, self.ends_at, self.available)
    }
}

impl<R: Redis> Engine<R> {
    /// Shows a lane; nothing if it is not published.
    pub async fn view(&self, lane: &Lane) -> Result<Option<LaneView>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply =
            self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.queue(), &keys.outbox()], &[]).await?;
        Ok(match reply.text()?.as_str() {
            "found" => Some(LaneView {
                now: reply.moment()?,
                switch: {
                    let word = reply.text()?;
                    Switch::parse(&word).ok_or_else(|| reply.unexpected())?
                },
                starts_at: reply.moment()?,
                ends_at: reply.moment()?,
                per_user_limit: reply.quantity()?,
                mode: match reply.text()?.as_str() {
                    "queued" => crate::item::Mode::Queued,
                    "instant" => crate::item::Mode::Instant,
                    _ => return Err(reply.unexpected()),
                },
                total: reply.int()?,
                available: reply.int()?,
                held: reply.int()?,
                ordered: reply.int()?,
                sold: reply.int()?,
                admitted: reply.count()?,
                waiting: reply.count()?,
                outbox: reply.count()?,
                seq: reply.int()?,
            }),
            "not_found" => None,
            _ => return Err(reply.unexpected()),
        })
    }
}

/// What happened to a lane in ten seconds, by name, in units (`admitted`: reservations); more than an hour ago, in ten
/// minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeriesPoint {
    pub at: Timestamp,
    #[serde(flatten)]
    pub counts: std::collections::BTreeMap<String, i64>,
}

impl<R: Redis> Engine<R> {
    /// The lane's time series of the last day, oldest first: some 560 points at most.
    pub async fn series(&self, lane: &Lane) -> Result<Vec<SeriesPoint>, EngineError> {
        let key = LaneKeys::of(lane).series();
        let replies = self.redis.execute("HGETALL", &[key.as_bytes()]).await?;
        let mut points = std::collections::BTreeMap::<i64, SeriesPoint>::new();
        for pair in replies.chunks_exact(2) {
            let [name, count] = pair else { continue };
            let (Some(name), Some(count)) = (name.text(), count.int()) else { continue };
            let Some((at, name)) = name.split_once(':') else { continue };
            let Ok(at) = at.parse() else { continue };
            points
                .entry(at)
                .or_insert_with(|| SeriesPoint { at: Timestamp::from_millis(at), counts: Default::default() })
                .counts
                .insert(name.to_owned(), count);
        }
        Ok(points.into_values().collect())
    }

    /// The reservation of `user` in this lane that is alive, if there is one.
    pub async fn alive(
        &self,
        lane: &Lane,
        user: &crate::ids::UserId,
    ) -> Result<Option<crate::ids::ReservationId>, EngineError> {
        let key = LaneKeys::of(lane).users();
        let replies = self.redis.execute("HGET", &[key.as_bytes(), user.as_str().as_bytes()]).await?;
        let record = replies.first().and_then(crate::store::Reply::text).unwrap_or_default();
        let tail = record.split_once('|').and_then(|(_, alive)| alive.parse().ok());
        Ok(tail.map(|tail| crate::ids::ReservationId::new(lane.clone(), tail)))
    }
}
