//! Sales: operators write and change them, delete drafts, and archive what is over.

use sale::Engine;
use sale::catalogue::{Documents, Item, Sale};
use sale::ids::{Lane, SaleId};
use sale::item::ItemState;
use sale::publishing;
use sale::scripts::{Added, Archived, Deleted, FirstAnswer, SalesPage, Saved};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::http::etag;
use web::platform::random;
use web::shop::catalogue;
use web::{FieldError, Problem, Request, Response, SharedRedis, header};

use crate::items;

pub const NOT_FOUND: Problem = Problem::NotFound { what: "sale" };

/// The longest title and the longest description, in characters.
pub const MOST_TITLE: usize = 200;
pub const MOST_DESCRIPTION: usize = 8_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    title: String,
    #[serde(default)]
    description: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl Body {
    /// `ended` is the end that the sale has had so far: it may stay in the past, but not be put there.
    fn checked(self, now: Timestamp, ended: Option<Timestamp>) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        check_text(&mut errors, "title", &self.title, true, MOST_TITLE);
        check_text(&mut errors, "description", &self.description, false, MOST_DESCRIPTION);
        if self.starts_at >= self.ends_at {
            errors.push(FieldError::new("ends_at", "must be after starts_at"));
        }
        check_end(&mut errors, self.ends_at, now, ended);
        if errors.is_empty() { Ok(self) } else { Err(Problem::Invalid { fields: errors }) }
    }

    fn into_sale(self, id: SaleId, version: u64) -> Sale {
        let Body { title, description, starts_at, ends_at } = self;
        Sale { id, title, description, starts_at, ends_at, archived: false, version }
    }
}

/// Adds an error if an end is put into the past. `before` is the end so far, which may stay.
pub fn check_end(errors: &mut Vec<FieldError>, end: Timestamp, now: Timestamp, before: Option<Timestamp>) {
    if end <= now && before != Some(end) {
        errors.push(FieldError::new("ends_at", format!("must be in the future; it is {now} now")));
    }
}

/// Refuses a window that leaves out one of the sale's items. Items that have ended may lie outside.
fn check_items(sale: &Sale, items: &[Item], now: Timestamp) -> Result<(), Problem> {
    let mut errors = Vec::new();
    for item in items.iter().filter(|item| item.ends_at > now) {
        if item.starts_at < sale.starts_at {
            let message = format!("item {} starts earlier, at {}; change it first", item.id, item.starts_at);
            errors.push(FieldError::new("starts_at", message));
        }
        if item.ends_at > sale.ends_at {
            let message = format!("item {} ends later, at {}; change it first", item.id, item.ends_at);
            errors.push(FieldError::new("ends_at", message));
        }
    }
    // One of each is enough to act on.
    errors.dedup_by(|left, right| left.field == right.field);
    if errors.is_empty() { Ok(()) } else { Err(Problem::Invalid { fields: errors }) }
}

/// Adds an error if the text is wrong.
pub fn check_text(
    errors: &mut Vec<FieldError>,
    field: &'static str,
    text: &str,
    required: bool,
    most: usize,
) {
    if required && text.trim().is_empty() {
        errors.push(FieldError::new(field, "is required"));
    }
    if text.chars().count() > most {
        errors.push(FieldError::new(field, format!("may have at most {most} characters")));
    }
    if text.chars().any(|character| character.is_control() && character != '\n' && character != '\t') {
        errors.push(FieldError::new(field, "may not have control characters"));
    }
}

pub async fn find(engine: &Engine<SharedRedis>, id: &str) -> Result<Sale, Problem> {
    let id: SaleId = id.parse().map_err(|_| NOT_FOUND)?;
    engine.document(id.as_str()).await?.ok_or(NOT_FOUND)
}

