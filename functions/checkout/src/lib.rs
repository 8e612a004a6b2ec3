//! `POST /api/reservations/{id}/checkout`, for the reservation's own shopper: turns a hold into an order, once.
//!
//! Runs the scripts `checkout` and `note_order`. A repeated call shows the order that exists.
//! Problems: unauthorized, not-found, conflict, hold-expired, invalid, unavailable.

use sale::Engine;
use sale::ids::ReservationId;
use sale::scripts::{CheckedOut, Contact};
use serde::Deserialize;
use web::caller::session;
use web::shop::views::Order;
use web::{FieldError, Method, Problem, Request, Response, SharedRedis, header};

web::service!("checkout", handle, settings: COMMON, IDENTITY);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let path = request.path();
    let ["api", "reservations", id, "checkout"] = path.segments()[..] else {
        return Err(Problem::NotFound { what: "route" });
    };
    request.on("/api/reservations/:id/checkout", &[Method::POST])?;
    check_out(request, id).await
}

async fn check_out(request: &mut Request, id: &str) -> Result<Response, Problem> {
    let no_reservation = Problem::NotFound { what: "reservation" };
    let user = session::user(request).await?;
    let id: ReservationId = id.parse().map_err(|_| no_reservation.clone())?;
    let contact = request.json::<Body>().await?.into_contact()?;
    let engine = Engine::new(SharedRedis);
    match engine.checkout(&id, &user, &contact).await? {
        CheckedOut::Made(order) | CheckedOut::Existing(order) => {
            // Before the response, so that the shopper's list has the order. If it fails, the shopper sends the same
            // request again.
            engine.note_order(&order.id, &user).await?;
            let location = format!("/api/orders/{}", order.id);
            Ok(Response::created(&Order::from(&order)).header(header::LOCATION, &location))
        }
        CheckedOut::HoldExpired => Err(Problem::HoldExpired),
        CheckedOut::Conflict(state) => Err(Problem::Conflict {
            detail: format!("A reservation that is {} can't be checked out", state.as_str()),
            state: Some(state.as_str()),
        }),
        CheckedOut::NotFound => Err(no_reservation),
    }
}

/// Where the order goes. Lengths are in characters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    contact: String,
    address: String,
    #[serde(default)]
    note: String,
}

const MOST_CONTACT: usize = 200;
const MOST_ADDRESS: usize = 500;
const MOST_NOTE: usize = 500;

impl Body {
    fn into_contact(self) -> Result<Contact, Problem> {
        let mut errors = Vec::new();
        let mut checked = |field: &'static str, text: String, required: bool, most: usize| {
            let text = text.trim().to_owned();
            if required && text.is_empty() {
                errors.push(FieldError::new(field, "is required"));
            } else if text.chars().count() > most {
                errors.push(FieldError::new(field, format!("may have at most {most} characters")));
            } else if text.chars().any(|character| character.is_control() && !"\n\r\t".contains(character)) {
                // A label printer can't print them, and a database may refuse the whole order because of one.
                errors.push(FieldError::new(field, "may not have control characters"));
            }
            text
        };
        let contact = Contact {
            contact: checked("contact", self.contact, true, MOST_CONTACT),
            address: checked("address", self.address, true, MOST_ADDRESS),
            note: checked("note", self.note, false, MOST_NOTE),
        };
        if errors.is_empty() { Ok(contact) } else { Err(Problem::Invalid { fields: errors }) }
    }
}
