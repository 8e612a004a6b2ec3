//! Every reply of the simulated provider's scripts: `register`, `choose`, `claim`, `report` and `remind`.

use crate::shop::Shop;
use provider_simulation::keys::{ALARM, DUE, KEPT, PAYMENTS};
use provider_simulation::{Choice, Chosen, Delivery, ProviderPayment, SimulatedProvider, Standing};
use sale::ids::PaymentId;
use sale::money::{Currency, Money};
use sale::store::Redis;
use testkit::Connection;

const PAY_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

fn payment(number: u32) -> PaymentId {
    format!("p-iabcdefghij-0-{number:012}-1").parse().unwrap()
}

impl Shop {
    fn provider(&self) -> SimulatedProvider<Connection> {
        SimulatedProvider::new(self.engine())
    }

    async fn register(&self, id: &PaymentId, amount: i64) {
        let amount = Money::new(amount, Currency::parse("CNY").unwrap());
        self.provider().register_payment(id, &amount, self.now().plus_millis(PAY_MS)).await.unwrap();
    }

    async fn choose(&self, id: &PaymentId, choice: Choice, event: &str) -> Chosen {
        self.provider().choose_outcome(id, choice, event).await.unwrap()
    }

    async fn claim(&self, id: Option<&PaymentId>) -> Option<ProviderPayment> {
        let (claimed, at) = self.provider().claim_delivery(id).await.unwrap()?;
        assert_eq!(at, self.now());
        Some(claimed)
    }

    async fn report(&self, claimed: &ProviderPayment, status: Option<u16>) -> Option<ProviderPayment> {
        self.provider().report_delivery(claimed, &Delivery::of(status, "not-found")).await.unwrap()
    }

    async fn known(&self, id: &PaymentId) -> Option<ProviderPayment> {
        self.provider().payment(id).await.unwrap()
    }

    async fn number(&self, command: &str, arguments: &[&str]) -> i64 {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        self.redis.execute(command, &arguments).await.unwrap()[0].int().unwrap()
    }
}

#[tokio::test]
async fn a_payment_is_known_as_the_shop_told_of_it_first() {
    let shop = Shop::empty().await;
    let id = payment(1);
    assert_eq!(shop.known(&id).await, None);
    assert_eq!(shop.choose(&id, Choice::Succeeded, "e").await, Chosen::NotFound);
    let pay_by = shop.now().plus_millis(PAY_MS);
    shop.register(&id, 9_900).await;
    shop.advance(1_000);
    shop.register(&id, 1).await;
    let known = shop.known(&id).await.unwrap();
    let amount = Money::new(9_900, Currency::parse("CNY").unwrap());
    assert_eq!((known.standing, known.amount, known.pay_by), (Standing::Open, amount, pay_by));
    assert_eq!((known.choice, known.event_id.as_str(), known.tries), (None, "", 0));
    assert_eq!(shop.claim(None).await, None, "nothing is chosen, so nothing is to be told");
}

#[tokio::test]
async fn the_first_choice_stands_and_is_handed_out_to_one() {
    let shop = Shop::empty().await;
    let id = payment(1);
    shop.register(&id, 9_900).await;
    let Chosen::Done(chosen) = shop.choose(&id, Choice::Failed, "first").await else { panic!() };
    assert_eq!((chosen.standing, chosen.choice), (Standing::Due, Some(Choice::Failed)));
    assert_eq!(shop.choose(&id, Choice::Succeeded, "second").await, Chosen::Known(chosen.clone()));

    let claimed = shop.claim(Some(&id)).await.unwrap();
    assert_eq!((claimed.event_id.as_str(), claimed.tries), ("first", 1));
    assert_eq!(shop.claim(Some(&id)).await, None, "it is taken");
    assert_eq!(shop.claim(None).await, None);
    let done = shop.report(&claimed, Some(200)).await.unwrap();
    assert_eq!((done.standing, done.answer.as_str()), (Standing::Delivered, "200"));
    shop.advance(DAY_MS);
    assert_eq!(shop.claim(None).await, None, "it is told once");
    assert_eq!(shop.choose(&id, Choice::Succeeded, "third").await, Chosen::Known(done.clone()));
    assert_eq!(shop.report(&claimed, None).await, Some(done), "and stays so");
}

#[tokio::test]
async fn a_late_success_is_due_when_the_deadline_has_passed() {
    let shop = Shop::empty().await;
    let id = payment(1);
    shop.register(&id, 9_900).await;
    shop.choose(&id, Choice::Late, "e").await;
    shop.advance(PAY_MS - 1);
    assert_eq!(shop.claim(Some(&id)).await, None);
    assert!(!shop.provider().deliveries_due().await.unwrap());
    shop.advance(1_001);
    assert!(shop.provider().deliveries_due().await.unwrap());
    assert_eq!(shop.claim(None).await.unwrap().id, id);
    // Chosen after the deadline, there is nothing to wait for.
    let second = payment(2);
    shop.register(&second, 9_900).await;
    shop.advance(PAY_MS);
    shop.choose(&second, Choice::Late, "f").await;
    assert_eq!(
        shop.claim(Some(&second)).await,
        None,
        "not within the second that makes it late beyond doubt"
    );
    shop.advance(1_000);
    assert_eq!(shop.claim(Some(&second)).await.unwrap().id, second);
}

