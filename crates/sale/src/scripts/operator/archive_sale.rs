use crate::catalogue::{Document, Item, Sale};
use crate::change::MOST_ENTRIES;
use crate::keys::{
    ARCHIVED_SALES, CATALOGUE_REVISION, ITEMS, ITEMS_BY_SALE, LISTED_ITEMS, LOG, RULES, SALES, SALES_BY_START,
};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("archive_sale", 9, LISTING);

/// What became of archiving a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archived {
    Done,
    /// Somebody changed the sale or one of its items meanwhile.
    Changed,
}

impl<R: Redis> Engine<R> {
    /// Archives `sale` with all of its `items`. The documents are as they were read; the archived ones are a version later.
    ///
    /// First read the documents, then see that no marker of [`crate::publishing`] names one of the items, and then that
    /// their lanes have ended. In this order no change in between can open a lane again.
    pub async fn archive_sale(&self, sale: &Sale, items: &[Item]) -> Result<Archived, EngineError> {
        let sale = Sale { archived: true, version: sale.version + 1, ..sale.clone() };
        let mut arguments = vec![sale.id.to_string()];
        push(&mut arguments, &sale);
        let starts_at = sale.starts_at.millis().to_string();
        arguments.extend([starts_at, self.change().to_owned(), MOST_ENTRIES.to_string()]);
        for item in items {
            let item = Item { archived: true, version: item.version + 1, ..item.clone() };
            arguments.push(item.id.to_string());
            push(&mut arguments, &item);
        }
        let keys = [
            SALES,
            ITEMS,
            RULES,
            LOG,
            SALES_BY_START,
            ARCHIVED_SALES,
            ITEMS_BY_SALE,
            LISTED_ITEMS,
            CATALOGUE_REVISION,
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut reply = self.run(&SCRIPT, "", &keys, &arguments).await?;
        Ok(match reply.text()?.as_str() {
            "archived" => Archived::Done,
            "changed" => Archived::Changed,
            _ => return Err(reply.unexpected()),
        })
    }
}

/// Adds the version that must be saved, the new version, and the new document.
fn push<D: Document>(arguments: &mut Vec<String>, document: &D) {
    let version = document.version();
    let json = serde_json::to_string(document).unwrap_or_default();
    arguments.extend([(version - 1).to_string(), version.to_string(), json]);
}