pub async fn create(operator: &Operator, request: &mut Request) -> Result<Response, Problem> {
    let (body, key) = request.json_once::<Body>(operator).await?;
    let id = SaleId::random(random::bytes());
    let engine = operator.engine("sale.create", format!("sale/{id}")).once(key);
    match engine.first_answer().await? {
        FirstAnswer::None => {}
        FirstAnswer::Kept(id) => return created(&body.into_sale(kept(&id)?, 1)),
        FirstAnswer::KeyReused => return Err(Problem::IdempotencyKeyReused),
    }
    let mut sale = body.checked(engine.time().await?, None)?.into_sale(id, 1);
    match engine.add_document(&sale, sale.id.as_str()).await? {
        Added::Done => {}
        // The same request came twice at once, and the other was first.
        Added::Repeated { answer } => sale.id = kept(&answer)?,
        Added::KeyReused => return Err(Problem::IdempotencyKeyReused),
        // Two random ids were the same. The operator's next try gets another one.
        Added::Taken | Added::NoSale => return Err(Problem::unavailable("a new sale's id was taken")),
    }
    created(&sale)
}

/// The response to a call that has made `sale`. A repeat under the same key has the same body, so it gets the same response.
fn created(sale: &Sale) -> Result<Response, Problem> {
    let location = format!("/api/admin/sales/{}", sale.id);
    let response = Response::created(sale).header(header::LOCATION, &location);
    Ok(response.header(header::ETAG, &etag::of_version(sale.version)))
}

/// What was kept with an idempotency key.
pub fn kept<T: std::str::FromStr>(answer: &str) -> Result<T, Problem> {
    answer.parse().map_err(|_| Problem::unavailable("a kept answer is damaged"))
}

pub async fn show(id: &str) -> Result<Response, Problem> {
    Ok(shown(&find(&Engine::new(SharedRedis), id).await?))
}

fn shown(sale: &Sale) -> Response {
    Response::ok(sale).header(header::ETAG, &etag::of_version(sale.version))
}

pub async fn change(operator: &Operator, request: &mut Request, id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let before = find(&engine, id).await?;
    let expected = etag::if_match(request.headers())?;
    let body: Body = request.json().await?;
    let now = engine.time().await?;
    refuse_archived(&before)?;
    let sale = body.checked(now, Some(before.ends_at))?.into_sale(before.id, expected + 1);
    check_items(&sale, &engine.items_of(&sale.id).await?, now)?;
    let engine = operator.engine("sale.change", format!("sale/{}", sale.id));
    match engine.save_document(&sale, expected).await? {
        Saved::Done => {
            // Every lane carries its sale's text, so that it can be rebuilt after Redis is lost.
            describe(&engine, &sale).await?;
            announced(catalogue::announce_sales().await);
            Ok(shown(&sale))
        }
        Saved::VersionMismatch { current } => Err(Problem::VersionMismatch { current: Some(current) }),
        Saved::NoSale => Err(NOT_FOUND),
    }
}

/// Tells the lanes of a sale's published items its documents.
async fn describe(engine: &Engine<SharedRedis>, sale: &Sale) -> Result<(), Problem> {
    for item in engine.items_of(&sale.id).await?.into_iter().filter(|item| item.published) {
        let lane = Lane::first(item.id.clone());
        engine.describe(&lane, &Documents { item, sale: sale.clone() }).await?;
    }
    Ok(())
}

/// Refuses what an archived sale can't do any more.
pub fn refuse_archived(sale: &Sale) -> Result<(), Problem> {
    if sale.archived { Err(Problem::conflict("The sale is archived")) } else { Ok(()) }
}

/// Deletes a sale of which nothing was ever published, with its drafts. A sale that is gone is deleted, so a repeat gets the
/// same response.
pub async fn delete(operator: &Operator, request: &Request, id: &str) -> Result<Response, Problem> {
    let id: SaleId = id.parse().map_err(|_| NOT_FOUND)?;
    let expected = etag::if_match(request.headers())?;
    let engine = operator.engine("sale.delete", format!("sale/{id}"));
    let Some(sale) = engine.document::<Sale>(id.as_str()).await? else { return Ok(Response::no_content()) };
    if sale.version != expected {
        return Err(Problem::VersionMismatch { current: Some(sale.version) });
    }
    let items = engine.items_of(&sale.id).await?;
    if let Some(item) = items.iter().find(|item| item.published) {
        let detail = format!("Item {} was published; a sale that sold something can be archived", item.id);
        return Err(Problem::conflict(detail));
    }
    match engine.delete_sale(&sale, &items).await? {
        Deleted::Done | Deleted::Changed { current: 0 } => Ok(Response::no_content()),
        Deleted::Changed { .. } => Err(changed_meanwhile()),
    }
}

