//! One walk: steps taken by the model and by the scripts, compared after each.

use provider_simulation::{ProviderPayment, keys as provider};
use sale::ids::{ItemId, Lane};
use sale::keys::{LANES, LOG, LOG_POSITIONS};
use sale::scripts::MOST_PAYMENTS;
use sale::store::Reply;
use std::collections::BTreeSet;
use std::time::Instant;

use crate::chance::Chance;
use crate::compare::Watch;
use crate::database::Database;
use crate::model::{Kept, Model, Tail, Who};
use crate::real::{MENDER_COPIES, Real, UNAVAILABLE, contact, number_of};
use crate::redis::{Client, Defect, Server};
use crate::steps::{Step, Whose};
use crate::story::{self, Line};
use crate::words;

/// Steps of a walk, the longest that there is. Long enough for a sale from its first step to its purge.
const LONGEST: usize = 120;
/// So often everything is compared, not only what changes all the time.
const FULL_EVERY: usize = 16;
/// A database grows with each walk; then a new one takes its place.
const WALKS_PER_DATABASE: u32 = 300;

/// A private server and database, on which walks follow each other.
pub struct World {
    // The connection goes before the server does.
    client: Client,
    _server: Server,
    database: Database,
    walks: u32,
}

/// How a walk ended.
pub struct Walked {
    /// Steps that both took.
    pub steps: usize,
    /// Where they differed: after which step of the list, and how.
    pub failure: Option<Failure>,
    /// What was seen: a kind of step and what was said to it, without numbers.
    pub seen: BTreeSet<String>,
    /// What happened, where it was asked for.
    pub story: Vec<Line>,
}

pub struct Failure {
    pub at: usize,
    pub differences: Vec<String>,
}

/// The steps that a seed stands for.
pub fn steps_of(seed: u64) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let length = 10 + chance.below(LONGEST - 10);
    crate::steps::walk(&mut chance, length)
}

impl World {
    /// A world whose scripts have these defects; none, as a rule.
    pub fn new(defects: &[Defect]) -> anyhow::Result<World> {
        let server = Server::start()?;
        let client = server.connect(defects)?;
        Ok(World { client, _server: server, database: Database::open()?, walks: 0 })
    }

    /// Takes `steps` on a lane of its own.
    pub fn walk(&mut self, steps: &[Step], with_story: bool) -> anyhow::Result<Walked> {
        self.walks += 1;
        if self.walks.is_multiple_of(WALKS_PER_DATABASE) {
            self.database = Database::open()?;
        }
        let item: ItemId = format!("i{:010}", self.walks).parse()?;
        let lane = Lane::first(item);
        let mut walk = Walk {
            client: &self.client,
            database: &self.database,
            lane: &lane,
            model: Model::new(),
            watch: Watch::new(&lane),
            copy: None,
            wishes: Vec::new(),
            claimed: Vec::new(),
            published: false,
        };
        let walked = walk.run(steps, with_story)?;
        walk.clean_up()?;
        Ok(walked)
    }
}

struct Walk<'a> {
    client: &'a Client,
    database: &'a Database,
    lane: &'a Lane,
    model: Model,
    watch: Watch,
    /// What the model had when a copy of Redis was put by.
    copy: Option<Kept>,
    /// Every wish that was admitted, by whom.
    wishes: Vec<(Tail, Who)>,
    /// Webhooks that were taken to be delivered.
    claimed: Vec<ProviderPayment>,
    published: bool,
}

/// What both sides said.
struct Said {
    model: String,
    real: String,
}

/// While a lane is rebuilt, every step on it must be refused by one of these.
const REFUSALS: [&str; 6] =
    [UNAVAILABLE, "no such reservation", "no such order", "no such payment", "no such item", "no such lane"];

