use crate::catalogue::{Item, Sale};
use crate::keys::{CATALOGUE_REVISION, ITEMS, LISTED_ITEMS, SALES};
use crate::script;
use crate::scripts::operator::save_document::decode;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("read_listed", 4);

/// The listed documents, unless the caller has them already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The caller has it.
    Unchanged,
    Changed {
        /// Names this state of the lists.
        revision: i64,
        /// The sales of the listed items, in no order.
        sales: Vec<Sale>,
        /// The items that are published and not archived, in no order.
        items: Vec<Item>,
    },
}

impl<R: Redis> Engine<R> {
    /// The listed items and their sales, in one round trip; only that there is nothing new if `known` is still the revision.
    pub async fn listed(&self, known: Option<i64>) -> Result<Listed, EngineError> {
        let known = known.map(|revision| revision.to_string()).unwrap_or_default();
        let keys = [CATALOGUE_REVISION, LISTED_ITEMS, ITEMS, SALES];
        let (word, mut reply) = self.run_on_lists(&SCRIPT, &keys, &[&known]).await?;
        match word.as_str() {
            "unchanged" => return Ok(Listed::Unchanged),
            "changed" => {}
            _ => return Err(reply.unexpected()),
        }
        let revision = reply.int()?;
        let mut items = Vec::new();
        for _ in 0..reply.count()? {
            items.push(decode(&reply.value()?)?);
        }
        let mut sales = Vec::new();
        while !reply.is_finished() {
            sales.push(decode(&reply.value()?)?);
        }
        Ok(Listed::Changed { revision, sales, items })
    }
}
