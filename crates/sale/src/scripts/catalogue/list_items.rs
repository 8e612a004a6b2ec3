use crate::catalogue::Item;
use crate::ids::SaleId;
use crate::keys::{CATALOGUE_REVISION, ITEMS, ITEMS_BY_SALE};
use crate::script;
use crate::scripts::operator::save_document::decode;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("list_items", 3);

impl<R: Redis> Engine<R> {
    /// All items of a sale, drafts included, in the order in which they start.
    pub async fn items_of(&self, sale: &SaleId) -> Result<Vec<Item>, EngineError> {
        let keys = [CATALOGUE_REVISION, ITEMS_BY_SALE, ITEMS];
        let (word, mut reply) = self.run_on_lists(&SCRIPT, &keys, &[sale.as_str()]).await?;
        if word != "items" {
            return Err(reply.unexpected());
        }
        let mut items: Vec<Item> = Vec::new();
        while !reply.is_finished() {
            items.push(decode(&reply.value()?)?);
        }
        items.sort_by(|left, right| (left.starts_at, &left.id).cmp(&(right.starts_at, &right.id)));
        Ok(items)
    }
}
