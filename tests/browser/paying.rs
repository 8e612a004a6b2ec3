use std::time::Duration;

use serde_json::Value;
use stampede_tests::{Counters, Item, World, eventually, orders_in};

use super::chromium::Chromium;
use super::purchase::{fill_in, reserve, world};

/// Buys on the item's page up to the order; the order's id.
async fn order(browser: &Chromium, world: &World, item: &Item) -> String {
    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    reserve(browser).await;
    fill_in(browser).await;
    browser.click("#checkout").await;
    browser.wait_for_step(&["ordered"]).await;
    browser.text("#order-id").await
}

/// From the order to the provider's page.
async fn go_to_pay(browser: &Chromium) {
    browser.click("#pay").await;
    browser.wait_for_step(&["open"]).await;
    assert!(browser.url().await.contains("/pay/p-"), "{}", browser.url().await);
}

/// Chooses how the payment goes, and waits until the browser is back at the order.
async fn choose(browser: &Chromium, world: &World, outcome: &str, order_id: &str) {
    browser.click(&format!("button[value='{outcome}']")).await;
    let url = format!("{}/orders/{order_id}", world.host.base());
    eventually("the browser is back at the order", Duration::from_secs(60), async || {
        (browser.url().await == url).then_some(())
    })
    .await;
}

async fn payments_of(world: &World, order_id: &str) -> usize {
    let keys: Vec<String> = world.redis.command(&["HKEYS", "{provider}:payments"]).await;
    keys.iter().filter(|key| key.starts_with(&order_id.replacen('o', "p", 1))).count()
}

#[tokio::test]
async fn a_shopper_pays_and_comes_back_to_an_order_that_is_paid() {
    let (world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;
    let order_id = order(&browser, &world, &item).await;

    // However often the shopper presses it, there is one payment.
    browser.run("const pay = document.querySelector('#pay'); pay.click(); pay.click(); pay.click()").await;
    browser.wait_for_step(&["open"]).await;
    assert_eq!(browser.text("#amount").await, "¥399.00");
    assert_eq!(browser.text("#order").await, order_id);
    browser.picture("pay").await;
    // The rest of it on a phone.
    browser.shrink().await;
    browser.picture("pay-phone").await;
    // Nothing is wider than a phone.
    let overhang = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
    assert!(overhang.as_i64().unwrap() <= 0, "{overhang}");
    // Back without having paid, the order waits for its payment and says so.
    browser.back().await;
    browser.wait_for_step(&["ordered"]).await;
    browser.find("#pay-awaited").await;
    go_to_pay(&browser).await;
    assert_eq!(payments_of(&world, &order_id).await, 1);

    // By keyboard alone.
    browser.run("document.querySelector('button[value=succeeded]').focus()").await;
    browser.press("\u{E007}").await;
    browser.wait_for_step(&["paid"]).await;
    assert_eq!(browser.url().await, format!("{}/orders/{order_id}", world.host.base()));
    browser.picture("paid").await;
    browser.reload().await;
    browser.wait_for_step(&["paid"]).await;
    // The back button leads to the provider's page, which leads back by itself. Where the browser kept the page as it was,
    // a second choice changes nothing.
    browser.back().await;
    if browser.wait_for_step(&["open", "delivered"]).await == "open" {
        browser.click("button[value='failed']").await;
    }
    browser.wait_for_step(&["paid"]).await;

    let state = world.state_folder();
    eventually("the database says paid", Duration::from_secs(20), async || {
        orders_in(state).iter().all(|row| row.id == order_id && row.state == "paid").then_some(())
    })
    .await;
    seller.expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2)).await;
}

#[tokio::test]
async fn a_payment_that_failed_is_tried_again() {
    let (world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;
    let order_id = order(&browser, &world, &item).await;

    go_to_pay(&browser).await;
    choose(&browser, &world, "failed", &order_id).await;
    browser.find("#pay-failed").await;
    assert!(browser.text("#pay").await.starts_with("Try again"));
    browser.picture("pay-failed").await;
    browser.reload().await;
    browser.find("#pay-failed").await;
    // On the item's page it is the same order.
    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    browser.find("#pay-failed").await;

    go_to_pay(&browser).await;
    assert_eq!(payments_of(&world, &order_id).await, 2);
    choose(&browser, &world, "succeeded", &order_id).await;
    browser.wait_for_step(&["paid"]).await;
    assert_eq!(browser.run("return document.querySelector('#pay-failed')").await, Value::Null);
    seller.expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2)).await;
}

#[tokio::test]
async fn a_shopper_who_pays_after_the_deadline_is_told_that_the_money_comes_back() {
    // Time enough for a slow browser to get to the provider's page.
    let (world, item) = world().set("pay_seconds", 30).selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;
    let order_id = order(&browser, &world, &item).await;

    go_to_pay(&browser).await;
    browser.click("button[value='late']").await;
    browser.wait_for_step(&["due"]).await;
    browser.picture("pay-late").await;
    browser.click("#back").await;
    // The page of the order shows that the deadline has passed, and then that the money came too late.
    browser.wait_for_step(&["unpaid", "timed_out", "refund_due"]).await;
    browser.wait_for_step(&["refund_due"]).await;
    assert_eq!(browser.text("#order-id").await, order_id);
    assert!(browser.text(".verdict p").await.contains("You get all of it back"));
    browser.picture("refund-due").await;
    seller.expect_counters(&item, Counters::untouched(3)).await;
    let refund = format!("/api/admin/orders/{order_id}/refund");
    seller.client().post(&refund).send().await.expect(200);
    browser.reload().await;
    browser.wait_for_step(&["refunded"]).await;
}

#[tokio::test]
async fn a_payment_goes_on_although_the_host_is_killed_around_it() {
    let (mut world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;
    let order_id = order(&browser, &world, &item).await;

    // The host is dead when the shopper clicks: the page asks again until it gets a response.
    world.host.kill9();
    browser.click("#pay").await;
    world.host.restart().await;
    browser.wait_for_step(&["open"]).await;
    choose(&browser, &world, "succeeded", &order_id).await;
    // The host is dead while the order's page asks how the payment went.
    world.host.kill9();
    world.host.restart().await;
    browser.wait_for_step(&["paid"]).await;
    seller.expect_counters(&item, Counters { sold: 1, ..Counters::untouched(3) }.with_available(2)).await;
}
