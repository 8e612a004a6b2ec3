//! Every reply of `save_document` and `claim`.

use crate::shop::{NOW, Shop};
use sale::catalogue::Sale;
use sale::ids::SaleId;
use sale::scripts::Saved;
use sale::time::Timestamp;

#[tokio::test]
async fn a_document_is_saved_only_on_the_version_that_was_read() {
    let shop = Shop::empty().await;
    let engine = shop.engine();
    let id: SaleId = "sabcdefghij".parse().unwrap();
    let sale = |version: u64, title: &str| Sale {
        id: id.clone(),
        title: title.to_owned(),
        description: "a|b \"c\" 中文".to_owned(),
        starts_at: Timestamp::from_millis(NOW),
        ends_at: Timestamp::from_millis(NOW + 1),
        archived: false,
        version,
    };
    assert_eq!(engine.document::<Sale>(id.as_str()).await.unwrap(), None);
    assert_eq!(engine.documents::<Sale>().await.unwrap(), []);
    assert_eq!(engine.save_document(&sale(2, "x"), 1).await.unwrap(), Saved::VersionMismatch { current: 0 });
    assert_eq!(engine.save_document(&sale(1, "one"), 0).await.unwrap(), Saved::Done);
    assert_eq!(
        engine.save_document(&sale(1, "other"), 0).await.unwrap(),
        Saved::VersionMismatch { current: 1 }
    );
    assert_eq!(engine.save_document(&sale(2, "two"), 1).await.unwrap(), Saved::Done);
    assert_eq!(
        engine.save_document(&sale(2, "late"), 1).await.unwrap(),
        Saved::VersionMismatch { current: 2 }
    );
    assert_eq!(engine.document::<Sale>(id.as_str()).await.unwrap(), Some(sale(2, "two")));
    assert_eq!(engine.documents::<Sale>().await.unwrap(), [sale(2, "two")]);

    // Of many writers who read the same version, one wins.
    let connections = shop.server.connect_many(20).await;
    let writes = connections
        .iter()
        .map(async |redis| sale::Engine::new(redis).save_document(&sale(3, "three"), 2).await.unwrap());
    let answers = futures::future::join_all(writes).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Saved::Done).count(), 1);
}
