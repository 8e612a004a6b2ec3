//! The simulated payment provider. A person chooses on its page how a payment ends, and signed webhooks tell the shop.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /pay/{payment}` | the page; also sends webhooks that are due |
//! | `POST /pay/{payment}` | the choice, a form field `outcome`; it is stored first, and then the shop is told |
//! | `POST /pay/deliveries` | sends webhooks that are due; ticks and `reminder` call it |
//! | `GET /pay/page.css` | the page's look |
//!
//! Scripts `choose`, `claim` and `report` of the crate `provider-simulation`. The shop registers a payment's amount and
//! deadline (script `register`), and nothing about the shopper. No form field carries an amount. Anybody who knows a
//! payment's id may see and decide the payment. Nobody can guess the id, and only its shopper is told it.
//!
//! With `payment_provider=webhook` every route is `not-found` before anything else is looked at, and nothing is signed.
//! Problems: not-found, invalid, unsupported-media-type, method-not-allowed.

mod deliveries;
mod page;
mod words;

use provider_simulation::{Choice, Chosen, Delivery, SimulatedProvider, Standing};
use sale::Engine;
use sale::ids::PaymentId;
use web::http::query::Query;
use web::platform::random;
use web::shop::payment::PaymentProvider;
use web::{Caching, HeaderValue, Method, Problem, Request, Response, SharedRedis, StatusCode, header};
use words::Tongue;

const NO_PAGE: Problem = Problem::NotFound { what: "page" };
/// The page's own style and nothing else: no script, no foreign form, no frame.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

web::service!("simulated-provider", handle, settings: [
    LOG_REQUESTS,
    REDIS_URL,
    TRUST_PROXY,
    PAYMENT_PROVIDER,
    PAYMENT_WEBHOOK_SECRET,
]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    // This component can sign webhooks. In a shop that takes real money nobody may use it.
    if PaymentProvider::chosen().await? != PaymentProvider::Simulated {
        return Err(NO_PAGE);
    }
    match request.path().segments()[..] {
        ["pay", "page.css"] => {
            request.on("/pay/page.css", &[Method::GET])?;
            let css = HeaderValue::from_static("text/css; charset=utf-8");
            Ok(Response::bytes(StatusCode::OK, css, page::STYLE).caching(Caching::Public { seconds: 300 }))
        }
        ["pay", "deliveries"] => {
            request.on("/pay/deliveries", &[Method::POST])?;
            Ok(Response::ok(&deliveries::round(&provider()).await?))
        }
        ["pay", id] => {
            let method = request.on("/pay/:payment", &[Method::GET, Method::POST])?;
            let tongue = tongue(request)?;
            let Ok(id) = id.parse() else { return Ok(page::unknown(tongue)) };
            if method == Method::GET { show(id, tongue).await } else { choose(request, id, tongue).await }
        }
        _ => Err(NO_PAGE),
    }
}

fn provider() -> SimulatedProvider<SharedRedis> {
    SimulatedProvider::new(Engine::new(SharedRedis))
}

async fn show(id: PaymentId, tongue: Tongue) -> Result<Response, Problem> {
    let provider = provider();
    let Some(mut payment) = provider.payment(&id).await? else { return Ok(page::unknown(tongue)) };
    // A lost alarm may have left webhooks behind. A visit sends them, this payment's first.
    if payment.standing == Standing::Due && deliveries::deliver(&provider, Some(&id)).await?.is_some() {
        let Some(fresh) = provider.payment(&id).await? else { return Ok(page::unknown(tongue)) };
        payment = fresh;
    } else {
        deliveries::deliver(&provider, None).await?;
    }
    // Redis's clock, by which deadlines are set.
    Ok(page::of(&payment, tongue, provider.engine().time().await?))
}

/// Stores the choice and redirects. If the shop may know already, tells it and leads back to it; otherwise leads to a page
/// that waits.
async fn choose(request: &mut Request, id: PaymentId, tongue: Tongue) -> Result<Response, Problem> {
    let choice = choice(request).await?;
    let provider = provider();
    let payment = match provider.choose_outcome(&id, choice, &event_id()).await? {
        Chosen::Done(payment) | Chosen::Known(payment) => payment,
        Chosen::NotFound => return Ok(page::unknown(tongue)),
    };
    let told = payment.standing == Standing::Delivered
        || matches!(deliveries::deliver(&provider, Some(&id)).await, Ok(Some(Delivery::Delivered { .. })));
    let next = if told { page::order_path(&id) } else { page::path(&id, tongue) };
    Ok(Response::empty(StatusCode::SEE_OTHER).header(header::LOCATION, &next))
}

/// The one field of the form.
async fn choice(request: &mut Request) -> Result<Choice, Problem> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let media_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
    if !media_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(FORM)) {
        return Err(Problem::UnsupportedMediaType { expected: FORM });
    }
    let body = request.body().await?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::malformed("The body is not UTF-8"))?;
    let form = Query::parse(text)?;
    form.only(&["outcome"])?;
    form.get("outcome")
        .and_then(Choice::parse)
        .ok_or_else(|| Problem::invalid("outcome", "must be succeeded, failed or late"))
}

/// An id for the event that no other event has.
fn event_id() -> String {
    let bytes: [u8; 12] = random::bytes();
    bytes.iter().fold("evt_".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The language that the query names, or else the browser's.
fn tongue(request: &Request) -> Result<Tongue, Problem> {
    let query = request.query()?;
    Ok(match query.get("lang") {
        Some(tag) => Tongue::of(tag),
        None => Tongue::of(request.header(header::ACCEPT_LANGUAGE).unwrap_or_default()),
    })
}
