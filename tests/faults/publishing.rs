//! Every call of an operator that takes several steps, cut off after each of its commands to Redis.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{Item, ItemTerms, Proxy, Request, Response, Seller, Weather, World, eventually};

/// More commands than any call sends.
const MOST_COMMANDS: usize = 40;

/// What shoppers and operators can see of an item.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    state: String,
    /// What shoppers are told; nothing while it is a draft.
    public_state: Option<String>,
    price: i64,
    total: i64,
}

fn amount(document: &Value, name: &str) -> i64 {
    document[name]["amount"].as_i64().unwrap_or_else(|| panic!("no `{name}` in {document}"))
}

async fn see(world: &World, item: &Item) -> Seen {
    let document =
        world.seller().client().get(&format!("/api/admin/items/{}", item.id)).insist().await.expect(200);
    let public = world.client().get(&format!("/api/items/{}", item.id)).insist().await;
    let state = |document: &Value| document["state"].as_str().unwrap().to_owned();
    Seen {
        state: state(&document),
        public_state: (public.status == 200).then(|| state(&public.json())),
        price: amount(&document, "sale_price"),
        total: document["stock"]["total"].as_i64().unwrap(),
    }
}

/// The markers of documents that have not reached their lanes.
async fn markers(world: &World) -> i64 {
    world.redis.command(&["SCARD", "{catalogue}:unfinished"]).await
}

async fn shop() -> World {
    World::builder()
        .unchecked()
        // Nothing else sends commands, and nothing but the tick finishes what died.
        .without_doorbells()
        .with_redis_behind(Proxy::start().await)
        .start()
        .await
}

/// Sends a request whose host loses Redis after `commands` commands, and heals the network. The response, if it came.
async fn cut_off(world: &World, commands: usize, request: Request) -> Option<Response> {
    let network = world.way_to_redis.as_ref().unwrap();
    network.cut_after(commands);
    let response = request.try_send().await.ok();
    network.set(Weather::Fine);
    response
}

/// Cuts `call` off after every number of commands, each time on a new item, until it gets through. `check` looks at what a
/// tick made of it, and is told whether the call was confirmed. Returns how often the call was cut off.
async fn at_every_step(
    world: &mut World,
    terms: &ItemTerms,
    is_published: bool,
    call: impl AsyncFn(&Seller, &Item) -> Request,
    check: impl AsyncFn(&World, &Item, usize),
) -> usize {
    for commands in 0..MOST_COMMANDS {
        let seller = world.seller();
        let item = if is_published { seller.publish(terms).await } else { seller.draft(terms).await };
        let request = call(&seller, &item).await;
        let response = cut_off(world, commands, request).await;
        let is_confirmed = response.as_ref().is_some_and(|response| response.status == 200);
        if !is_confirmed {
            if let Some(response) = response {
                response.expect_problem(503, "unavailable");
            }
            // The host that died comes back, and remembers nothing.
            world.host.restart().await;
        }
        world.seller().tick().await;
        assert_eq!(markers(world).await, 0, "a tick finishes what died after {commands} commands");
        check(world, &item, commands).await;
        if is_confirmed {
            return commands;
        }
    }
    panic!("the call sends more than {MOST_COMMANDS} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_that_dies_after_any_command_leaves_a_draft_or_an_open_item() {
    let mut world = shop().await;
    let cut = at_every_step(
        &mut world,
        &ItemTerms::of(5).instant(),
        false,
        async |seller, item| seller.client().post(&format!("/api/admin/items/{}/publish", item.id)),
        async |world, item, commands| {
            // What shoppers are told may be a second old.
            let what = format!("a draft or an open item after {commands} commands");
            let seen = eventually(&what, Duration::from_secs(10), async || {
                let seen = see(world, item).await;
                let is_draft = seen.state == "draft" && seen.public_state.is_none();
                let is_open = seen.state == "open" && seen.public_state.as_deref() == Some("open");
                (is_draft || is_open).then_some(seen)
            })
            .await;
            // The same call again brings it to the new state.
            let seller = world.seller();
            seller.order(item, "publish").await.expect(200);
            let order = world.shopper().await.order(item).await;
            assert_eq!((amount(&order, "unit_price"), seen.total), (39_900, 5));
            seller.audit(item).await;
        },
    )
    .await;
    assert!(cut >= 5, "the call was cut off {cut} times only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_dies_after_any_command_leaves_one_price_for_document_and_shoppers() {
    let mut world = shop().await;
    let terms = ItemTerms::of(5).instant();
    let cut = at_every_step(
        &mut world,
        &terms,
        true,
        async |seller, item| {
            let path = format!("/api/admin/items/{}", item.id);
            let document = seller.client().get(&path).insist().await;
            let mut body = terms.body();
            body["sale_price"]["amount"] = json!(29_900);
            let version = document.header("etag").unwrap().to_owned();
            seller.client().put(&path).header("if-match", &version).json(&body)
        },
        async |world, item, commands| {
            let seen = see(world, item).await;
            assert!([39_900, 29_900].contains(&seen.price), "after {commands} commands: {seen:?}");
            let order = world.shopper().await.order(item).await;
            assert_eq!(amount(&order, "unit_price"), seen.price, "after {commands} commands");
            world.seller().audit(item).await;
        },
    )
    .await;
    assert!(cut >= 4, "the call was cut off {cut} times only");
}

#[tokio::test(flavor = "multi_thread")]
async fn restocking_pausing_and_closing_that_die_after_any_command_have_happened_or_not() {
    let mut world = shop().await;
    for (verb, body, before, after) in [
        ("stock", json!({ "total": 9 }), ("open", 5), ("open", 9)),
        ("pause", json!({}), ("open", 5), ("paused", 5)),
        ("close", json!({}), ("open", 5), ("ended", 5)),
    ] {
        let request = async |seller: &Seller, item: &Item| {
            let request = seller.client().post(&format!("/api/admin/items/{}/{verb}", item.id));
            if verb == "stock" { request.json(&body) } else { request }
        };
        let cut =
            at_every_step(&mut world, &ItemTerms::of(5), true, request, async |world, item, commands| {
                let seen = see(world, item).await;
                let found = (seen.state.as_str(), seen.total);
                assert!(found == before || found == after, "{verb} after {commands} commands: {seen:?}");
                // The same call again brings it to the new state. Closing what is closed is refused.
                let again = request(&world.seller(), item).await.send().await;
                assert!(again.status == 200 || verb == "close" && again.status == 409, "{again}");
                let seen = see(world, item).await;
                assert_eq!((seen.state.as_str(), seen.total), after, "{verb} after {commands} commands");
                world.seller().audit(item).await;
            })
            .await;
        assert!(cut >= 1, "{verb} was cut off {cut} times only");
    }
}
