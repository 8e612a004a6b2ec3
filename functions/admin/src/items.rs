//! Items: operators write, publish and change them.
//!
//! Publishing and changing take several steps, which [`sale::publishing`] lists. An operator who saw an error may repeat the
//! call; if they do not, the next tick takes the steps that are left.

use sale::catalogue::{Item, Sale};

use sale::Engine;
use sale::ids::{ItemId, Lane, SaleId};
use sale::item::{ItemState, LANES, MAX_PER_USER, MAX_STOCK, Mode, Switch};
use sale::money::Money;
use sale::publishing::{self, Marker, Purpose};
use sale::scripts::{
    Added, Deleted, FirstAnswer, LaneView, Published, Saved, SeriesPoint, StockChange, Stocked, Switched,
};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::http::etag;
use web::platform::random;
use web::shop::catalogue;
use web::shop::publishing::terms;
use web::shop::views::{self, Stock};
use web::{FieldError, Problem, Request, Response, SharedRedis, StatusCode, header};

use crate::sales::{self, MOST_DESCRIPTION, MOST_TITLE, announced, check_text};

const NOT_FOUND: Problem = Problem::NotFound { what: "item" };
const MOST_IMAGE: usize = 500;

/// The last part of `POST /api/admin/items/{id}/…`.
pub const STEPS: [&str; 5] = ["publish", "pause", "resume", "close", "stock"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    title: String,
    #[serde(default)]
    subtitle: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    image: String,
    list_price: Money,
    sale_price: Money,
    stock: i64,
    #[serde(default = "one")]
    per_user_limit: u32,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    ends_at: Option<Timestamp>,
}

/// When an item starts and when it ends.
type Window = (Timestamp, Timestamp);

fn one() -> u32 {
    1
}

impl Body {
    /// From when to when the item is sold. Without times of its own it takes its sale's.
    fn window(&self, sale: &Sale) -> Window {
        (self.starts_at.unwrap_or(sale.starts_at), self.ends_at.unwrap_or(sale.ends_at))
    }

    /// `now` is by Redis's clock, and `ended` the end that the item has had so far.
    fn check(
        &self,
        (starts_at, ends_at): Window,
        sale: &Sale,
        now: Timestamp,
        ended: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let mut errors = Vec::new();
        check_text(&mut errors, "title", &self.title, true, MOST_TITLE);
        check_text(&mut errors, "subtitle", &self.subtitle, false, MOST_TITLE);
        check_text(&mut errors, "description", &self.description, false, MOST_DESCRIPTION);
        check_text(&mut errors, "image", &self.image, false, MOST_IMAGE);
        if !is_image(&self.image) {
            errors
                .push(FieldError::new("image", "must be a path of this site, an https:// address, or empty"));
        }
        for (field, price) in [("list_price", &self.list_price), ("sale_price", &self.sale_price)] {
            if !(1..=Money::MAX_AMOUNT).contains(&price.amount) {
                errors
                    .push(FieldError::new(field, format!("amount must be from 1 to {}", Money::MAX_AMOUNT)));
            }
        }
        if self.sale_price.currency != self.list_price.currency {
            errors.push(FieldError::new("sale_price", "must be in the currency of list_price"));
        } else if self.sale_price.amount > self.list_price.amount {
            errors.push(FieldError::new("sale_price", "may not be above list_price"));
        }
        if !(0..=MAX_STOCK).contains(&self.stock) {
            errors.push(FieldError::new("stock", format!("must be a whole number from 0 to {MAX_STOCK}")));
        }
        if !(1..=MAX_PER_USER).contains(&self.per_user_limit) {
            errors.push(FieldError::new(
                "per_user_limit",
                format!("must be a whole number from 1 to {MAX_PER_USER}"),
            ));
        }
        if starts_at >= ends_at {
            errors.push(FieldError::new("ends_at", "must be after starts_at"));
        }
        if starts_at < sale.starts_at {
            let message = format!("may not be before its sale starts, at {}", sale.starts_at);
            errors.push(FieldError::new("starts_at", message));
        }
        if ends_at > sale.ends_at {
            errors.push(FieldError::new(
                "ends_at",
                format!("may not be after its sale ends, at {}", sale.ends_at),
            ));
        }
        sales::check_end(&mut errors, ends_at, now, ended);
        if errors.is_empty() { Ok(()) } else { Err(Problem::Invalid { fields: errors }) }
    }