fn changed_meanwhile() -> Problem {
    Problem::conflict("The sale or one of its items was changed meanwhile; read them again")
}

/// Archives a sale whose items have ended: it leaves the public lists for good. A repeat gets the same response.
pub async fn archive(operator: &Operator, id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let sale = find(&engine, id).await?;
    if sale.archived {
        return Ok(shown(&sale));
    }
    let items = engine.items_of(&sale.id).await?;
    // After the documents were read and before the lanes are looked at: see `archive_sale`.
    let unfinished = publishing::unfinished(&engine).await?;
    let now = engine.time().await?;
    if now < sale.ends_at && !items.iter().any(|item| item.published) {
        return Err(Problem::conflict("The sale has not ended; one that never sold anything can be deleted"));
    }
    for item in items.iter().filter(|item| item.published) {
        let refused = |what: &str| Err(Problem::conflict(format!("Item {} {what}", item.id)));
        if unfinished.iter().any(|marker| marker.item == item.id) {
            return refused("is being published or changed; try again");
        }
        for lane in items::lanes(item) {
            if engine.position(&lane).await?.is_unfinished() {
                return refused("is being rebuilt; try again");
            }
            match engine.view(&lane).await? {
                Some(view) if view.state_at(view.now) != ItemState::Ended => {
                    return refused("can still sell");
                }
                Some(view) if view.waiting > 0 || view.held > 0 || view.ordered > 0 => {
                    return refused("has shoppers in its queue, holds, or unpaid orders");
                }
                None if now < item.ends_at => {
                    return refused("is not in Redis and has not ended; reconcile it");
                }
                _ => {}
            }
        }
    }
    let engine = operator.engine("sale.archive", format!("sale/{}", sale.id));
    match engine.archive_sale(&sale, &items).await? {
        Archived::Done => {}
        Archived::Changed => return Err(changed_meanwhile()),
    }
    let sale = find(&engine, id).await?;
    // So that a rebuild puts back a sale that is archived.
    announced(describe(&engine, &sale).await);
    announced(catalogue::announce_sales().await);
    Ok(shown(&sale))
}

/// A change counts even if it could not be announced: caches expire by themselves within seconds.
pub fn announced(outcome: Result<(), Problem>) {
    if let Err(problem) = outcome {
        web::shop::worker::log_failure("admin", "", problem.cause().unwrap_or(problem.slug()));
    }
}

/// How many sales a search looks through, and how many of them it reads at a time.
const MOST_SEARCHED: usize = 2_000;
const SEARCHED_AT_ONCE: usize = 200;

#[derive(Serialize)]
struct List {
    sales: Vec<Listed>,
    page: usize,
    page_size: usize,
    total: u64,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    sale: Sale,
    items: u64,
}

/// Lists sales, the latest to start first. A page reads the documents of its own sales only.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size", "q", "archived"])?;
    let page = query.page()?;
    let words = query.sought()?.to_lowercase();
    let archived = match query.get("archived") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::invalid("archived", "must be true or false")),
    };
    let engine = Engine::new(SharedRedis);
    let found = if words.is_empty() {
        engine.sales(archived, (page.number - 1).saturating_mul(page.size), page.size).await?
    } else {
        let found = search(&engine, archived, &words).await?;
        SalesPage { total: found.len() as u64, sales: page.slice(&found).to_vec() }
    };
    let sales = found.sales.into_iter().map(|(sale, items)| Listed { sale, items }).collect();
    Ok(Response::ok(&List { sales, page: page.number, page_size: page.size, total: found.total }))
}

/// The sales that have these words in their texts, of those that start last.
async fn search(
    engine: &Engine<SharedRedis>,
    archived: bool,
    words: &str,
) -> Result<Vec<(Sale, u64)>, Problem> {
    let mut found = Vec::new();
    for skip in (0..MOST_SEARCHED).step_by(SEARCHED_AT_ONCE) {
        let page = engine.sales(archived, skip, SEARCHED_AT_ONCE).await?;
        found.extend(page.sales.into_iter().filter(|(sale, _)| {
            sale.title.to_lowercase().contains(words) || sale.description.to_lowercase().contains(words)
        }));
        if page.total <= (skip + SEARCHED_AT_ONCE) as u64 {
            break;
        }
    }
    Ok(found)
}
