//! Every reply of `purge`: settled lanes leave Redis, all others stay.

use crate::shop::{ENDS, RETENTION_MS, Shop, user};
use sale::item::Switch;
use sale::scripts::{PaymentOutcome, Purged, Refunded};
use sale::time::Timestamp;

impl Shop {
    async fn purge(&self) -> Purged {
        self.engine().purge(&self.lane).await.unwrap()
    }

    async fn copy_all(&self) {
        let entries = self.engine().read_outbox(&self.lane, 1000).await.unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(self.engine().acknowledge(&self.lane, &ids).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_lane_stays_until_its_time_and_until_all_is_settled_and_then_leaves_nothing() {
    let shop = Shop::open(10).await;
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    let payment = shop.paying("paid").await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    let late = shop.paying("late").await;
    shop.held("held").await;
    shop.queued("queued").await;
    let purge_at = ENDS + RETENTION_MS;
    shop.set_now(purge_at - 1);
    assert_eq!(shop.purge().await, Purged::Early { purge_at: Timestamp::from_millis(purge_at) });

    shop.set_now(purge_at);
    assert_eq!(shop.purge().await, Purged::Unsettled, "somebody waits");
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    shop.grant().await;
    shop.copy_all().await;
    assert_eq!(shop.purge().await, Purged::Unsettled, "a hold and an unpaid order");
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    shop.copy_all().await;
    shop.settled(&late, PaymentOutcome::Succeeded).await;
    assert_eq!(shop.purge().await, Purged::Unsettled, "an event to be copied");
    shop.copy_all().await;
    assert_eq!(shop.purge().await, Purged::Unsettled, "money to be sent back");
    shop.redis.command("DEL", &[&shop.keys.alarm()]).await;
    assert_eq!(shop.purge().await, Purged::Unsettled);
    shop.assert_alarm_in(60_000).await;

    assert!(matches!(shop.engine().refund(&late.order).await.unwrap(), Refunded::Done(_)));
    assert!(matches!(shop.engine().refund(&late.order).await.unwrap(), Refunded::Done(_)));
    shop.copy_all().await;
    let done = sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(done.purged, 1, "the alarm does it");
    assert!(shop.redis.command("KEYS", &["*"]).await.is_empty());
    assert_eq!(shop.purge().await, Purged::Done, "again");

    // No call finds anything, and none makes a key.
    let name = user("paid");
    let reservation = payment.order.reservation();
    assert_eq!(
        shop.engine().poll(&reservation, &name, false).await.unwrap().outcome,
        sale::scripts::Polled::NotFound
    );
    assert_eq!(shop.engine().release(&reservation, &name).await.unwrap(), sale::scripts::Released::NotFound);
    assert_eq!(
        shop.engine().settle(&payment, PaymentOutcome::Succeeded, crate::shop::PRICE).await.unwrap(),
        sale::scripts::Settled::NotFound
    );
    assert_eq!(shop.engine().lapse(&shop.lane, 1).await.unwrap(), None);
    assert!(shop.redis.command("KEYS", &["*"]).await.is_empty());
}
