//! Sales: operators write and change them.

use sale::Engine;
use sale::catalogue::{Documents, Item, Sale};
use sale::ids::{Lane, SaleId};
use sale::scripts::Saved;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::http::etag;
use web::platform::random;
use web::shop::catalogue;
use web::{FieldError, Problem, Request, Response, SharedRedis, header};

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
    fn checked(self) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        check_text(&mut errors, "title", &self.title, true, MOST_TITLE);
        check_text(&mut errors, "description", &self.description, false, MOST_DESCRIPTION);
        if self.starts_at >= self.ends_at {
            errors.push(FieldError::new("ends_at", "must be after starts_at"));
        }
        if errors.is_empty() { Ok(self) } else { Err(Problem::Invalid { fields: errors }) }
    }
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
    let Body { title, description, starts_at, ends_at } = request.json::<Body>().await?.checked()?;
    let sale =
        Sale { id: SaleId::random(random::bytes()), title, description, starts_at, ends_at, version: 1 };
    let engine = operator.engine("sale.create", format!("sale/{}", sale.id));
    match engine.save_document(&sale, 0).await? {
        Saved::Done => {
            let location = format!("/api/admin/sales/{}", sale.id);
            let response = Response::created(&sale).header(header::LOCATION, &location);
            Ok(response.header(header::ETAG, &etag::of_version(sale.version)))
        }
        // Two random ids were the same. The operator's next try gets another one.
        Saved::VersionMismatch { .. } => Err(Problem::unavailable("a new sale's id was taken")),
    }
}

pub async fn show(id: &str) -> Result<Response, Problem> {
    let sale = find(&Engine::new(SharedRedis), id).await?;
    Ok(Response::ok(&sale).header(header::ETAG, &etag::of_version(sale.version)))
}

pub async fn change(operator: &Operator, request: &mut Request, id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let before = find(&engine, id).await?;
    let expected = etag::if_match(request.headers())?;
    let Body { title, description, starts_at, ends_at } = request.json::<Body>().await?.checked()?;
    let sale = Sale { id: before.id, title, description, starts_at, ends_at, version: expected + 1 };
    let engine = operator.engine("sale.change", format!("sale/{}", sale.id));
    match engine.save_document(&sale, expected).await? {
        Saved::Done => {
            // Every lane carries its sale's text, so that it can be rebuilt after Redis is lost.
            for item in engine.documents::<Item>().await? {
                if item.published && item.sale_id == sale.id {
                    let lane = Lane::first(item.id.clone());
                    engine.describe(&lane, &Documents { item, sale: sale.clone() }).await?;
                }
            }
            announced(catalogue::announce_sales().await);
            Ok(Response::ok(&sale).header(header::ETAG, &etag::of_version(sale.version)))
        }
        Saved::VersionMismatch { current } => Err(Problem::VersionMismatch { current: Some(current) }),
    }
}

/// A change counts even if it could not be announced: caches expire by themselves within seconds.
pub fn announced(outcome: Result<(), Problem>) {
    if let Err(problem) = outcome {
        web::shop::worker::log_failure("admin", "", problem.cause().unwrap_or(problem.slug()));
    }
}

#[derive(Serialize)]
struct List {
    sales: Vec<Listed>,
    page: usize,
    page_size: usize,
    total: usize,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    sale: Sale,
    items: usize,
}

pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size", "q"])?;
    let page = query.page()?;
    let words = query.sought()?.to_lowercase();
    let engine = Engine::new(SharedRedis);
    let mut sales: Vec<Sale> = engine.documents().await?;
    sales.retain(|sale| {
        sale.title.to_lowercase().contains(&words) || sale.description.to_lowercase().contains(&words)
    });
    sales.sort_by(|left, right| (right.starts_at, &right.id).cmp(&(left.starts_at, &left.id)));
    let items: Vec<Item> = engine.documents().await?;
    let total = sales.len();
    let sales = page
        .slice(&sales)
        .iter()
        .map(|sale| Listed {
            sale: sale.clone(),
            items: items.iter().filter(|item| item.sale_id == sale.id).count(),
        })
        .collect();
    Ok(Response::ok(&List { sales, page: page.number, page_size: page.size, total }))
}
