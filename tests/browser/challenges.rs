use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stampede_tests::{Counters, Item, ItemTerms, Outsider, Question, Reply, World, eventually, read_picture};

use super::chromium::Chromium;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const SHIFT_TAB: &str = "\u{e008}\u{e004}";

/// Opens the item's page and keeps each challenge that the page gets where a test finds it.
async fn open(browser: &Chromium, world: &World, item: &Item) {
    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    browser.wait_for_step(&["ready"]).await;
    keep_challenges(browser).await;
}

async fn keep_challenges(browser: &Chromium) {
    browser
        .run(
            "const send = window.fetch;
             window.challenges = [];
             window.fetch = async (...request) => {
               const answer = await send(...request);
               if (String(request[0]).endsWith('/challenges') && answer.ok)
                 window.challenges.push(await answer.clone().json());
               return answer;
             };",
        )
        .await;
}

/// The `number`-th challenge that the page got, from 1, once it is shown.
async fn shown(browser: &Chromium, number: usize) -> Value {
    eventually(&format!("challenge {number} is shown"), Duration::from_secs(60), async || {
        let script = format!(
            "const challenge = window.challenges[{number} - 1];
             const kind = document.querySelector('.challenge')?.dataset.kind;
             const picture = document.querySelector('#challenge-image');
             const isShown = challenge && kind === challenge.kind && !document.body.dataset.busy
               && (kind !== 'image' || picture.getAttribute('src') === challenge.image);
             return isShown ? challenge : null;"
        );
        let challenge = browser.run(&script).await;
        (!challenge.is_null()).then_some(challenge)
    })
    .await
}

async fn picture_world() -> World {
    World::builder().set("captcha_kind", "image").start().await
}

#[tokio::test]
async fn a_picture_is_read_and_solved_by_keyboard_alone() {
    let (world, item) =
        World::builder().set("captcha_kind", "image").set("captcha_difficulty", 4).selling(3).await;
    let browser = Chromium::start().await;
    open(&browser, &world, &item).await;
    browser.run("document.querySelector('#reserve').focus()").await;
    browser.press(ENTER).await;
    shown(&browser, 1).await;

    // The field has the focus and a name, and the picture says that it is one.
    assert_eq!(browser.focused().await, "challenge-answer");
    let names = browser
        .run(
            "const input = document.querySelector('#challenge-answer');
             const picture = document.querySelector('#challenge-image');
             const described = input.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id));
             return [input.labels[0].textContent, picture.alt, String(picture.naturalWidth > 100),
               document.querySelector('#challenge-refresh').getAttribute('aria-label'), described[0].textContent];",
        )
        .await;
    for name in names.as_array().unwrap() {
        assert!(name.as_str().is_some_and(|text| !text.is_empty() && text != "false"), "{names}");
    }

    // With nothing typed, the page says so and sends nothing.
    browser.press(ENTER).await;
    assert!(!browser.text("#challenge-missing").await.is_empty());
    // After a wrong solution the page says so and shows a new picture, with the focus in the field.
    browser.press("999999").await;
    browser.press(ENTER).await;
    shown(&browser, 2).await;
    assert!(!browser.text(".challenge .hint").await.is_empty());
    assert_eq!(browser.focused().await, "challenge-answer");
    // The shopper may ask for another picture.
    browser.press(SHIFT_TAB).await;
    assert_eq!(browser.focused().await, "challenge-refresh");
    browser.press(ENTER).await;
    let challenge = shown(&browser, 3).await;
    assert_eq!(browser.focused().await, "challenge-answer");

    let solution = read_picture(world.session_secret(), challenge["challenge"].as_str().unwrap());
    browser.press(&solution.to_lowercase()).await;
    browser.press(ENTER).await;
    browser.wait_for_step(&["held"]).await;
}