    /// The item that this body describes, as a draft.
    fn into_item(self, id: ItemId, sale_id: SaleId, (starts_at, ends_at): Window, version: u64) -> Item {
        Item {
            id,
            sale_id,
            title: self.title,
            subtitle: self.subtitle,
            description: self.description,
            image: self.image,
            list_price: self.list_price,
            sale_price: self.sale_price,
            stock: self.stock,
            per_user_limit: self.per_user_limit,
            mode: self.mode,
            starts_at,
            ends_at,
            lanes: LANES,
            published: false,
            archived: false,
            version,
        }
    }
}

/// Whether `text` can be a picture's address. Nothing that a browser could be made to run is one.
fn is_image(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>\\`".contains(&byte));
    plain
        && (text.is_empty()
            || text.starts_with("https://")
            || (text.starts_with('/') && !text.starts_with("//")))
}

/// An item as its operator sees it.
fn shown(item: &Item, view: Option<&LaneView>) -> views::Item {
    let (state, stock) = match view {
        Some(view) => (view.state_at(view.now), Stock { total: view.total, available: view.available }),
        // It was published, and its time in Redis is over.
        None if item.published => (ItemState::Ended, Stock { total: item.stock, available: 0 }),
        None => (ItemState::Draft, Stock { total: item.stock, available: item.stock }),
    };
    views::Item::new(item, state, stock)
}

/// Refuses what an item of an archived sale can't do any more.
pub fn refuse_archived(item: &Item) -> Result<(), Problem> {
    if item.archived { Err(Problem::conflict("The item's sale is archived")) } else { Ok(()) }
}

/// How the log names an item.
fn target(id: &ItemId) -> String {
    format!("item/{id}")
}

pub async fn find(engine: &Engine<SharedRedis>, id: &str) -> Result<Item, Problem> {
    let id: ItemId = id.parse().map_err(|_| NOT_FOUND)?;
    engine.document(id.as_str()).await?.ok_or(NOT_FOUND)
}

async fn answer(engine: &Engine<SharedRedis>, status: StatusCode, item: &Item) -> Result<Response, Problem> {
    let view = engine.view(&lane(item)).await?;
    let response = Response::json(status, &shown(item, view.as_ref()));
    Ok(response.header(header::ETAG, &etag::of_version(item.version)))
}

fn lane(item: &Item) -> Lane {
    Lane::first(item.id.clone())
}

/// The lanes of an item.
pub fn lanes(item: &Item) -> impl Iterator<Item = Lane> {
    (0..item.lanes.max(1)).map(|number| Lane::new(item.id.clone(), number))
}

pub async fn create(operator: &Operator, request: &mut Request, sale_id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let sale = sales::find(&engine, sale_id).await?;
    let (body, key) = request.json_once::<Body>(operator).await?;
    let id = ItemId::random(random::bytes());
    let engine = engine.making(&operator.change("item.create", target(&id))).once(key);
    let window = body.window(&sale);
    match engine.first_answer().await? {
        FirstAnswer::None => {}
        FirstAnswer::Kept(answer) => {
            let (id, window) = kept(&answer)?;
            return Ok(created(&body.into_item(id, sale.id, window, 1)));
        }
        FirstAnswer::KeyReused => return Err(Problem::IdempotencyKeyReused),
    }
    sales::refuse_archived(&sale)?;
    body.check(window, &sale, engine.time().await?, None)?;
    let mut item = body.into_item(id, sale.id, window, 1);
    let (starts_at, ends_at) = window;
    match engine.add_document(&item, &format!("{} {starts_at} {ends_at}", item.id)).await? {
        Added::Done => {}
        // The same request came twice at once, and the other was first.
        Added::Repeated { answer } => (item.id, (item.starts_at, item.ends_at)) = kept(&answer)?,
        Added::KeyReused => return Err(Problem::IdempotencyKeyReused),
        Added::Taken => return Err(Problem::unavailable("a new item's id was taken")),
        Added::NoSale => return Err(sales::NOT_FOUND),
    }
    Ok(created(&item))
}

/// The response to a call that has made the draft `item`.
fn created(item: &Item) -> Response {
    let response =
        Response::created(&shown(item, None)).header(header::ETAG, &etag::of_version(item.version));
    response.header(header::LOCATION, &format!("/api/admin/items/{}", item.id))
}

/// What was kept with an idempotency key: the body of a repeat is the same, but its sale may have other times by now.
fn kept(answer: &str) -> Result<(ItemId, Window), Problem> {
    let damaged = || Problem::unavailable("a kept answer is damaged");
    let mut parts = answer.split(' ');
    let id = sales::kept(parts.next().unwrap_or_default())?;
    let mut moment = || Timestamp::parse(parts.next().unwrap_or_default()).map_err(|_| damaged());
    Ok((id, (moment()?, moment()?)))
}

#[derive(Serialize)]
struct List {
    items: Vec<views::Item>,
    page: usize,
    page_size: usize,
    total: usize,
}

pub async fn list(request: &Request, sale_id: &str) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let engine = Engine::new(SharedRedis);
    let sale = sales::find(&engine, sale_id).await?;
    let items = engine.items_of(&sale.id).await?;
    let total = items.len();
    let mut views = Vec::new();
    for item in page.slice(&items) {
        views.push(shown(item, engine.view(&lane(item)).await?.as_ref()));
    }
    Ok(Response::ok(&List { items: views, page: page.number, page_size: page.size, total }))
}

pub async fn show(id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let item = find(&engine, id).await?;
    answer(&engine, StatusCode::OK, &item).await
}

pub async fn change(operator: &Operator, request: &mut Request, id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let before = find(&engine, id).await?;
    refuse_archived(&before)?;
    let expected = etag::if_match(request.headers())?;
    let sale = sales::find(&engine, before.sale_id.as_str()).await?;
    let body: Body = request.json().await?;
    let window = body.window(&sale);
    body.check(window, &sale, engine.time().await?, Some(before.ends_at))?;
    let mut item = body.into_item(before.id.clone(), before.sale_id.clone(), window, expected + 1);
    item.published = before.published;
    if before.published {
        let Some(view) = engine.view(&lane(&before)).await? else {
            return Err(Problem::conflict("The item has ended and is settled"));
        };
        if view.switch == Switch::Closed {
            return Err(Problem::conflict("A closed item can't be changed"));
        }
        if item.stock != view.total {
            let detail =
                format!("The stock of a published item is changed by its own call; it is {}", view.total);
            return Err(Problem::conflict(detail));
        }
        if item.sale_price.currency != before.sale_price.currency {
            return Err(Problem::conflict("The currency of a published item can't be changed"));
        }
    }
    let engine = engine.making(&operator.change("item.change", target(&item.id)));
    let marker = Marker::of(Purpose::Change, &item);
    let saved = match item.published {
        true => engine.save_published(&item, expected, &marker).await?,
        false => engine.save_document(&item, expected).await?,
    };
    match saved {
        Saved::Done => {}
        Saved::VersionMismatch { current } => {
            return Err(Problem::VersionMismatch { current: Some(current) });
        }
        Saved::NoSale => return Err(sales::NOT_FOUND),
    }
    if item.published {
        // If somebody changed the item meanwhile, the lane keeps the newer terms.
        let terms = terms(&engine, &item).await?;
        publishing::finish(&engine, &marker, &item, &sale, &terms).await?;
        announced(catalogue::announce_item(&item.id).await);
    }
    answer(&engine, StatusCode::OK, &item).await
}

/// Deletes a draft. An item that is gone is deleted, so a repeat gets the same response.
pub async fn delete(operator: &Operator, request: &Request, id: &str) -> Result<Response, Problem> {
    let id: ItemId = id.parse().map_err(|_| NOT_FOUND)?;
    let expected = etag::if_match(request.headers())?;
    let engine = operator.engine("item.delete", target(&id));
    let Some(item) = engine.document::<Item>(id.as_str()).await? else { return Ok(Response::no_content()) };
    if item.version != expected {
        return Err(Problem::VersionMismatch { current: Some(item.version) });
    }
    if item.published {
        return Err(Problem::conflict("The item was published; its sale can be archived when it is over"));
    }
    match engine.delete_draft(&item).await? {
        Deleted::Done | Deleted::Changed { current: 0 } => Ok(Response::no_content()),
        Deleted::Changed { current } => Err(Problem::VersionMismatch { current: Some(current) }),
    }
}

pub async fn step(
    operator: &Operator,
    request: &mut Request,
    id: &str,
    step: &str,
) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let item = find(&engine, id).await?;
    refuse_archived(&item)?;
    let first = lane(&item);
    let engine = engine.making(&operator.change(&format!("item.{step}"), target(&item.id)));
    let outcome = match step {
        "publish" => publish(&engine, item).await,
        "pause" => switch(&engine, &item, Switch::Paused).await,
        "resume" => switch(&engine, &item, Switch::Open).await,
        "close" => switch(&engine, &item, Switch::Closed).await,
        "stock" => stock(operator, engine.clone(), request, &item).await,
        _ => Err(Problem::NotFound { what: "route" }),
    };
    // Moves the lane's note of the change to the log. If this fails, the next tick or reader of the log does it.
    announced(engine.collect_changes(&first).await.map(drop).map_err(Problem::from));
    outcome
}

/// Publishes a draft, or takes the steps of publishing again. `sale::publishing` has their order.
async fn publish(engine: &Engine<SharedRedis>, mut item: Item) -> Result<Response, Problem> {
    let sale = sales::find(engine, item.sale_id.as_str()).await?;
    let mut marker = Marker::of(Purpose::Publish, &item);
    let terms;
    if item.published {
        let mut unfinished = publishing::unfinished(engine).await?.into_iter();
        match unfinished.find(|left| left.item == item.id && left.purpose == Purpose::Publish) {
            // An earlier call died before the lane opened.
            Some(left) => marker = left,
            None if engine.view(&lane(&item)).await?.is_none() => {
                return Err(Problem::conflict("The item was published before, has ended and is settled"));
            }
            None => {}
        }
        terms = self::terms(engine, &item).await?;
    } else {
        if engine.time().await? >= item.ends_at {
            return Err(Problem::conflict(
                "The item's end has passed; change it before you publish the item",
            ));
        }
        let expected = item.version;
        item.published = true;
        item.version += 1;
        marker.version = item.version;
        // What may fail comes before the first step.
        terms = self::terms(engine, &item).await?;
        // The lane notes the change for the log.
        if Engine::new(SharedRedis).save_published(&item, expected, &marker).await? != Saved::Done {
            return Err(Problem::conflict("The item was changed meanwhile; publish it again"));
        }
    }
    match publishing::finish(engine, &marker, &item, &sale, &terms).await? {
        Published::New | Published::Revised => {}
        Published::Closed => return Err(Problem::conflict("A closed item can't be published again")),
        Published::Older => {
            return Err(Problem::conflict("The item was changed meanwhile; publish it again"));
        }
        Published::NotFound => return Err(Problem::conflict("The item has ended")),
    }
    announced(catalogue::announce_item(&item.id).await);
    answer(engine, StatusCode::OK, &item).await
}

async fn switch(engine: &Engine<SharedRedis>, item: &Item, wanted: Switch) -> Result<Response, Problem> {
    match engine.switch(&lane(item), wanted).await? {
        Switched::Done { .. } => {
            announced(catalogue::announce_item(&item.id).await);
            answer(engine, StatusCode::OK, item).await
        }
        Switched::Closed => Err(Problem::conflict("A closed item stays closed")),
        Switched::NotFound => Err(Problem::conflict("The item is not published")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StockBody {
    #[serde(default)]
    add: Option<i64>,
    #[serde(default)]
    total: Option<i64>,
}

async fn stock(
    operator: &Operator,
    engine: Engine<SharedRedis>,
    request: &mut Request,
    item: &Item,
) -> Result<Response, Problem> {
    let (body, key) = request.json_once::<StockBody>(operator).await?;
    let change = match body {
        StockBody { add: Some(units), total: None } if units.abs() <= MAX_STOCK => StockChange::Add(units),
        StockBody { add: None, total: Some(units) } if (0..=MAX_STOCK).contains(&units) => {
            StockChange::Total(units)
        }
        StockBody { add: Some(_), total: None } => {
            return Err(Problem::invalid("add", format!("must be at most {MAX_STOCK}")));
        }
        StockBody { add: None, total: Some(_) } => {
            return Err(Problem::invalid("total", format!("must be a whole number from 0 to {MAX_STOCK}")));
        }
        _ => return Err(Problem::invalid("total", "either add or total is required, and not both")),
    };
    match engine.once(key).stock(&lane(item), change).await? {
        Stocked::Done { total, available } => {
            announced(catalogue::announce_item(&item.id).await);
            Ok(Response::ok(&Stock { total, available }))
        }
        Stocked::Conflict { taken, total } => {
            let detail = format!("{taken} of {total} units are held, ordered or sold, or the item is closed");
            Err(Problem::conflict(detail))
        }
        Stocked::KeyReused => Err(Problem::IdempotencyKeyReused),
        Stocked::NotFound => {
            Err(Problem::conflict("The item is not published; a draft's stock is changed with the draft"))
        }
    }
}

#[derive(Serialize)]
struct Stats {
    item_id: ItemId,
    state: ItemState,
    #[serde(flatten)]
    view: LaneView,
    series: Vec<SeriesPoint>,
}

pub async fn stats(id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let item = find(&engine, id).await?;
    let lane = lane(&item);
    let view =
        engine.view(&lane).await?.ok_or(Problem::conflict("The item is not published, or has left Redis"))?;
    let series = engine.series(&lane).await?;
    Ok(Response::ok(&Stats { item_id: item.id, state: view.state_at(view.now), view, series }))
}
