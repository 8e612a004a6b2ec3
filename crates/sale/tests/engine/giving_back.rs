//! Every reply of `release`.

use crate::shop::{HOLD_MS, Shop, user};
use sale::keys::GRANT_DOORBELL;
use sale::reservation::ReservationState;
use sale::scripts::{Released, Reserved};

#[tokio::test]
async fn a_place_in_the_queue_goes_back_once() {
    let shop = Shop::open(1).await;
    let id = shop.queued("ann").await;
    for _ in 0..2 {
        assert_eq!(shop.engine().release(&id, &user("ann")).await.unwrap(), Released::Done);
        assert_eq!(shop.state(&id, "ann").await, ReservationState::Released);
        assert_eq!(shop.counters().await, [1, 0, 0, 0]);
    }
    assert!(matches!(shop.reserve("ann", 1).await, Reserved::Queued { .. }), "and may be reserved again");
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_hold_goes_back_once_and_those_who_wait_are_served() {
    let shop = Shop::open(1).await;
    let held = shop.held("ann").await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    assert_eq!(shop.engine().release(&held, &user("ann")).await.unwrap(), Released::Done);
    assert_eq!(bell.heard(&shop.redis, "end").await, [], "nobody waits");
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);
    assert_eq!(shop.engine().release(&held, &user("ann")).await.unwrap(), Released::Done);
    assert_eq!(shop.counters().await, [1, 0, 0, 0]);

    let held = shop.held("bob").await;
    shop.stock(sale::scripts::StockChange::Add(1)).await;
    let next = shop.queued("cat").await;
    bell.heard(&shop.redis, "end").await;
    shop.engine().release(&held, &user("bob")).await.unwrap();
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1);
    shop.grant().await;
    assert_eq!(shop.state(&next, "cat").await, ReservationState::Held);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_decided_reservation_cannot_be_given_back() {
    let shop = Shop::open(2).await;
    let order = shop.ordered("ann").await;
    let (held, sold_out) = (shop.queued("bob").await, shop.queued("cat").await);
    shop.grant().await;
    shop.advance(HOLD_MS);
    shop.engine().lapse(&shop.lane, 100).await.unwrap();
    for (id, name, state) in [
        (order.id.reservation(), "ann", ReservationState::Ordered),
        (held, "bob", ReservationState::Expired),
        (sold_out, "cat", ReservationState::SoldOut),
    ] {
        let before = shop.counters().await;
        assert_eq!(shop.engine().release(&id, &user(name)).await.unwrap(), Released::Conflict(state));
        assert_eq!(shop.counters().await, before);
    }
    shop.assert_sound().await;
}

#[tokio::test]
async fn nobody_gives_back_what_is_not_theirs() {
    let shop = Shop::open(1).await;
    let id = shop.held("ann").await;
    assert_eq!(shop.engine().release(&id, &user("bob")).await.unwrap(), Released::NotFound);
    let unknown = sale::ids::ReservationId::new(shop.lane.clone(), shop.tail());
    assert_eq!(shop.engine().release(&unknown, &user("ann")).await.unwrap(), Released::NotFound);
    assert_eq!(shop.counters().await, [0, 1, 0, 0]);
}
