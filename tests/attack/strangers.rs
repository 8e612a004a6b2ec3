use reqwest::Method;
use serde_json::{Value, json};
use stampede_tests::{Client, Counters, ItemTerms, Response, World};

/// The content of a response, without the parts that differ between any two responses.
fn told(response: &Response) -> (u16, Value, Vec<String>) {
    let mut body = response.json();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    let mut names: Vec<String> = response.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (response.status, body, names)
}

/// Everything that can be done with an id of this kind.
fn calls(prefix: &str) -> Vec<(Method, &'static str, Option<Value>)> {
    let contact = json!({ "contact": "c", "address": "a", "note": "" });
    match prefix {
        "r" => vec![
            (Method::GET, "/api/reservations/{}", None),
            (Method::DELETE, "/api/reservations/{}", None),
            (Method::POST, "/api/reservations/{}/checkout", Some(contact)),
            (Method::POST, "/api/reservations/{}/checkout", Some(json!({ "contact": 1 }))),
        ],
        _ => vec![
            (Method::GET, "/api/orders/{}", None),
            (Method::GET, "/api/orders/{}/item", None),
            (Method::POST, "/api/orders/{}/cancel", None),
            (Method::POST, "/api/orders/{}/payments", None),
        ],
    }
}

async fn act(client: &Client, call: &(Method, &'static str, Option<Value>), id: &str) -> Response {
    let (method, template, body) = call;
    let request = client.request(method.clone(), &template.replace("{}", id));
    match body {
        Some(body) => request.json(body).send().await,
        None => request.send().await,
    }
}

/// The id with other characters at its end: of the same item, and of no shopper.
fn unknown(id: &str) -> String {
    format!("{}{}", &id[..id.len() - 4], if id.ends_with("2222") { "3333" } else { "2222" })
}

#[tokio::test]
async fn ids_of_other_shoppers_are_not_found_exactly_like_ids_that_never_were() {
    let world = World::start().await;
    let seller = world.seller();
    let (victim, stranger) = (world.shopper().await, world.shopper().await);
    let (kept, bought, cancelled) = (
        seller.publish(&ItemTerms::of(5)).await,
        seller.publish(&ItemTerms::of(5)).await,
        seller.publish(&ItemTerms::of(5)).await,
    );
    let held = victim.hold(&kept).await;
    let (ordered, given_up) = (victim.hold(&bought).await, victim.hold(&cancelled).await);
    let order = victim.checkout(&ordered).await.expect(201);
    let payment = victim.client().post(&format!("/api/orders/{}/payments", order["id"].as_str().unwrap()));
    payment.send().await.expect(201);
    let gone = victim.checkout(&given_up).await.expect(201);
    let cancel = format!("/api/orders/{}/cancel", gone["id"].as_str().unwrap());
    victim.client().post(&cancel).send().await.expect(200);
    // The stranger may buy the item; only the id is not theirs.
    stranger.hold(&bought).await;

    let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
    for id in [text(&held), text(&ordered), text(&given_up), text(&order), text(&gone)] {
        for call in calls(&id[..1]) {
            let theirs = act(stranger.client(), &call, &id).await;
            let nobody_s = act(stranger.client(), &call, &unknown(&id)).await;
            assert_eq!(told(&theirs), told(&nobody_s), "{theirs}\n{nobody_s}");
            assert!(matches!(theirs.status, 404 | 422), "{theirs}");
            // A caller without a session learns nothing at all.
            let client = world.client();
            for id in [&id, &unknown(&id)] {
                let response = act(&client, &call, id).await;
                assert_eq!(response.status, 401, "{response}");
            }
        }
        // Ids of the other kind, and spellings of an id that are not the id.
        let twin = format!("{}{}", if id.starts_with('r') { "o" } else { "r" }, &id[1..]);
        for call in calls(&twin[..1]) {
            let response = act(stranger.client(), &call, &twin).await;
            assert!(matches!(response.status, 404 | 422), "{response}");
        }
        for other in [id.to_uppercase(), format!("{id}-1"), format!("{id}%00"), id.replace("-0-", "-00-")] {
            for call in calls(&id[..1]) {
                let response = act(victim.client(), &call, &other).await;
                assert!(matches!(response.status, 404 | 422), "{other}: {response}");
            }
        }
    }

    // Nothing happened to any of it.
    assert_eq!(victim.look(&held).await.expect(200)["state"], "held");
    let path = format!("/api/orders/{}", text(&order));
    let order = victim.client().get(&path).send().await.expect(200);
    assert_eq!(
        (&order["state"], &order["contact"]),
        (&json!("unpaid"), &json!("Li Ming, +86 138 0000 0000"))
    );
    seller.expect_counters(&kept, Counters::held(5, 1)).await;
    assert_eq!(victim.orders().await.len(), 2);
    assert_eq!(stranger.orders().await, Vec::<Value>::new());
    // And no parameter makes the list show the orders of another shopper.
    for query in ["user_id=", "user=", "sub=", "id="] {
        let path = format!("/api/orders?{query}{}", victim.user_id());
        stranger.client().get(&path).send().await.expect_problem(422, "invalid");
    }
}