#[tokio::test]
async fn a_shopper_who_cannot_see_the_picture_lets_the_device_work_instead() {
    let world = picture_world().await;
    let item = world.seller().publish(&ItemTerms::of(3)).await;
    let browser = Chromium::start().await;
    open(&browser, &world, &item).await;
    browser.click("#reserve").await;
    shown(&browser, 1).await;
    // The tab key leads from the field to the button that sends, and to the one that offers another way.
    browser.press(TAB).await;
    browser.press(TAB).await;
    assert_eq!(browser.focused().await, "challenge-alternative");
    browser.press(ENTER).await;
    browser.wait_for_step(&["held"]).await;
    let kinds = browser.run("return window.challenges.map((challenge) => challenge.kind)").await;
    assert_eq!(kinds, json!(["image", "pow"]));
}

#[tokio::test]
async fn the_page_lives_on_while_the_device_works() {
    // So hard that the device does not finish while we look.
    let (world, item) = World::builder().set("captcha_difficulty", 30).selling(3).await;
    let browser = Chromium::start().await;
    open(&browser, &world, &item).await;
    browser.run("window.beats = 0; setInterval(() => window.beats++, 20);").await;
    browser.click("#reserve").await;
    shown(&browser, 1).await;
    let progress = async || {
        let script = "const bar = document.querySelector('.challenge progress');
             return [bar.value, window.beats, bar.getAttribute('aria-label')];";
        browser.run(script).await
    };
    let first = progress().await;
    assert!(first[2].as_str().is_some_and(|name| !name.is_empty()), "{first}");
    eventually("the bar moves, and so does the page", Duration::from_secs(60), async || {
        let now = progress().await;
        let further = |at: usize| now[at].as_f64() > first[at].as_f64();
        (further(0) && further(1)).then_some(())
    })
    .await;
    browser.picture("challenge-work").await;
    // And the shopper can leave it.
    browser.run("document.querySelector('[data-action=cancel-challenge]').focus()").await;
    browser.press(ENTER).await;
    browser.wait_for_step(&["ready"]).await;
}

#[tokio::test]
async fn the_work_begins_at_the_start_before_the_shopper_presses_and_serves_them() {
    let world = World::builder().set("captcha_difficulty", 12).start().await;
    let browser = Chromium::start().await;
    // The browser has loaded a page and its modules, so the next page is there well before the start.
    browser.open(&world.host.base()).await;
    let item = world.seller().publish(&ItemTerms::of(3).between(10.0, 3600.0)).await;
    browser.open(&format!("{}/items/{}", world.host.base(), item.id)).await;
    browser.wait_for_step(&["upcoming"]).await;
    keep_challenges(&browser).await;
    browser.wait_for_step(&["ready"]).await;
    let asked = async || browser.run("return window.challenges.length").await;
    eventually("the page asks by itself", Duration::from_secs(30), async || {
        (asked().await == 1).then_some(())
    })
    .await;
    // Nothing is reserved for somebody who has not asked.
    assert_eq!(browser.step().await, "ready");
    world.seller().expect_counters(&item, Counters::untouched(3)).await;
    browser.click("#reserve").await;
    browser.wait_for_step(&["held"]).await;
    assert_eq!(asked().await, 1, "the work that was begun counts");
}

#[tokio::test]
async fn some_cores_share_the_work_and_one_stays_free_for_the_page() {
    let (world, item) = World::builder().set("captcha_difficulty", 14).selling(3).await;
    let browser = Chromium::start().await;
    open(&browser, &world, &item).await;
    browser
        .run(
            "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 4 });
             window.shares = [];
             const send = Worker.prototype.postMessage;
             Worker.prototype.postMessage = function (message) {
               window.shares.push([message.from, message.step]);
               return send.call(this, message);
             };",
        )
        .await;
    browser.click("#reserve").await;
    browser.wait_for_step(&["held"]).await;
    assert_eq!(browser.run("return window.shares").await, json!([[0, 3], [1, 3], [2, 3]]));
}

