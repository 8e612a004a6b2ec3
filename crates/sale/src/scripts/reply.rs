//! What a script returns, as its binding reads it.

use super::{EngineError, Script};
use crate::allowance::{Allowance, Counted};
use crate::order::OrderState;
use crate::reservation::{Pace, ReservationState};
use crate::store::Reply;
use crate::time::Timestamp;

/// A flat reply, read value by value. A value of another form than asked for is an [`EngineError::UnexpectedReply`].
pub struct ReplyReader {
    script: &'static Script,
    replies: Vec<Reply>,
    at: usize,
}

impl ReplyReader {
    pub fn new(script: &'static Script, replies: Vec<Reply>) -> Self {
        ReplyReader { script, replies, at: 0 }
    }

    /// How many values the reply has, read ones included.
    #[allow(clippy::len_without_is_empty, reason = "no reply is empty")]
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    pub fn unexpected(&self) -> EngineError {
        // Records have no secret, but may have an address: give only the shape and the first word.
        let word =
            self.replies.first().and_then(Reply::text).map(|text| text.chars().take(40).collect::<String>());
        EngineError::UnexpectedReply {
            script: self.script.name,
            reply: format!("{word:?} and {} values, wrong at {}", self.replies.len(), self.at),
        }
    }

    pub fn value(&mut self) -> Result<Reply, EngineError> {
        let value = self.replies.get(self.at).cloned().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(value)
    }

    pub fn text(&mut self) -> Result<String, EngineError> {
        let value = self.value()?;
        value.text().map(|text| text.into_owned()).ok_or_else(|| self.unexpected())
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>, EngineError> {
        match self.value()? {
            Reply::Binary(bytes) => Ok(bytes),
            Reply::Status(text) => Ok(text.into_bytes()),
            Reply::Nil | Reply::Int(_) => Err(self.unexpected()),
        }
    }

    pub fn int(&mut self) -> Result<i64, EngineError> {
        let value = self.value()?;
        value.int().ok_or_else(|| self.unexpected())
    }

    pub fn count(&mut self) -> Result<u64, EngineError> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| self.unexpected())
    }

    pub fn quantity(&mut self) -> Result<u32, EngineError> {
        let value = self.int()?;
        u32::try_from(value).map_err(|_| self.unexpected())
    }

    pub fn moment(&mut self) -> Result<Timestamp, EngineError> {
        Ok(Timestamp::from_millis(self.int()?))
    }

    /// A moment; zero means none.
    pub fn moment_if_any(&mut self) -> Result<Option<Timestamp>, EngineError> {
        let millis = self.int()?;
        Ok((millis > 0).then(|| Timestamp::from_millis(millis)))
    }

    pub fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, EngineError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.unexpected())
    }

    pub fn reservation_state(&mut self) -> Result<ReservationState, EngineError> {
        let word = self.text()?;
        ReservationState::parse(&word).ok_or_else(|| self.unexpected())
    }

    pub fn order_state(&mut self) -> Result<OrderState, EngineError> {
        let word = self.text()?;
        OrderState::parse(&word).ok_or_else(|| self.unexpected())
    }

    pub fn pace(&mut self) -> Result<Pace, EngineError> {
        Ok(Pace {
            position: self.count()?,
            waiting: self.count()?,
            polls_per_second: self.quantity()?,
            polls_per_ten_seconds: self.quantity()?,
            hold_ms: self.count()?,
        })
    }

    /// `outcome`, with the allowances, which are the rest of the reply.
    pub fn counted<T>(mut self, outcome: T) -> Result<Counted<T>, EngineError> {
        let mut allowances = Vec::new();
        while !self.is_finished() {
            allowances.push(Allowance { capacity: self.quantity()?, owed: self.count()? });
        }
        Ok(Counted { outcome, allowances })
    }

    pub fn is_finished(&self) -> bool {
        self.at >= self.replies.len()
    }
}
