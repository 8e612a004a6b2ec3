//! Every reply of `poll`: the shopper's view, and which poll is told of work that waited too long.

use crate::shop::{HOLD_MS, Shop, user};
use sale::scripts::{Overdue, Polled};

#[tokio::test]
async fn a_reservation_is_shown_to_its_shopper_only() {
    let shop = Shop::open(1).await;
    let id = shop.queued("ann").await;
    let poll = async |id, name| shop.engine().poll(id, &user(name), true).await.unwrap().outcome;
    assert!(matches!(poll(&id, "ann").await, Polled::Found(_)));
    assert_eq!(poll(&id, "bob").await, Polled::NotFound);
    let unknown = sale::ids::ReservationId::new(shop.lane.clone(), shop.tail());
    assert_eq!(poll(&unknown, "ann").await, Polled::NotFound);
    let elsewhere = sale::ids::ReservationId::new("izzzzzzzzzz:0".parse().unwrap(), id.tail.clone());
    assert_eq!(poll(&elsewhere, "ann").await, Polled::NotFound);
}

#[tokio::test]
async fn one_poll_claims_a_queue_that_nobody_drained_and_the_next_one_after_a_while() {
    let shop = Shop::open(1).await;
    let id = shop.queued("ann").await;
    let queue_overdue = async || shop.poll(&id, "ann").await.overdue.queue;
    shop.advance(299);
    assert!(!queue_overdue().await);
    shop.advance(1);
    assert!(queue_overdue().await);
    assert!(!queue_overdue().await, "one does it, the crowd does not");
    shop.advance(300);
    assert!(queue_overdue().await, "it was not done, so it is told again");
    shop.grant().await;
    shop.advance(300);
    assert!(!queue_overdue().await);
}

#[tokio::test]
async fn a_poll_tells_of_a_hold_or_an_order_that_should_have_lapsed() {
    let shop = Shop::open(1).await;
    let id = shop.held("ann").await;
    shop.advance(HOLD_MS - 1);
    assert_eq!(shop.poll(&id, "ann").await.overdue, Overdue::default());
    shop.advance(1);
    assert_eq!(shop.poll(&id, "ann").await.overdue, Overdue { queue: false, deadlines: true });
    shop.engine().lapse(&shop.lane, 100).await.unwrap();
    assert_eq!(shop.poll(&id, "ann").await.overdue, Overdue::default());
}