impl Walk<'_> {
    fn run(&mut self, steps: &[Step], with_story: bool) -> anyhow::Result<Walked> {
        let mut walked = Walked { steps: 0, failure: None, seen: BTreeSet::new(), story: Vec::new() };
        for (at, step) in steps.iter().enumerate() {
            let begun = Instant::now();
            self.model.signals = Default::default();
            let full = at % FULL_EVERY == FULL_EVERY - 1 || at + 1 == steps.len();
            let (commands, count) = self.watch.commands(full);
            let target = self.target(step);
            let clock = self.model.now;
            // A step of one script is read in the same round trip; other steps are read when they are over.
            if step.is_one_script() {
                self.client.look_after_next(commands, count);
            }
            let Some(said) = self.take(step, target)? else {
                self.client.look_after_next(Vec::new(), 0);
                continue;
            };
            if !step.is_one_script() {
                let (commands, count) = self.watch.commands(full);
                self.client.look_after_next(commands, count);
            }
            walked.steps += 1;
            let looked = self.client.looked()?;
            let heard = self.client.heard();
            let mut differences = self.watch.differences(&self.model, &looked, &heard, begun);
            let refused = self.model.rebuilding && REFUSALS.contains(&said.real.as_str());
            if said.model != said.real && !refused {
                let Said { model, real } = &said;
                differences.insert(0, format!("the model says “{model}”, and the engine “{real}”"));
            }
            if full && differences.is_empty() && !self.model.rebuilding {
                differences = self.compare_database()?;
            }
            let away = if self.model.rebuilding { " (away)" } else { "" };
            walked.seen.insert(format!(
                "{}: {}{away}",
                story::kind(step),
                story::without_numbers(&said.real)
            ));
            if with_story {
                walked.story.push(Line { clock, told: story::sentence(step, target), said: said.real });
            }
            if !differences.is_empty() {
                walked.failure = Some(Failure { at, differences });
                return Ok(walked);
            }
        }
        Ok(walked)
    }

    fn real(&self) -> Real<'_> {
        Real { redis: self.client, sql: self.database, lane: self.lane, now: self.model.now }
    }

    /// The reservation that a step is about.
    fn target(&self, step: &Step) -> Option<Tail> {
        let whose = step.whose()?;
        let mut own = self.wishes.iter().rev().filter(|(_, who)| *who == whose.who).map(|(tail, _)| *tail);
        own.nth(usize::from(whose.before))
    }

    /// Takes a step on both sides; nothing where it means nothing.
    fn take(&mut self, step: &Step, target: Option<Tail>) -> anyhow::Result<Option<Said>> {
        let away = self.model.rebuilding;
        if let Some(Whose { by, .. }) = step.whose() {
            let Some(tail) = target else { return Ok(None) };
            return Ok(Some(self.act(step, tail, by)));
        }
        let said = match step {
            Step::Wait(millis) => {
                // The clock stands while a lane is rebuilt, so that what is done again is done at a known moment.
                if away {
                    return Ok(None);
                }
                self.model.now += millis;
                Said { model: String::new(), real: String::new() }
            }
            Step::Publish { total, terms, rules } => {
                // Publishing again what Redis lost is not the same as publishing.
                if self.published && self.model.kept.lane.is_none() || away {
                    return Ok(None);
                }
                self.published = true;
                let real = self.real().publish(*total, terms, rules);
                Said { real, model: self.model.publish(*total, terms, rules) }
            }
            Step::Revise { terms, rules } => {
                let real = self.real().revise(terms, rules);
                self.unless_away(real, |model| model.revise(terms, rules))
            }
            Step::SetRules(rules) => {
                let real = self.real().rules(rules);
                self.unless_away(real, |model| model.rules(rules))
            }
            Step::Switch(wanted) => {
                let real = self.real().switch(*wanted);
                self.unless_away(real, |model| model.switch(*wanted))
            }
            Step::Stock { units, add, key } => {
                let real = self.real().stock(*units, *add, *key);
                // What was answered before is answered again, even while the lane is away.
                match self.model.answered_before(*units, *add, *key) {
                    Some(model) => Said { model, real },
                    None => self.unless_away(real, |model| model.stock(*units, *add, *key)),
                }
            }
            Step::Describe => {
                let real = self.real().describe();
                self.unless_away(real, Model::describe)
            }
            Step::AskChallenge { who, address } => {
                let real = self.real().ask_challenge(*who, *address);
                self.unless_away(real, |model| model.ask_challenge(*who, *address))
            }
            Step::Wish(wish) => {
                let tail = Tail::try_from(self.wishes.len() + 1)?;
                let real = self.real().wish(tail, wish);
                let said = self.unless_away(real, |model| model.wish(tail, wish));
                // A number that was given is not given again, whatever Redis forgets.
                if self.model.kept.reservations.contains_key(&tail) {
                    self.wishes.push((tail, wish.who));
                }
                said
            }
            Step::Claim { .. } => self.claim(None),
            Step::Report { before, delivery } => {
                let mut claimed = self.claimed.iter().rev();
                let Some(claimed) = claimed.nth(usize::from(*before)).cloned() else { return Ok(None) };
                let id = (number_of(claimed.id.order.tail.as_str()), claimed.id.attempt);
                let real = self.real().report(&claimed, *delivery);
                let now = self.model.now;
                Said { real, model: self.model.provider.report(id, claimed.tries, *delivery, now) }
            }
            Step::Remind => {
                let real = self.real().remind();
                Said { real, model: self.model.provider.remind(self.model.now) }
            }
            Step::Mark { who } => {
                let real = self.real().mark(*who);
                // No mark is made of a lane that is away.
                let model = if away { "no mark".to_owned() } else { self.model.mark(*who) };
                Said { real, model }
            }
            Step::Grant { most } => {
                let real = self.real().grant(*most);
                self.unless_away(real, |model| match model.grant(*most) {
                    Ok(done) => words::drained(done.held, done.sold_out, done.rejected, done.waiting),
                    Err(why) => why.to_owned(),
                })
            }
            Step::Lapse { most } => {
                let real = self.real().lapse(*most);
                self.unless_away(real, |model| match model.lapse(*most) {
                    None => "no such lane".to_owned(),
                    Some((holds, orders, overdue)) => {
                        let waiting = model.kept.queue.len() as u64;
                        words::lapsed(holds, orders, overdue, waiting, model.purge_is_due())
                    }
                })
            }
            Step::Purge => {
                if self.model.kept.lane.is_none() || away {
                    return Ok(None);
                }
                let real = self.real().purge();
                let model = self.model.purge();
                Said { model, real }
            }
            Step::Alarm { dies } => self.alarm(*dies),
            Step::Collect { dies } => {
                let real = self.real().collect(*dies);
                self.model.collect_changes(*dies);
                // Whether the process died is nobody's answer.
                Said { model: real.clone(), real }
            }
            Step::Copy { most, database_gone, dies_before_acknowledging } => {
                if away {
                    return Ok(None);
                }
                let real = self.real().copy(*most, *database_gone, *dies_before_acknowledging);
                Said { real, model: self.model.copy(*most, *database_gone, *dies_before_acknowledging) }
            }
            Step::PutCopyBy => {
                if away {
                    return Ok(None);
                }
                self.put_copy_by()?;
                Said { model: String::new(), real: String::new() }
            }
            Step::LoseToCopy => {
                let Some(copy) = self.copy.clone() else { return Ok(None) };
                self.lose(copy, true)?;
                Said { model: String::new(), real: String::new() }
            }
            Step::LoseAll => {
                self.lose(Kept::default(), false)?;
                Said { model: String::new(), real: String::new() }
            }
            Step::Mend { one_stage, dies } => {
                if !self.published {
                    return Ok(None);
                }
                // What it came to is told, not compared: the state is.
                match self.mend(*one_stage, *dies)? {
                    Ok(words) => Said { model: words.clone(), real: words },
                    Err(why) => Said { model: String::new(), real: why },
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(said))
    }

    fn unless_away(&mut self, real: String, step: impl FnOnce(&mut Model) -> String) -> Said {
        let model = if self.model.rebuilding { UNAVAILABLE.to_owned() } else { step(&mut self.model) };
        Said { model, real }
    }

    /// A step on the reservation of `tail`, by `by`.
    fn act(&mut self, step: &Step, tail: Tail, by: Who) -> Said {
        match step {
            Step::Poll { limited, .. } => {
                let real = self.real().poll(tail, by, *limited);
                self.unless_away(real, |model| model.poll(tail, by, *limited))
            }
            Step::Release(_) => {
                let real = self.real().release(tail, by);
                self.unless_away(real, |model| model.release(tail, by))
            }
            Step::Checkout { words, .. } => {
                let real = self.real().checkout(tail, by, *words);
                self.unless_away(real, |model| model.checkout(tail, by, *words))
            }
            Step::Pay { replace, .. } => {
                let real = self.real().pay(tail, by, *replace);
                self.unless_away(real, |model| model.pay(tail, by, *replace, MOST_PAYMENTS))
            }
            Step::Cancel(_) => {
                let real = self.real().cancel(tail, by);
                self.unless_away(real, |model| model.cancel(tail, by))
            }
            // Erasures beside a rebuild are tested in the package `order-ledger`.
            Step::Erase(_) if self.model.rebuilding => {
                Said { model: UNAVAILABLE.to_owned(), real: UNAVAILABLE.to_owned() }
            }
            Step::Erase(_) => {
                let (real, is_known) = self.real().erase(tail);
                let model = self.model.erase(tail, is_known);
                Said { model, real }
            }
            Step::Settle { attempt, succeeded, off_by, .. } => {
                let order = self.model.kept.reservations.get(&tail).and_then(|r| r.order.as_ref());
                let due = order.map_or(1, |order| order.unit_price * i64::from(order.quantity));
                let real = self.real().settle(tail, *attempt, *succeeded, due + off_by);
                self.unless_away(real, |model| model.settle(tail, *attempt, *succeeded, due + off_by))
            }
            Step::Refund { attempt, .. } => {
                let real = self.real().refund(tail, *attempt);
                self.unless_away(real, |model| model.refund(tail, *attempt))
            }
            // The provider is a company of its own: nothing of the shop's troubles concerns it.
            Step::Register { attempt, .. } => {
                let now = self.model.now;
                let pay_by = now + 60_000;
                let real = self.real().register((tail, *attempt), pay_by);
                Said { real, model: self.model.provider.register((tail, *attempt), pay_by, now) }
            }
            Step::Choose { attempt, choice, .. } => {
                let real = self.real().choose((tail, *attempt), *choice);
                let now = self.model.now;
                Said { real, model: self.model.provider.choose((tail, *attempt), *choice, now) }
            }
            Step::Claim { wanted } => self.claim(wanted.map(|(_, attempt)| (tail, attempt))),
            other => unreachable!("{other:?} is about no reservation"),
        }
    }

    fn claim(&mut self, wanted: Option<(Tail, u32)>) -> Said {
        let (real, claimed) = self.real().claim(wanted);
        self.claimed.extend(claimed);
        let now = self.model.now;
        Said { real, model: self.model.provider.claim(wanted, now).0 }
    }

    /// Lapses until nothing is overdue, then brings changes to the log and purges, if it is time.
    fn alarm(&mut self, dies: Option<u32>) -> Said {
        let real = self.real().alarm(dies);
        let mut left = dies.unwrap_or(u32::MAX);
        let mut model = || -> &'static str {
            if self.model.rebuilding || self.model.kept.lane.is_none() {
                return "done";
            }
            loop {
                if left == 0 {
                    return UNAVAILABLE;
                }
                left -= 1;
                match self.model.lapse(200) {
                    Some((_, _, overdue)) if overdue > 0 => {}
                    _ => break,
                }
            }
            if !self.model.purge_is_due() {
                return "done";
            }
            let changes = u32::try_from(self.model.kept.changes.len()).unwrap_or(0);
            self.model.collect_changes(Some(left));
            // One command reads the changes, two bring each to the log, and one finds that there are no more.
            let commands = 1 + 2 * changes + u32::from(changes > 0);
            if left <= commands {
                return UNAVAILABLE;
            }
            self.model.purge();
            "done"
        };
        let model = model().to_owned();
        // A process that died has said nothing.
        if dies.is_some() { Said { model: real.clone(), real } } else { Said { model, real } }
    }

    fn put_copy_by(&mut self) -> anyhow::Result<()> {
        for key in self.watch.keys().all() {
            let copy = format!("copy:{key}");
            self.client.plain(&["DEL", &copy])?;
            self.client.plain(&["COPY", key, &copy])?;
        }
        self.copy = Some(self.model.kept.clone());
        Ok(())
    }

    /// Redis comes back with what `kept` says, which it has a copy of, or with nothing.
    fn lose(&mut self, kept: Kept, from_copy: bool) -> anyhow::Result<()> {
        for key in self.watch.keys().all() {
            self.client.plain(&["DEL", key])?;
            // The alarm lapsed while Redis was away.
            if from_copy && key != self.watch.keys().alarm() {
                self.client.plain(&["COPY", &format!("copy:{key}"), key])?;
            }
        }
        if self.model.rebuilding {
            // What the rebuild told until now may be in the database already.
            let written = usize::try_from(self.real().written()?)?.saturating_sub(self.model.written.len());
            let mut finished = self.model.clone();
            finished.rebuild();
            self.model.written.extend(finished.kept.outbox.into_iter().take(written));
        }
        self.model.kept = kept;
        self.model.rebuilding = false;
        // Nothing happens twice in the same millisecond, before and after.
        self.model.now += 100;
        self.watch.forget();
        Ok(())
    }

    /// Says what it came to, or what went wrong.
    fn mend(&mut self, one_stage: bool, dies: Option<u32>) -> anyhow::Result<Result<String, String>> {
        let was_away = self.model.rebuilding;
        let mut contradicts = false;
        let (mut finished, words) = match self.real().mend(one_stage, dies) {
            Ok(mended) => mended,
            Err(why) => return Ok(Err(why)),
        };
        if !was_away {
            // First what can be copied is copied, in two commands, if there is any.
            match (dies, self.model.kept.outbox.is_empty()) {
                (Some(0), _) | (_, true) => {}
                (Some(1), false) => drop(self.model.copy(MENDER_COPIES, false, true)),
                _ => contradicts = self.model.copy(MENDER_COPIES, false, false).contains("contradicted"),
            }
            if !self.model.is_behind(contradicts) {
                return Ok(Ok(words));
            }
        }
        let stage = self.real().stage()?;
        if stage.rebuilding {
            self.model.rebuilding = true;
            return Ok(Ok(words));
        }
        // It died before the first stage or after the last. The next mender does the rest.
        while !finished || self.real().stage()?.untold {
            finished = match self.real().mend(false, None) {
                Ok((finished, _)) => finished,
                Err(why) => return Ok(Err(why)),
            };
        }
        if !was_away && dies.is_some() && !contradicts {
            self.model.copy(MENDER_COPIES, false, false);
        }
        let repeats = self.model.rebuild();
        self.watch.forget_outbox();
        self.follow_copies(repeats)?;
        Ok(Ok(format!("{words} rebuilt")))
    }

    /// What was told while the lane was rebuilt may have reached the database already.
    fn follow_copies(&mut self, repeats: bool) -> anyhow::Result<()> {
        let written = usize::try_from(self.real().written()?)?.saturating_sub(self.model.written.len());
        let new: Vec<_> = self.model.kept.outbox.iter().take(written).cloned().collect();
        self.model.written.extend(new);
        let keys = self.watch.keys();
        let left = self.client.plain(&["XLEN", keys.outbox()])?;
        let left = usize::try_from(left.first().and_then(Reply::int).unwrap_or(0))?;
        let gone = self.model.kept.outbox.len().saturating_sub(left).min(written);
        self.model.kept.outbox.drain(..gone);
        if gone == 0 || !self.model.kept.outbox.is_empty() {
            return Ok(());
        }
        // Where events were repeated, it depends on the moment of the copy whether the alarm looks once more.
        let since = self.client.plain(&["HGET", keys.lane(), "outbox_since"])?;
        let looks_again = repeats && since.first().is_some_and(|since| since.text().is_some());
        if let Some(lane) = self.model.kept.lane.as_mut().filter(|_| !looks_again) {
            lane.outbox_since = None;
        }
        Ok(())
    }

    fn compare_database(&self) -> anyhow::Result<Vec<String>> {
        let mut differences = Vec::new();
        let (expected, there) = (self.model.written.len() as i64, self.real().written()?);
        if expected != there {
            differences.push(format!("events in the order database: {expected} in the model, {there} there"));
        }
        if self.real().set_aside()? > 0 {
            differences.push("the order database set an event aside".to_owned());
        }
        let expected: Vec<_> =
            self.model.recorded().iter().map(|(tail, order)| (*tail, words::order(order))).collect();
        let there = self.real().recorded()?;
        if expected != there {
            differences
                .push(format!("orders in the order database: {expected:?} in the model, {there:?} there"));
        }
        let expected: Vec<_> =
            self.model.recorded().into_iter().map(|(tail, order)| (tail, order.words.map(contact))).collect();
        if expected != self.real().contacts()? {
            differences.push("the order database has other contacts than the model".to_owned());
        }
        Ok(differences)
    }

    fn clean_up(&self) -> anyhow::Result<()> {
        let mut words = vec!["UNLINK", LOG, LOG_POSITIONS, LANES];
        words.extend([provider::ALARM, provider::DUE, provider::KEPT, provider::PAYMENTS]);
        let copies: Vec<String> = self.watch.keys().all().iter().map(|key| format!("copy:{key}")).collect();
        words.extend(copies.iter().map(String::as_str));
        words.extend(self.watch.keys().all().iter().map(String::as_str));
        self.client.plain(&words)?;
        self.client.heard();
        Ok(())
    }
}