#[tokio::test]
async fn a_failed_try_is_repeated_later_each_time_and_in_the_end_given_up() {
    let shop = Shop::empty().await;
    let id = payment(1);
    shop.register(&id, 9_900).await;
    shop.choose(&id, Choice::Succeeded, "e").await;
    let mut pauses = Vec::new();
    for try_number in 1.. {
        let claimed = shop.claim(None).await.unwrap();
        assert_eq!((claimed.tries, claimed.event_id.as_str()), (try_number, "e"));
        let after = shop.report(&claimed, if try_number % 2 == 0 { Some(503) } else { None }).await.unwrap();
        if after.standing == Standing::GivenUp {
            break;
        }
        assert_eq!(after.answer, if try_number % 2 == 0 { "503" } else { "" });
        let due = shop.number("ZSCORE", &[DUE, &id.to_string()]).await - shop.now().millis();
        shop.advance(due - 1);
        assert_eq!(shop.claim(None).await, None);
        shop.advance(1);
        pauses.push(due);
    }
    assert_eq!(pauses[..10], [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]);
    assert_eq!(pauses.len(), 39);
    assert_eq!(shop.number("ZCARD", &[DUE]).await, 0);
}

#[tokio::test]
async fn a_refusal_is_final_and_what_a_dead_one_took_is_handed_out_again() {
    let shop = Shop::empty().await;
    let id = payment(1);
    shop.register(&id, 9_900).await;
    shop.choose(&id, Choice::Succeeded, "e").await;
    let lost = shop.claim(None).await.unwrap();
    shop.advance(10_000);
    let again = shop.claim(None).await.unwrap();
    assert_eq!((again.tries, again.event_id.as_str()), (2, "e"));
    // A sender that seemed dead reports its failure late. That says nothing of the try under way.
    assert_eq!(shop.report(&lost, None).await.unwrap().standing, Standing::Due);
    let refused = shop.report(&again, Some(404)).await.unwrap();
    assert_eq!((refused.standing, refused.answer.as_str()), (Standing::Refused, "404 not-found"));
    shop.advance(DAY_MS);
    assert_eq!(shop.claim(None).await, None);

    let other = payment(2);
    shop.register(&other, 9_900).await;
    shop.choose(&other, Choice::Succeeded, "f").await;
    let slow = shop.claim(None).await.unwrap();
    shop.advance(10_000);
    shop.claim(None).await.unwrap();
    let told = shop.report(&slow, Some(200)).await.unwrap();
    assert_eq!(told.standing, Standing::Delivered, "a late yes is a yes");
    let unknown = ProviderPayment { id: payment(3), ..told };
    assert_eq!(shop.report(&unknown, Some(200)).await, None);
}

#[tokio::test]
async fn the_longest_due_comes_first_and_the_alarm_stands_at_the_next() {
    let shop = Shop::empty().await;
    let ids: Vec<PaymentId> = (1..=3).map(payment).collect();
    for id in &ids {
        shop.register(id, 9_900).await;
        shop.choose(id, Choice::Succeeded, "e").await;
        shop.advance(100);
    }
    let alarm = shop.number("PTTL", &[ALARM]).await;
    assert!((1..=3_000).contains(&alarm), "{alarm}");
    assert_eq!(shop.claim(Some(&ids[1])).await.unwrap().id, ids[1]);
    assert_eq!(shop.claim(None).await.unwrap().id, ids[0]);
    assert_eq!(shop.claim(None).await.unwrap().id, ids[2]);
    assert_eq!(shop.claim(None).await, None);
    let alarm = shop.number("PTTL", &[ALARM]).await;
    assert!((1..=10_000).contains(&alarm), "{alarm}");

    // The alarm was heard and is gone; the next call sets it again.
    shop.number("DEL", &[ALARM]).await;
    assert!(!shop.provider().deliveries_due().await.unwrap());
    let alarm = shop.number("PTTL", &[ALARM]).await;
    assert!((9_000..=10_000).contains(&alarm), "{alarm}");
    shop.number("DEL", &[ALARM]).await;
    shop.advance(10_000);
    assert!(shop.provider().deliveries_due().await.unwrap());
    let alarm = shop.number("PTTL", &[ALARM]).await;
    assert!((1_000..=2_000).contains(&alarm), "{alarm}");
}

#[tokio::test]
async fn nothing_is_left_for_ever() {
    let shop = Shop::empty().await;
    let (old, new) = (payment(1), payment(2));
    shop.register(&old, 9_900).await;
    shop.choose(&old, Choice::Late, "e").await;
    for key in [PAYMENTS, KEPT, DUE] {
        let left = shop.number("PTTL", &[key]).await;
        assert!((3 * DAY_MS..=3 * DAY_MS + PAY_MS + 2_000).contains(&left), "{key}: {left}");
    }
    // A payment that came and went makes room for the next; its due webhook is passed over.
    shop.advance(3 * DAY_MS + PAY_MS + 1);
    shop.register(&new, 9_900).await;
    assert_eq!(shop.known(&old).await, None);
    assert!(shop.known(&new).await.is_some());
    assert_eq!(shop.claim(None).await, None);
    assert_eq!(shop.number("ZCARD", &[DUE]).await, 0);
    assert_eq!(shop.number("ZCARD", &[KEPT]).await, 1);
}
