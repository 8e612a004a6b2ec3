//! Every reply of `checkout`, `order` and `cancel`.

use crate::shop::{HOLD_MS, NOW, PAY_MS, PRICE, Shop, contact, records, terms, user};
use sale::ids::{OrderId, ReservationId};
use sale::item::{Mode, Switch, Terms};
use sale::keys::LEDGER_DOORBELL;
use sale::order::OrderState;
use sale::reservation::ReservationState;
use sale::scripts::{Cancelled, CheckedOut, Contact, PaymentOutcome, Reserved};

#[tokio::test]
async fn a_hold_becomes_an_order_once() {
    let shop = Shop::with(5, |terms| terms.per_user_limit = 2).await;
    let Reserved::Queued { id, .. } = shop.reserve("ann", 2).await else { panic!() };
    shop.grant().await;
    let mut bell = shop.server.listen(&[LEDGER_DOORBELL, "end"]).await;
    shop.advance(1_000);
    let order = shop.checked_out(&id, "ann").await;
    assert_eq!(order.id, id.order());
    assert_eq!((order.state, order.quantity, order.unit_price.amount), (OrderState::Unpaid, 2, PRICE));
    assert_eq!(order.total().amount, 2 * PRICE);
    assert_eq!((order.created_at, order.pay_by), (shop.now(), shop.now().plus_millis(PAY_MS)));
    assert_eq!((order.paid_at, &order.payment), (None, &None));
    assert_eq!(shop.counters().await, [3, 0, 2, 0]);
    assert_eq!(shop.state(&id, "ann").await, ReservationState::Ordered);
    let rung = (LEDGER_DOORBELL.to_owned(), shop.lane.to_string());
    assert_eq!(bell.heard(&shop.redis, "end").await, [rung]);

    // Checking out again, much later and with another address, gives the same order unchanged.
    shop.advance(HOLD_MS);
    let other = Contact { contact: "other".into(), ..contact() };
    let again = shop.engine().checkout(&id, &user("ann"), &other).await.unwrap();
    assert_eq!(again, CheckedOut::Existing(order.clone()));
    let shown = shop.engine().order(&order.id, Some(&user("ann"))).await.unwrap().unwrap();
    assert_eq!(shown.0, order);
    assert!(shown.1 == Some(contact()));
    assert_eq!(shop.view().await.outbox, 1);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_price_is_the_one_at_checkout_and_stays() {
    let shop = Shop::open(2).await;
    let first = shop.ordered("ann").await;
    let mut terms = terms();
    terms.price.amount = 5;
    shop.engine().revise(&shop.lane, &terms).await.unwrap();
    let second = shop.ordered("bob").await;
    assert_eq!((first.unit_price.amount, second.unit_price.amount), (PRICE, 5));
    let shown = shop.engine().order(&first.id, None).await.unwrap().unwrap().0;
    assert_eq!(shown.unit_price.amount, PRICE);
}

#[tokio::test]
async fn a_hold_is_good_until_its_last_millisecond() {
    let shop = Shop::open(2).await;
    let (in_time, late) = (shop.held("ann").await, shop.held("bob").await);
    shop.set_now(NOW + HOLD_MS - 1);
    shop.checked_out(&in_time, "ann").await;
    shop.set_now(NOW + HOLD_MS);
    let expired = async || shop.engine().checkout(&late, &user("bob"), &contact()).await.unwrap();
    // The same before and after somebody has returned it to stock.
    assert_eq!(expired().await, CheckedOut::HoldExpired);
    shop.engine().lapse(&shop.lane, 10).await.unwrap();
    assert_eq!(expired().await, CheckedOut::HoldExpired);
    assert_eq!(shop.counters().await, [1, 0, 1, 0]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn only_a_hold_can_be_checked_out() {
    let shop = Shop::open(1).await;
    let check_out = async |id: &ReservationId, name: &str| {
        shop.engine().checkout(id, &user(name), &contact()).await.unwrap()
    };
    let first = shop.queued("ann").await;
    assert_eq!(check_out(&first, "ann").await, CheckedOut::Conflict(ReservationState::Queued));
    let second = shop.queued("bob").await;
    let third = shop.queued("cat").await;
    shop.engine().grant(&shop.lane, 2).await.unwrap();
    assert_eq!(check_out(&second, "bob").await, CheckedOut::Conflict(ReservationState::SoldOut));
    assert_eq!(check_out(&first, "bob").await, CheckedOut::NotFound);
    shop.engine().release(&first, &user("ann")).await.unwrap();
    assert_eq!(check_out(&first, "ann").await, CheckedOut::Conflict(ReservationState::Released));
    shop.engine().switch(&shop.lane, Switch::Closed).await.unwrap();
    shop.grant().await;
    assert_eq!(check_out(&third, "cat").await, CheckedOut::Conflict(ReservationState::Rejected));
    let unknown = ReservationId::new(shop.lane.clone(), shop.tail());
    assert_eq!(check_out(&unknown, "ann").await, CheckedOut::NotFound);
    assert_eq!(shop.view().await.outbox, 1, "that it was closed, and no more");
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_order_is_shown_to_its_shopper_and_the_operator() {
    let shop = Shop::open(1).await;
    let order = shop.ordered("ann").await;
    let shown = async |name: Option<&str>| {
        let reader = name.map(user);
        shop.engine().order(&order.id, reader.as_ref()).await.unwrap().map(|(order, _)| order)
    };
    assert_eq!(shown(Some("ann")).await, Some(order.clone()));
    assert_eq!(shown(None).await, Some(order.clone()));
    assert_eq!(shown(Some("bob")).await, None);
    let unknown = OrderId::new(shop.lane.clone(), shop.tail());
    assert!(shop.engine().order(&unknown, None).await.unwrap().is_none());
}

#[tokio::test]
async fn an_unpaid_order_is_cancelled_once_and_its_units_return() {
    let shop = Shop::open(1).await;
    let order = shop.ordered("ann").await;
    assert_eq!(shop.engine().cancel(&order.id, &user("bob")).await.unwrap(), Cancelled::NotFound);
    let unknown = OrderId::new(shop.lane.clone(), shop.tail());
    assert_eq!(shop.engine().cancel(&unknown, &user("ann")).await.unwrap(), Cancelled::NotFound);
    for _ in 0..2 {
        let Cancelled::Done(view) = shop.engine().cancel(&order.id, &user("ann")).await.unwrap() else {
            panic!()
        };
        assert_eq!(view.state, OrderState::Cancelled);
        assert_eq!(shop.counters().await, [1, 0, 0, 0]);
        assert_eq!(shop.view().await.outbox, 2);
    }
    // The shopper may buy again; the old reservation stays with its order.
    let again = shop.ordered("ann").await;
    assert_ne!(again.id, order.id);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_paid_order_can_not_be_cancelled() {
    let shop = Shop::open(1).await;
    let payment = shop.paying("ann").await;
    shop.settled(&payment, PaymentOutcome::Succeeded).await;
    let answer = shop.engine().cancel(&payment.order, &user("ann")).await.unwrap();
    assert_eq!(answer, Cancelled::Conflict(OrderState::Paid));
    assert_eq!(shop.counters().await, [0, 0, 0, 1]);
    shop.assert_sound().await;
}

#[tokio::test]
async fn a_shopper_pays_the_price_of_their_hold_although_it_changes_meanwhile() {
    for mode in [Mode::Queued, Mode::Instant] {
        let shop = Shop::with(9, |terms| terms.mode = mode).await;
        let mut terms = Terms { mode, ..terms() };
        let mut holds = Vec::new();
        for (version, price) in [PRICE, PRICE - 100, PRICE + 50, PRICE].into_iter().enumerate() {
            terms.version = 2 + version as u64;
            terms.price.amount = price;
            shop.engine().revise(&shop.lane, &terms).await.unwrap();
            for number in 0..2 {
                let name = format!("user-{version}-{number}");
                let id = match shop.reserve(&name, 1).await {
                    Reserved::Queued { id, .. } | Reserved::Held { id, .. } => id,
                    other => panic!("{other:?}"),
                };
                shop.grant().await;
                assert_eq!(shop.poll(&id, &name).await.pace.position, 0, "a hold has no place in the queue");
                holds.push((id, name, price));
            }
        }
        for (_, record) in records(&shop.redis, &shop.keys.reservations()).await {
            assert!(record.len() <= 30, "{record}");
        }
        shop.assert_sound().await;
        for (id, name, price) in &holds {
            assert_eq!(shop.checked_out(id, name).await.unit_price.amount, *price, "{name}");
        }
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn an_erased_contact_is_gone_for_good_and_the_order_goes_on() {
    let shop = Shop::open(3).await;
    let (ann, bob) = (shop.ordered("ann").await, shop.ordered("bob").await);
    let erase = async |orders: &[&OrderId]| {
        let orders: Vec<OrderId> = orders.iter().map(|order| (*order).clone()).collect();
        shop.engine().erase_contacts(&shop.lane, &orders).await.unwrap()
    };
    let unknown = ReservationId::new(shop.lane.clone(), shop.tail()).order();
    assert_eq!((erase(&[&ann.id, &unknown]).await, erase(&[&ann.id]).await), (1, 0));
    let shown = async |order| shop.engine().order(order, None).await.unwrap().unwrap().1;
    assert!(shown(&ann.id).await.is_none() && shown(&bob.id).await == Some(contact()));
    assert_eq!(
        records(&shop.redis, &shop.keys.details()).await.len(),
        2,
        "an unknown order leaves no record"
    );
    // Neither the event that waits nor a later one brings it back.
    let told = shop.engine().read_outbox(&shop.lane, 10).await.unwrap();
    assert!(told[0].contact.is_none() && told[1].contact == Some(contact()));
    shop.engine().cancel(&ann.id, &user("ann")).await.unwrap();
    assert!(shown(&ann.id).await.is_none());
    shop.assert_sound().await;
}
