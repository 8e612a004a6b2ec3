use crate::catalogue::{Item, Sale};
use crate::change::MOST_ENTRIES;
use crate::ids::SaleId;
use crate::keys::{ARCHIVED_SALES, ITEMS, ITEMS_BY_SALE, LOG, RULES, SALES, SALES_BY_START};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("delete_drafts", 7, LISTING);

/// What became of deleting documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    Done,
    /// Somebody changed a document meanwhile, or added an item; `current` is the saved version of one of them, 0 if it is gone.
    Changed {
        current: u64,
    },
}

impl<R: Redis> Engine<R> {
    /// Deletes `sale`, which has these `drafts` and no other items. None of them was ever published.
    pub async fn delete_sale(&self, sale: &Sale, drafts: &[Item]) -> Result<Deleted, EngineError> {
        self.delete(&sale.id, &sale.version.to_string(), drafts).await
    }

    /// Deletes `draft`, which was never published.
    pub async fn delete_draft(&self, draft: &Item) -> Result<Deleted, EngineError> {
        self.delete(&draft.sale_id, "", std::slice::from_ref(draft)).await
    }

    async fn delete(
        &self,
        sale: &SaleId,
        sale_version: &str,
        drafts: &[Item],
    ) -> Result<Deleted, EngineError> {
        debug_assert!(drafts.iter().all(|draft| !draft.published), "a published item is archived instead");
        let (most, versions) = (
            MOST_ENTRIES.to_string(),
            drafts.iter().map(|draft| draft.version.to_string()).collect::<Vec<_>>(),
        );
        let mut arguments = vec![sale.as_str(), sale_version, self.change(), &most];
        for (draft, version) in drafts.iter().zip(&versions) {
            arguments.extend([draft.id.as_str(), version]);
        }
        let keys = [SALES, ITEMS, RULES, LOG, SALES_BY_START, ARCHIVED_SALES, ITEMS_BY_SALE];
        let mut reply = self.run(&SCRIPT, "", &keys, &arguments).await?;
        Ok(match reply.text()?.as_str() {
            "deleted" => Deleted::Done,
            "changed" => Deleted::Changed { current: reply.count()? },
            _ => return Err(reply.unexpected()),
        })
    }
}
