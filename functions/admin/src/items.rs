//! Items: operators write, publish and change them.
//!
//! Publishing writes two keys, the catalogue's document and the lane, in two steps. Both steps may be repeated; an operator
//! who saw an error repeats the call.

use sale::catalogue::{Documents, Item};
use sale::ids::{ItemId, Lane};
use sale::item::{ItemState, LANES, MAX_PER_USER, MAX_STOCK, Mode, Switch, Terms};
use sale::money::Money;
use sale::scripts::{LaneView, Published, Saved, SeriesPoint, StockChange, Stocked, Switched};
use sale::time::Timestamp;
use sale::{Engine, work};
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::http::etag;
use web::platform::{random, settings};
use web::shop::catalogue;
use web::shop::views::{self, Stock};
use web::{FieldError, Problem, Request, Response, SharedRedis, StatusCode, header};

use crate::rules;
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

fn one() -> u32 {
    1
}

impl Body {
    /// The item that this body describes. Without times of its own it takes its sale's.
    fn into_item(self, id: ItemId, sale: &sale::catalogue::Sale, version: u64) -> Result<Item, Problem> {
        let starts_at = self.starts_at.unwrap_or(sale.starts_at);
        let ends_at = self.ends_at.unwrap_or(sale.ends_at);
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
        if !errors.is_empty() {
            return Err(Problem::Invalid { fields: errors });
        }
        Ok(Item {
            id,
            sale_id: sale.id.clone(),
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
            version,
        })
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
    let item = request.json::<Body>().await?.into_item(ItemId::random(random::bytes()), &sale, 1)?;
    let engine = engine.making(&operator.change("item.create", target(&item.id)));
    match engine.save_document(&item, 0).await? {
        Saved::Done => {
            let response = answer(&engine, StatusCode::CREATED, &item).await?;
            Ok(response.header(header::LOCATION, &format!("/api/admin/items/{}", item.id)))
        }
        Saved::VersionMismatch { .. } => Err(Problem::unavailable("a new item's id was taken")),
    }
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
    let mut items: Vec<Item> = engine.documents().await?;
    items.retain(|item| item.sale_id == sale.id);
    items.sort_by(|left, right| (left.starts_at, &left.id).cmp(&(right.starts_at, &right.id)));
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
    let expected = etag::if_match(request.headers())?;
    let sale = sales::find(&engine, before.sale_id.as_str()).await?;
    let body: Body = request.json().await?;
    let mut item = body.into_item(before.id.clone(), &sale, expected + 1)?;
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
    match engine.save_document(&item, expected).await? {
        Saved::Done => {}
        Saved::VersionMismatch { current } => {
            return Err(Problem::VersionMismatch { current: Some(current) });
        }
    }
    if item.published {
        engine.revise(&lane(&item), &terms(&engine, &item).await?).await?;
        let documents = Documents { item: item.clone(), sale };
        engine.describe(&lane(&item), &documents).await?;
        announced(catalogue::announce_item(&item.id).await);
    }
    answer(&engine, StatusCode::OK, &item).await
}

/// What the lane needs of the item and the settings.
async fn terms(engine: &Engine<SharedRedis>, item: &Item) -> Result<Terms, Problem> {
    let millis = async |setting| {
        let seconds = settings::number(setting, 1, 366 * 86_400).await?;
        Ok::<_, Problem>(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000) * 1_000)
    };
    Ok(Terms {
        starts_at: item.starts_at,
        ends_at: item.ends_at,
        per_user_limit: item.per_user_limit,
        mode: item.mode,
        price: item.sale_price.clone(),
        hold_ms: millis(settings::HOLD_SECONDS).await?,
        pay_ms: millis(settings::PAY_SECONDS).await?,
        rules: rules::limits_of(engine, item.id.as_str()).await?,
        retention_ms: millis(settings::RETENTION_SECONDS).await?,
    })
}

pub async fn step(
    operator: &Operator,
    request: &mut Request,
    id: &str,
    step: &str,
) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let item = find(&engine, id).await?;
    let first = lane(&item);
    let engine = engine.making(&operator.change(&format!("item.{step}"), target(&item.id)));
    let outcome = match step {
        "publish" => publish(&engine, item).await,
        "pause" => switch(&engine, &item, Switch::Paused).await,
        "resume" => switch(&engine, &item, Switch::Open).await,
        "close" => switch(&engine, &item, Switch::Closed).await,
        "stock" => stock(&engine, request, &item).await,
        _ => Err(Problem::NotFound { what: "route" }),
    };
    // Moves the lane's note of the change to the log. If this fails, the next tick or reader of the log does it.
    announced(engine.collect_changes(&first).await.map(drop).map_err(Problem::from));
    outcome
}

async fn publish(engine: &Engine<SharedRedis>, mut item: Item) -> Result<Response, Problem> {
    let lane = lane(&item);
    if item.published && engine.view(&lane).await?.is_none() {
        return Err(Problem::conflict("The item was published before, has ended and is settled"));
    }
    match engine.publish(&lane, item.stock, &terms(engine, &item).await?).await? {
        Published::New | Published::Revised => {}
        Published::Closed => return Err(Problem::conflict("A closed item can't be published again")),
        Published::NotFound => return Err(Problem::unavailable("publish found nothing to publish")),
    }
    work::remember(engine, &lane).await?;
    let expected = item.version;
    let drafted = !item.published;
    if drafted {
        item.published = true;
        item.version += 1;
    }
    // Before the sale opens, so that a lane that Redis loses can be rebuilt from its first reservation on.
    let documents = Documents { item: item.clone(), sale: sales::find(engine, item.sale_id.as_str()).await? };
    engine.describe(&lane, &documents).await?;
    // The lane has noted the change already.
    if drafted && Engine::new(SharedRedis).save_document(&item, expected).await? != Saved::Done {
        return Err(Problem::conflict("The item was changed meanwhile; publish it again"));
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
    engine: &Engine<SharedRedis>,
    request: &mut Request,
    item: &Item,
) -> Result<Response, Problem> {
    let change = match request.json::<StockBody>().await? {
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
    match engine.stock(&lane(item), change).await? {
        Stocked::Done { total, available } => {
            announced(catalogue::announce_item(&item.id).await);
            Ok(Response::ok(&Stock { total, available }))
        }
        Stocked::Conflict { taken, total } => {
            let detail = format!("{taken} of {total} units are held, ordered or sold, or the item is closed");
            Err(Problem::conflict(detail))
        }
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
