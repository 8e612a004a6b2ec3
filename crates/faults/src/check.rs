//! What must hold when everything has settled, whatever happened before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use stampede_tests::{Item, Seller};

use crate::operator;
use crate::plan::PRICE;
use crate::record::{Call, Record};
use crate::run::Aftermath;

/// Where the orders are recorded.
pub enum Books {
    /// The folder with the database file.
    Sqlite(PathBuf),
    /// The URL of the database.
    Postgres(String),
}

/// What was checked, and what is wrong.
pub struct Checked {
    pub findings: Vec<String>,
    pub reservations: usize,
    pub orders: usize,
}

struct OrderRow {
    id: String,
    reservation: String,
    user: String,
    quantity: i64,
    state: String,
}

struct PaymentRow {
    id: String,
    order: String,
    amount: i64,
    state: String,
}

/// Waits until nothing is under way any more. Gives what does not settle in words.
pub async fn settle(seller: &Seller, item: &Item, patience: Duration) -> Vec<String> {
    let deadline = Instant::now() + patience;
    loop {
        let stats = operator::stats(seller, item).await;
        let under_way = ["held", "ordered", "waiting"].map(|name| stats[name].as_i64().unwrap_or(-1));
        let audit = operator::audit(seller, item).await;
        if under_way == [0, 0, 0] && audit["consistent"] == true {
            return Vec::new();
        }
        if Instant::now() > deadline {
            return vec![format!(
                "not settled within {patience:?}: {under_way:?} units held, ordered, reservations waiting; {audit:#}"
            )];
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Compares the order database, the counters and all shoppers' logs.
pub async fn check(after: &Aftermath<'_>, seller: &Seller, item: &Item) -> anyhow::Result<Checked> {
    let mut findings = after.desk.violations.clone();
    findings.extend(after.records.iter().flat_map(|record| {
        record.violations.iter().map(|violation| format!("shopper {}: {violation}", record.shopper))
    }));
    let (orders, payments) = after.database.read().await?;
    let stats = operator::stats(seller, item).await;
    stock_adds_up(&mut findings, &stats, after, &orders);
    nobody_has_more_than_the_cap(&mut findings, after, &orders);
    nothing_is_there_twice(&mut findings, &orders);
    money_is_accounted_for(&mut findings, after, seller, &orders, &payments).await;
    if !after.plan.may_forget() {
        what_was_told_is_recorded(&mut findings, after.records, &orders);
        order_of_service_is_kept(&mut findings, after.records);
    }
    let reservations: HashSet<&str> = after
        .records
        .iter()
        .flat_map(|record| record.seen.iter().filter(|seen| seen.call == Call::Reserve))
        .filter_map(|seen| seen.body["id"].as_str())
        .collect();
    Ok(Checked { findings, reservations: reservations.len(), orders: orders.len() })
}

fn stock_adds_up(findings: &mut Vec<String>, stats: &Value, after: &Aftermath<'_>, orders: &[OrderRow]) {
    let number = |name: &str| stats[name].as_i64().unwrap_or(i64::MIN);
    let (total, available, sold) = (number("total"), number("available"), number("sold"));
    if total != after.desk.total {
        findings.push(format!("the stock is {total}, but {} was confirmed last", after.desk.total));
    }
    if available < 0 || sold < 0 || total != available + number("held") + number("ordered") + sold {
        findings.push(format!("stock does not add up: {stats}"));
    }
    let paid: i64 = orders.iter().filter(|order| order.state == "paid").map(|order| order.quantity).sum();
    if paid != sold {
        findings.push(format!("{sold} units are sold, {paid} are in paid orders of the database"));
    }
    if paid > after.desk.total {
        findings.push(format!("oversold: {paid} of {}", after.desk.total));
    }
}

fn nobody_has_more_than_the_cap(findings: &mut Vec<String>, after: &Aftermath<'_>, orders: &[OrderRow]) {
    let mut bought = HashMap::<&str, i64>::new();
    for order in orders.iter().filter(|order| order.state == "paid") {
        *bought.entry(&order.user).or_default() += order.quantity;
    }
    for (user, units) in bought {
        if units > after.plan.cap {
            findings.push(format!("{user} bought {units} units, the cap is {}", after.plan.cap));
        }
    }
}

/// Each order has a row and a reservation of its own, and has ended.
fn nothing_is_there_twice(findings: &mut Vec<String>, orders: &[OrderRow]) {
    let ids: HashSet<&str> = orders.iter().map(|order| order.id.as_str()).collect();
    let of_reservations: HashSet<&str> = orders.iter().map(|order| order.reservation.as_str()).collect();
    if of_reservations.len() != orders.len() || ids.len() != orders.len() {
        findings.push("a reservation has two orders, or an order two rows".to_owned());
    }
    for order in orders.iter().filter(|order| order.state == "unpaid") {
        findings.push(format!("order {} is still unpaid", order.id));
    }
}

/// Every order that a shopper was told of is recorded as that shopper's, and in a state that follows.
fn what_was_told_is_recorded(findings: &mut Vec<String>, records: &[Record], orders: &[OrderRow]) {
    let rows: HashMap<&str, &OrderRow> = orders.iter().map(|order| (order.id.as_str(), order)).collect();
    for record in records {
        for (seen, id, state) in record.states().filter(|(seen, ..)| seen.status < 300) {
            if !matches!(seen.call, Call::Checkout | Call::LookAtOrder | Call::Cancel) {
                continue;
            }
            match rows.get(id) {
                None => findings.push(format!("shopper {} was told of {id}, which is lost", record.shopper)),
                Some(row) if row.user != record.user => {
                    findings.push(format!("shopper {} was shown {id} of {}", record.shopper, row.user));
                }
                Some(row) if !follows(state, &row.state) => {
                    findings.push(format!("{id} was shown as {state} and ended as {}", row.state));
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether an order that was in the first state may end in the second.
fn follows(state: &str, end: &str) -> bool {
    match state {
        "unpaid" => true,
        "paid" => end == "paid",
        "cancelled" | "timed_out" | "refund_due" => [state, "refund_due", "refunded"].contains(&end),
        "refunded" => end == "refunded",
        _ => false,
    }
}

/// Each success that the shop took is in the books to the cent: it bought units, or it is to go back.
async fn money_is_accounted_for(
    findings: &mut Vec<String>,
    after: &Aftermath<'_>,
    seller: &Seller,
    orders: &[OrderRow],
    payments: &[PaymentRow],
) {
    let states: HashMap<&str, &str> =
        orders.iter().map(|order| (order.id.as_str(), order.state.as_str())).collect();
    let rows: HashMap<&str, &PaymentRow> = payments.iter().map(|row| (row.id.as_str(), row)).collect();
    let due = operator::refunds(seller).await;
    let is_due = |payment: &str, amount: i64| {
        due.iter().any(|refund| refund["payment_id"] == payment && refund["amount"]["amount"] == amount)
    };
    let mut told = BTreeMap::<&str, HashSet<i64>>::new();
    for money in after.records.iter().flat_map(|record| &record.money) {
        told.entry(&money.payment).or_default().insert(money.amount);
    }
    for (payment, amounts) in &told {
        let Some(row) = rows.get(payment) else {
            // Redis may forget an order of which the database has not heard. Its money goes back then.
            if after.plan.may_forget() && amounts.iter().all(|amount| is_due(payment, *amount)) {
                continue;
            }
            findings.push(format!("money of {payment} came and the payment is lost"));
            continue;
        };
        for amount in amounts {
            let is_right = *amount == row.amount;
            let kept = row.state == "succeeded" && states.get(row.order.as_str()) == Some(&"paid");
            if !(is_right && kept || is_due(payment, *amount)) {
                findings.push(format!(
                    "{amount} came for {payment}: it is {} over {}, its order is {:?}, and nothing is due back",
                    row.state,
                    row.amount,
                    states.get(row.order.as_str()),
                ));
            }
        }
    }
    for row in payments.iter().filter(|row| row.state == "succeeded") {
        if !told.get(row.id.as_str()).is_some_and(|amounts| amounts.contains(&row.amount)) {
            findings.push(format!("{} succeeded over {}, and nobody said so", row.id, row.amount));
        }
        if row.amount % PRICE != 0 {
            findings.push(format!("{} is over {}, which no quantity costs", row.id, row.amount));
        }
    }
}

/// A shopper whose admission was confirmed before another asked is decided before that other.
fn order_of_service_is_kept(findings: &mut Vec<String>, records: &[Record]) {
    struct Place<'a> {
        id: &'a str,
        confirmed: Instant,
        asked: Instant,
        /// When it was first known to be decided.
        decided: Option<Instant>,
        /// The last question to which the response still was `queued`.
        still_queued: Option<Instant>,
    }
    let mut places = HashMap::<&str, Place<'_>>::new();
    for (seen, id, state) in records.iter().flat_map(Record::states) {
        match (seen.call, seen.status, state) {
            (Call::Reserve, 202, "queued") => {
                places.entry(id).or_insert(Place {
                    id,
                    confirmed: seen.answered,
                    asked: seen.asked,
                    decided: None,
                    still_queued: None,
                });
            }
            (Call::Reserve | Call::Poll, _, "queued") => {
                if let Some(place) = places.get_mut(id) {
                    place.still_queued = Some(seen.asked);
                }
            }
            (Call::Poll, _, "held" | "sold_out") => {
                if let Some(place) = places.get_mut(id) {
                    place.decided.get_or_insert(seen.answered);
                }
            }
            _ => {}
        }
    }
    for early in places.values() {
        let Some(waited_until) = early.still_queued else { continue };
        for late in places.values() {
            let overtaken =
                early.confirmed < late.asked && late.decided.is_some_and(|decided| decided < waited_until);
            if overtaken {
                findings
                    .push(format!("{} was decided while {}, admitted before it, waited", late.id, early.id));
            }
        }
    }
}

impl Books {
    async fn read(&self) -> anyhow::Result<(Vec<OrderRow>, Vec<PaymentRow>)> {
        const ORDERS: &str =
            "SELECT id, reservation_id, user_id, CAST(quantity AS BIGINT), state FROM orders";
        const PAYMENTS: &str = "SELECT id, order_id, CAST(amount AS BIGINT), state FROM payments";
        match self {
            Books::Sqlite(state) => {
                let connection = rusqlite::Connection::open(state.join("sqlite_db.db"))?;
                connection.busy_timeout(Duration::from_secs(5))?;
                let orders = connection
                    .prepare(ORDERS)?
                    .query_map([], |row| {
                        Ok(OrderRow {
                            id: row.get(0)?,
                            reservation: row.get(1)?,
                            user: row.get(2)?,
                            quantity: row.get(3)?,
                            state: row.get(4)?,
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                let payments = connection
                    .prepare(PAYMENTS)?
                    .query_map([], |row| {
                        Ok(PaymentRow {
                            id: row.get(0)?,
                            order: row.get(1)?,
                            amount: row.get(2)?,
                            state: row.get(3)?,
                        })
                    })?
                    .collect::<Result<_, _>>()?;
                Ok((orders, payments))
            }
            Books::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                let connection = tokio::spawn(connection);
                let orders = client.query(ORDERS, &[]).await?;
                let payments = client.query(PAYMENTS, &[]).await?;
                drop(client);
                connection.await??;
                let orders = orders.iter().map(|row| OrderRow {
                    id: row.get(0),
                    reservation: row.get(1),
                    user: row.get(2),
                    quantity: row.get(3),
                    state: row.get(4),
                });
                let payments = payments.iter().map(|row| PaymentRow {
                    id: row.get(0),
                    order: row.get(1),
                    amount: row.get(2),
                    state: row.get(3),
                });
                Ok((orders.collect(), payments.collect()))
            }
        }
    }
}
