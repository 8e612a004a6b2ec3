//! The list of what is published: it names what exists, and the snapshots tell what moves.

use std::collections::{HashMap, HashSet};

use sale::catalogue::{Item, Sale};
use sale::ids::{ItemId, SaleId};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};

/// All published sales, the latest to start first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The sales that have published items.
    pub sales: Vec<ListedSale>,
    /// Names what is listed; Redis has another one when that has changed.
    pub(super) revision: i64,
    pub(super) taken: Timestamp,
}

/// A sale and the items in it that are published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedSale {
    /// The sale.
    pub sale: Sale,
    /// Its items in the order in which they start.
    pub items: Vec<ListedItem>,
}

/// As much of an item as a search needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedItem {
    /// The item.
    pub id: ItemId,
    /// Its title.
    pub title: String,
}

impl Index {
    pub(super) fn of(revision: i64, mut sales: Vec<Sale>, mut items: Vec<Item>, taken: Timestamp) -> Self {
        sales.sort_by(|a, b| b.starts_at.cmp(&a.starts_at).then_with(|| a.id.cmp(&b.id)));
        items.retain(Item::is_listed);
        items.sort_by(|a, b| a.starts_at.cmp(&b.starts_at).then_with(|| a.id.cmp(&b.id)));
        let mut of_sale: HashMap<SaleId, Vec<ListedItem>> = HashMap::new();
        for Item { id, sale_id, title, .. } in items {
            of_sale.entry(sale_id).or_default().push(ListedItem { id, title });
        }
        let sales = sales
            .into_iter()
            .filter_map(|sale| of_sale.remove(&sale.id).map(|items| ListedSale { sale, items }))
            .collect();
        Self { sales, revision, taken }
    }

    /// The items that `younger` does not have.
    pub(super) fn items_gone_in(&self, younger: &Index) -> Vec<&ItemId> {
        let left: HashSet<&ItemId> = younger.item_ids().collect();
        self.item_ids().filter(|id| !left.contains(id)).collect()
    }

    fn item_ids(&self) -> impl Iterator<Item = &ItemId> {
        self.sales.iter().flat_map(|listed| &listed.items).map(|item| &item.id)
    }

    pub(super) fn has_item(&self, id: &ItemId) -> bool {
        self.item_ids().any(|listed| listed == id)
    }

    /// A published sale.
    pub fn sale(&self, id: &SaleId) -> Option<&ListedSale> {
        self.sales.iter().find(|listed| listed.sale.id == *id)
    }

    /// The sales that have `words` in their own texts or in an item's title, in either case. All where there are no
    /// words.
    pub fn search(&self, words: &str) -> Vec<&ListedSale> {
        let words = words.trim().to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&words);
        let fits = |listed: &&ListedSale| {
            words.is_empty()
                || has(&listed.sale.title)
                || has(&listed.sale.description)
                || listed.items.iter().any(|item| has(&item.title))
        };
        self.sales.iter().filter(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::catalogue::snapshot::tests::{an_item, at};

    fn sale(id: &str, title: &str, starts: i64) -> Sale {
        Sale {
            id: id.parse().unwrap(),
            title: title.to_owned(),
            description: String::new(),
            starts_at: at(starts),
            ends_at: at(starts + 100),
            archived: false,
            version: 1,
        }
    }

    #[test]
    fn the_index_lists_what_is_published_and_finds_words() {
        let index = Index::of(
            7,
            vec![
                sale("saaaaaaaaaa", "Lamps", 10),
                sale("sbbbbbbbbbb", "Chairs", 20),
                sale("scccccccccc", "Drafts", 30),
            ],
            vec![
                an_item("iaaaaaaaaaa", "saaaaaaaaaa", "青花台灯", true),
                an_item("ibbbbbbbbbb", "sbbbbbbbbbb", "Oak chair", true),
                an_item("icccccccccc", "scccccccccc", "Secret", false),
            ],
            at(0),
        );
        let titles = |found: Vec<&ListedSale>| {
            found.iter().map(|listed| listed.sale.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(titles(index.search("")), ["Chairs", "Lamps"]);
        assert_eq!(titles(index.search(" oak ")), ["Chairs"]);
        assert_eq!(titles(index.search("台灯")), ["Lamps"]);
        assert!(index.search("secret").is_empty());
        assert!(index.has_item(&"iaaaaaaaaaa".parse().unwrap()));
        assert!(!index.has_item(&"icccccccccc".parse().unwrap()));

        let archived = Item { archived: true, ..an_item("ibbbbbbbbbb", "sbbbbbbbbbb", "Oak chair", true) };
        let lamp = an_item("iaaaaaaaaaa", "saaaaaaaaaa", "青花台灯", true);
        let sales = vec![sale("saaaaaaaaaa", "Lamps", 10), sale("sbbbbbbbbbb", "Chairs", 20)];
        let younger = Index::of(8, sales, vec![lamp, archived], at(0));
        assert_eq!(titles(younger.search("")), ["Lamps"]);
        assert_eq!(index.items_gone_in(&younger), [&"ibbbbbbbbbb".parse::<ItemId>().unwrap()]);
    }
}
