//! Payment providers behind one small interface. We tell a provider of a payment, and it says where the shopper pays.
//! Every provider reports the outcome by the same webhook.

use provider_simulation::SimulatedProvider;
use sale::Engine;
use sale::ids::PaymentId;
use sale::scripts::OrderView;
use web::platform::settings;
use web::shop::payment::PaymentProvider;
use web::{Problem, SharedRedis};

/// The provider that the settings choose.
#[derive(Debug, PartialEq, Eq)]
pub enum Provider {
    /// The simulated provider, for trying the shop out.
    Simulated,
    /// A real provider's adapter, with a page of its own.
    Webhook { page: PageTemplate },
}

impl Provider {
    /// Reads the settings. If they make no sense, the problem says so, and no payment is opened.
    pub async fn chosen() -> Result<Self, Problem> {
        match PaymentProvider::chosen().await? {
            PaymentProvider::Simulated => Ok(Provider::Simulated),
            PaymentProvider::Webhook => {
                let page = PageTemplate::parse(&settings::text(settings::PAYMENT_URL).await?)
                    .map_err(|cause| settings::unavailable(settings::PAYMENT_URL, cause))?;
                Ok(Provider::Webhook { page })
            }
        }
    }

    /// Tells the provider of `payment` for `order`, and returns the page on which the shopper pays. May be repeated.
    pub async fn page(
        &self,
        engine: &Engine<SharedRedis>,
        payment: &PaymentId,
        order: &OrderView,
    ) -> Result<String, Problem> {
        match self {
            Provider::Simulated => {
                let provider = SimulatedProvider::new(Engine::new(engine.redis()));
                provider.register_payment(payment, &order.total(), order.pay_by).await?;
                Ok(format!("/pay/{payment}"))
            }
            Provider::Webhook { page } => Ok(page.filled(payment, order)),
        }
    }
}

/// A provider's page: the setting `payment_url`.
#[derive(Debug, PartialEq, Eq)]
pub struct PageTemplate(String);

/// The placeholders. Their values are ids, digits and capital letters, so none needs escaping in a URL.
const PLACEHOLDERS: [&str; 4] = ["{payment_id}", "{order_id}", "{amount}", "{currency}"];

impl PageTemplate {
    /// Accepts a URL, or a path on this server. It must contain the payment's placeholder, and no other braces.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let has_host = ["https://", "http://"]
            .iter()
            .filter_map(|scheme| text.strip_prefix(scheme))
            .any(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['));
        let is_path = text.starts_with('/') && !text.starts_with("//");
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\".contains(&byte));
        let rest = PLACEHOLDERS.iter().fold(text.to_owned(), |rest, name| rest.replace(name, ""));
        if !(has_host || is_path) || !plain {
            Err("must be a URL or a path with payment_provider=webhook")
        } else if rest.contains(['{', '}']) {
            Err("may have {payment_id}, {order_id}, {amount} and {currency} in braces, and nothing else")
        } else if !text.contains("{payment_id}") {
            Err("must have {payment_id} in it: the webhook names the payment by it")
        } else {
            Ok(PageTemplate(text.to_owned()))
        }
    }

    fn filled(&self, payment: &PaymentId, order: &OrderView) -> String {
        let total = order.total();
        self.0
            .replace("{payment_id}", &payment.to_string())
            .replace("{order_id}", &order.id.to_string())
            .replace("{amount}", &total.amount.to_string())
            .replace("{currency}", total.currency.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_url_or_a_path_that_names_the_payment() {
        for text in [
            "https://pay.example.org/checkout?id={payment_id}&order={order_id}&sum={amount}{currency}",
            "http://127.0.0.1:9000/{payment_id}",
            "http://[::1]:9000/{payment_id}",
            "/cashier/{payment_id}",
        ] {
            assert!(PageTemplate::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "pay.example.org/{payment_id}",
            "//pay.example.org/{payment_id}",
            "javascript:alert('{payment_id}')",
            "https:///{payment_id}",
            "https://pay.example.org/{order_id}",
            "https://pay.example.org/{payment_id}?x={contact}",
            "https://pay.example.org/{payment_id}}",
            "https://pay.example.org/{payment_id}\r\nset-cookie: a=b",
            "https://pay.example.org/{payment_id}\"><b>",
        ] {
            assert!(PageTemplate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_placeholders_of_a_page_are_filled_in() {
        use sale::money::{Currency, Money};
        use sale::order::OrderState;
        use sale::time::Timestamp;
        let payment: PaymentId = "p-iabcdefghij-0-abcdefghijkm-2".parse().unwrap();
        let order = OrderView {
            id: payment.order.clone(),
            state: OrderState::Unpaid,
            user: "ann".parse().unwrap(),
            quantity: 3,
            unit_price: Money::new(9_900, Currency::parse("CNY").unwrap()),
            created_at: Timestamp::default(),
            pay_by: Timestamp::default(),
            paid_at: None,
            payment: None,
            surplus: Vec::new(),
        };
        let page =
            PageTemplate::parse("https://p.example/{payment_id}/{order_id}?{amount}-{currency}").unwrap();
        let url = "https://p.example/p-iabcdefghij-0-abcdefghijkm-2/o-iabcdefghij-0-abcdefghijkm?29700-CNY";
        assert_eq!(page.filled(&payment, &order), url);
    }
}
