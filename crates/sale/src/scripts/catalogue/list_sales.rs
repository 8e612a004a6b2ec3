use crate::catalogue::Sale;
use crate::keys::{ARCHIVED_SALES, CATALOGUE_REVISION, ITEMS_BY_SALE, SALES, SALES_BY_START};
use crate::script;
use crate::scripts::operator::save_document::decode;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("list_sales", 4, LISTING);

/// A page of sales, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalesPage {
    /// The sales of the page, the latest to start first, each with its number of items.
    pub sales: Vec<(Sale, u64)>,
    /// How many sales all pages have.
    pub total: u64,
}

impl<R: Redis> Engine<R> {
    /// `count` sales after the first `skip`: those that are archived, or those that are not.
    pub async fn sales(&self, archived: bool, skip: usize, count: usize) -> Result<SalesPage, EngineError> {
        let list = if archived { ARCHIVED_SALES } else { SALES_BY_START };
        let last = skip.saturating_add(count).saturating_sub(1);
        let (first, last) = (skip.to_string(), last.to_string());
        let keys = [CATALOGUE_REVISION, list, ITEMS_BY_SALE, SALES];
        let (word, mut reply) = self.run_on_lists(&SCRIPT, &keys, &[&first, &last]).await?;
        if word != "sales" {
            return Err(reply.unexpected());
        }
        let mut page = SalesPage { sales: Vec::new(), total: reply.count()? };
        while !reply.is_finished() {
            page.sales.push((decode(&reply.value()?)?, reply.count()?));
        }
        Ok(page)
    }
}