#[tokio::test]
async fn a_challenge_fits_a_phone() {
    let world = picture_world().await;
    let item = world.seller().publish(&ItemTerms::of(3)).await;
    let browser = Chromium::start().await;
    browser.shrink().await;
    open(&browser, &world, &item).await;
    browser.click("#reserve").await;
    shown(&browser, 1).await;
    browser.picture("challenge-phone").await;
    let measures = browser
        .run(
            "const box = (selector) => document.querySelector(selector).getBoundingClientRect();
             const [picture, refresh, send] = ['#challenge-image', '#challenge-refresh', '#challenge-submit'].map(box);
             return [document.documentElement.scrollWidth - innerWidth, picture.width, innerWidth - refresh.right,
               refresh.width, refresh.height, send.height];",
        )
        .await;
    let at = |index: usize| measures[index].as_f64().unwrap();
    assert!(at(0) <= 0.0, "the page scrolls sideways: {measures}");
    assert!(at(1) >= 180.0, "the picture is too small to read: {measures}");
    assert!(at(2) >= 0.0, "a button is off the screen: {measures}");
    assert!(at(3) >= 40.0 && at(4) >= 40.0 && at(5) >= 40.0, "too small for a thumb: {measures}");
}

#[tokio::test]
async fn the_work_is_seen_and_left_on_a_phone() {
    let (world, item) = World::builder().set("captcha_difficulty", 30).selling(3).await;
    let browser = Chromium::start().await;
    browser.shrink().await;
    open(&browser, &world, &item).await;
    browser.click("#reserve").await;
    shown(&browser, 1).await;
    browser.picture("challenge-work-phone").await;
    let measures = browser
        .run(
            "const box = (selector) => document.querySelector(selector).getBoundingClientRect();
             const [bar, leave] = ['.challenge progress', '[data-action=cancel-challenge]'].map(box);
             return [document.documentElement.scrollWidth - innerWidth, bar.width, innerWidth - bar.right, leave.height];",
        )
        .await;
    let at = |index: usize| measures[index].as_f64().unwrap();
    assert!(at(0) <= 0.0, "the page scrolls sideways: {measures}");
    assert!(at(1) >= 150.0 && at(2) >= 0.0, "the bar does not fit: {measures}");
    assert!(at(3) >= 40.0, "too small for a thumb: {measures}");
}

/// The smallest widget: a button that passes the challenge that the page gave it.
const WIDGET: &str = "window.turnstile = {
  render: (place, { sitekey, action, cData, callback }) => {
    const button = document.createElement('button');
    button.id = 'widget';
    button.textContent = sitekey;
    button.onclick = () => callback(`passed ${action} ${cData}`);
    place.append(button);
    return 'widget-1';
  },
  remove: () => {},
};";

fn judge(question: &Question) -> Reply {
    let response = question.body["response"].as_str().unwrap_or_default();
    let words: Vec<&str> = response.split(' ').collect();
    match words[..] {
        ["passed", action, cdata] => {
            Reply::Json(200, json!({ "success": true, "action": action, "cdata": cdata }))
        }
        _ => Reply::Json(200, json!({ "success": false, "error-codes": ["invalid-input-response"] })),
    }
}

#[tokio::test]
async fn a_hosted_widget_is_loaded_passed_and_tried_again_when_something_fails() {
    // First the browser can't load the script, then the service is down, then all is well.
    let (scripts, verdicts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let widget = Outsider::start(move |question| {
        if question.path == "/api.js" {
            match scripts.fetch_add(1, Ordering::SeqCst) {
                0 => Reply::Text(404, "gone"),
                _ => Reply::Text(200, WIDGET),
            }
        } else {
            match verdicts.fetch_add(1, Ordering::SeqCst) {
                0 => Reply::Text(500, "on fire"),
                _ => judge(question),
            }
        }
    })
    .await;
    let (world, item) = World::builder()
        .set("captcha_kind", "turnstile")
        .set("turnstile_site_key", "a-site-key")
        .set("turnstile_secret", "a-secret")
        .set("turnstile_script_url", widget.url("/api.js"))
        .set("turnstile_url", widget.url("/siteverify"))
        .set("turnstile_origin", widget.origin())
        .selling(3)
        .await;
    let browser = Chromium::start().await;
    open(&browser, &world, &item).await;
    browser.click("#reserve").await;
    browser.click("#challenge-retry").await;
    browser.find("#widget").await;
    browser.picture("challenge-widget").await;
    browser.click("#widget").await;
    // The page sends the same solution again by itself.
    browser.wait_for_step(&["held"]).await;
    let asked = widget.questions().iter().filter(|question| question.path == "/siteverify").count();
    assert_eq!(asked, 2);
}
