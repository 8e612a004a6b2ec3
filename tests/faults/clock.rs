use serde_json::{Value, json};
use stampede_tests::{Counters, Item, ItemTerms, Shopper, World, crowd};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const HOUR: i64 = 3600;

/// How far a time in a response is from now, in seconds.
fn seconds_from_now(response: &Value, name: &str) -> f64 {
    let text = response[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {response}"));
    let moment = OffsetDateTime::parse(text, &Rfc3339).expect("times are RFC 3339");
    (moment - OffsetDateTime::now_utc()).as_seconds_f64()
}

/// Sells one unit, lets another come back, and looks at every time that a shopper is told.
async fn sell_with_clock_off_by(offset: i64) {
    let (world, item) = World::builder().with_clock_off_by(offset).set("hold_seconds", 3).selling(2).await;
    let seller = world.seller();

    // A session shows that the host's clock really is wrong: only this machine checks sessions.
    let session = world.client().post("/api/session").send().await.expect(201);
    let right_host = world.start_host_with_clock_off_by(0).await;
    let right = world.client().at(&right_host.base()).post("/api/session").send().await.expect(201);
    drop(right_host);
    let error = seconds_from_now(&session, "expires_at") - seconds_from_now(&right, "expires_at");
    assert!((error - offset as f64).abs() < 60.0, "the clock is off by {error} s, not by {offset}");

    // What opens or ends within the hour is not open early and not ended late.
    let early = seller.publish(&ItemTerms::of(1).between(1800.0, 3600.0)).await;
    let late = seller.publish(&ItemTerms::of(1).between(-3600.0, -1800.0)).await;
    let shopper = world.shopper().await;
    shopper.ask_challenge(&early).await.expect_problem(403, "not-started");
    shopper.ask_challenge(&late).await.expect_problem(410, "ended");
    let shown = world.client().get(&format!("/api/items/{}", item.id)).send().await.expect(200);
    assert!(seconds_from_now(&shown, "server_time").abs() < 10.0, "{shown}");

    let mut body = shopper.solved_challenge(&item).await.unwrap();
    body["quantity"] = json!(1);
    let held = shopper.result(&shopper.ask_reservation(&item, &body).await.expect(202)).await;
    let left = seconds_from_now(&held, "hold_expires_at");
    assert!(left > -10.0 && left < 4.0, "a hold of three seconds ends in {left}");
    // The used challenge is remembered as long as it can be shown again.
    shopper.give_back(&held).await.expect(204);
    shopper.ask_reservation(&item, &body).await.expect_problem(422, "challenge-failed");

    let order = shopper.checkout(&shopper.hold(&item).await).await.expect(201);
    assert!(seconds_from_now(&order, "created_at").abs() < 10.0, "{order}");
    // Nobody buys the other unit, so it comes back by itself, on time.
    let idle = world.shopper().await;
    let hold = idle.hold(&item).await;
    idle.wait_for_state(&hold, "expired").await;
    seller.expect_counters(&item, Counters::ordered(2, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_ahead_the_host_sells_as_ever() {
    sell_with_clock_off_by(HOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_behind_the_host_sells_as_ever() {
    sell_with_clock_off_by(-HOUR).await;
}

/// A challenge lives two minutes. A challenge that a host gave an hour ago by its own clock is late at every other host.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_challenge_buys_nothing_and_still_shows_what_one_has() {
    let world = World::start().await;
    let an_hour_ago = world.start_host_with_clock_off_by(-HOUR).await;
    let item = world.seller().publish(&ItemTerms::of(5)).await;
    let shopper = Shopper::arrive(&world.client()).await;

    let mut late = shopper.at(&an_hour_ago.base()).solved_challenge(&item).await.unwrap();
    late["quantity"] = json!(1);
    shopper.ask_reservation(&item, &late).await.expect_problem(422, "challenge-failed");

    let held = shopper.hold(&item).await;
    let again = shopper.ask_reservation(&item, &late).await.expect(200);
    assert_eq!(again["id"], held["id"]);
}

/// A shopper whom the host with the wrong clock refuses succeeds with one more try. No unit is sold twice meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn three_hosts_an_hour_apart_sell_no_unit_twice() {
    let world = World::builder().unchecked().start().await;
    let ahead = world.start_host_with_clock_off_by(HOUR).await;
    let behind = world.start_host_with_clock_off_by(-HOUR).await;
    let bases = [world.host.base(), ahead.base(), behind.base()];
    let seller = world.seller();
    let item = seller.publish(&ItemTerms::of(20)).await;

    let results = crowd(60, 30, |number| {
        let (item, bases, client) = (item.clone(), bases.clone(), world.client());
        async move {
            let shopper = Shopper::arrive(&client.at(&bases[number % 3])).await;
            // Challenge, reservation and polls each at another host.
            try_everywhere(&shopper, &item, &bases, number).await
        }
    })
    .await;
    let held = results.iter().filter(|state| *state == "held").count();
    assert_eq!(held, 20, "{results:?}");
    assert!(results.iter().all(|state| state == "held" || state == "sold_out"), "{results:?}");
    seller.expect_counters(&item, Counters::held(20, 20)).await;
}

/// Tries until the wish is decided, with each request at the next host. Returns the reservation's state, or `sold_out`
/// when the shop says so at once.
async fn try_everywhere(shopper: &Shopper, item: &Item, bases: &[String; 3], number: usize) -> String {
    for attempt in number..number + 60 {
        let at = |step: usize| shopper.at(&bases[(attempt + step) % 3]);
        let mut body = match at(0).solved_challenge(item).await {
            Ok(body) => body,
            Err(refusal) if refusal.slug().as_deref() == Some("sold-out") => return "sold_out".to_owned(),
            Err(refusal) => panic!("{refusal}"),
        };
        body["quantity"] = json!(1);
        let response = at(1 + attempt / 3).ask_reservation(item, &body).await;
        match (response.status, response.slug().as_deref()) {
            (200..=202, _) => {
                let result = at(2).result(&response.json()).await;
                return result["state"].as_str().expect("a state").to_owned();
            }
            (410, Some("sold-out")) => return "sold_out".to_owned(),
            // The host that checked it has a clock by which it is too old or too young.
            (422, Some("challenge-failed")) => {}
            _ => panic!("{response}"),
        }
    }
    panic!("no host took the challenge of any host")
}
