use std::time::Duration;

use stampede_tests::{Counters, World};

use super::chromium::Chromium;

/// Proof of work, so that nobody has to read a picture; hard enough that its step can be seen.
pub fn world() -> stampede_tests::WorldBuilder {
    World::builder().set("captcha_difficulty", 16)
}

/// Reserves on the item's page, which is open, until the unit is held. The challenge solves itself.
pub async fn reserve(browser: &Chromium) {
    browser.wait_for_step(&["ready"]).await;
    browser.click("#reserve").await;
    browser.wait_for_step(&["held"]).await;
}

pub async fn fill_in(browser: &Chromium) {
    browser.write("#contact", "+86 138 0000 0000").await;
    browser.write("#address", "1 Racecourse Road, Chengdu").await;
    browser.write("#note", "EU 42").await;
}

#[tokio::test]
async fn an_item_is_bought_by_clicks_from_the_list_to_an_order_in_the_database() {
    let (world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;

    browser.open(&world.host.base()).await;
    browser.find(&format!("[data-item='{}']", item.id)).await;
    browser.picture("list").await;
    browser.click(&format!("[data-item='{}']", item.id)).await;
    browser.wait_for_step(&["ready"]).await;
    assert!(browser.url().await.ends_with(&format!("/items/{}", item.id)));
    browser.picture("item").await;
    reserve(&browser).await;
    browser.picture("held").await;
    fill_in(&browser).await;
    browser.click("#checkout").await;
    browser.wait_for_step(&["ordered"]).await;
    let order_id = browser.text("#order-id").await;
    browser.picture("ordered").await;

    let rows = world.recorded_orders(1, Duration::from_secs(10)).await;
    assert_eq!(rows[0].id, order_id);
    seller.expect_counters(&item, Counters::ordered(3, 1)).await;

    browser.open(&format!("{}/orders", world.host.base())).await;
    browser.find(&format!("a[href='/orders/{order_id}']")).await;
    browser.picture("orders").await;
}

#[tokio::test]
async fn a_reload_at_each_step_loses_nothing() {
    let (world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;

    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    browser.wait_for_step(&["ready"]).await;
    browser.reload().await;
    browser.wait_for_step(&["ready"]).await;
    // The reload comes in the middle of the challenge or of the wait.
    browser.click("#reserve").await;
    browser.reload().await;
    if browser.wait_for_step(&["ready", "held"]).await == "ready" {
        browser.click("#reserve").await;
        browser.wait_for_step(&["queued", "held"]).await;
        browser.reload().await;
        browser.wait_for_step(&["held"]).await;
    }
    fill_in(&browser).await;
    browser.reload().await;
    browser.wait_for_step(&["held"]).await;
    assert_eq!(browser.value("#address").await, "1 Racecourse Road, Chengdu");
    assert_eq!(browser.value("#contact").await, "+86 138 0000 0000");
    browser.click("#checkout").await;
    browser.reload().await;
    // The reload may come before or after the order is made; the shopper goes on either way.
    if browser.wait_for_step(&["held", "ordered"]).await == "held" {
        fill_in(&browser).await;
        browser.click("#checkout").await;
    }
    browser.wait_for_step(&["ordered"]).await;
    let order_id = browser.text("#order-id").await;
    browser.reload().await;
    browser.wait_for_step(&["ordered"]).await;
    assert_eq!(browser.text("#order-id").await, order_id);
    seller.expect_counters(&item, Counters::ordered(3, 1)).await;
}

#[tokio::test]
async fn the_page_goes_on_although_the_host_is_killed_at_each_step() {
    let (mut world, item) = world().selling(3).await;
    let seller = world.seller();
    let browser = Chromium::start().await;

    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    browser.wait_for_step(&["ready"]).await;

    // The host is dead when the shopper clicks: the page asks again until it gets a response.
    world.host.kill9();
    browser.click("#reserve").await;
    world.host.restart().await;
    browser.wait_for_step(&["challenge", "queued", "held"]).await;
    // The host is dead while the page solves the challenge or waits for the result.
    world.host.kill9();
    world.host.restart().await;
    if browser.wait_for_step(&["held", "ready"]).await == "ready" {
        reserve(&browser).await;
    }

    fill_in(&browser).await;
    world.host.kill9();
    browser.click("#checkout").await;
    world.host.restart().await;
    browser.wait_for_step(&["ordered"]).await;
    seller.expect_counters(&item, Counters::ordered(3, 1)).await;
    browser.picture("after-kills").await;
}
