//! Payment providers behind one small interface. We tell a provider of a payment, and it says where the shopper pays.
//! Every provider reports the outcome by the same webhook.

use std::rc::Rc;

use provider_simulation::SimulatedProvider;
use sale::Engine;
use sale::ids::PaymentId;
use sale::scripts::OrderView;
use web::platform::settings;
use web::shop::payment::{PaymentProvider, sign_link};
use web::{Problem, SharedRedis};

/// The provider that the settings choose.
#[derive(Debug, PartialEq, Eq)]
pub enum Provider {
    /// The simulated provider, for trying the shop out.
    Simulated,
    /// A real provider's adapter, with a page of its own.
    Webhook {
        page: PageTemplate,
        /// The key of links to the page. Empty for a page without a signature.
        secret: Rc<str>,
    },
}

impl Provider {
    /// Reads the settings. If they make no sense, the problem says so, and no payment is opened.
    pub async fn chosen() -> Result<Self, Problem> {
        match PaymentProvider::chosen().await? {
            PaymentProvider::Simulated => Ok(Provider::Simulated),
            PaymentProvider::Webhook => {
                let page = PageTemplate::parse(&settings::text(settings::PAYMENT_URL).await?)
                    .map_err(|cause| settings::unavailable(settings::PAYMENT_URL, cause))?;
                let secret = if page.is_signed() {
                    settings::secret(settings::PAYMENT_LINK_SECRET).await?
                } else {
                    "".into()
                };
                Ok(Provider::Webhook { page, secret })
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
            Provider::Webhook { page, secret } => page.filled(payment, order, secret),
        }
    }
}

/// A provider's page: the setting `payment_url`.
#[derive(Debug, PartialEq, Eq)]
pub struct PageTemplate(String);

/// The placeholders. Their values are ids, digits and capital letters, so none needs escaping in a URL.
const PLACEHOLDERS: [&str; 6] =
    ["{payment_id}", "{order_id}", "{amount}", "{currency}", "{pay_by}", "{signature}"];
/// What a shopper could change to their advantage, were there no signature.
const TO_BE_SIGNED: [&str; 3] = ["{amount}", "{currency}", "{pay_by}"];

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
            Err(
                "may have {payment_id}, {order_id}, {amount}, {currency}, {pay_by} and {signature} in braces, \
                 and nothing else",
            )
        } else if !text.contains("{payment_id}") {
            Err("must have {payment_id} in it: the webhook names the payment by it")
        } else if !text.contains("{signature}") && TO_BE_SIGNED.iter().any(|name| text.contains(name)) {
            Err(
                "must have {signature} beside {amount}, {currency} or {pay_by}: else a shopper could change them",
            )
        } else {
            Ok(PageTemplate(text.to_owned()))
        }
    }

    fn is_signed(&self) -> bool {
        self.0.contains("{signature}")
    }

    fn filled(&self, payment: &PaymentId, order: &OrderView, secret: &str) -> Result<String, Problem> {
        let total = order.total();
        // Whole seconds, rounded down: the provider's page closes before the order does.
        let pay_by = order.pay_by.millis().div_euclid(1_000).to_string();
        let fields = [
            &payment.to_string(),
            &order.id.to_string(),
            &total.amount.to_string(),
            total.currency.as_str(),
            &pay_by,
        ];
        let signature = if self.is_signed() { sign_link(&fields, secret.as_bytes())? } else { String::new() };
        let values = fields.into_iter().chain([signature.as_str()]);
        Ok(PLACEHOLDERS
            .iter()
            .zip(values)
            .fold(self.0.clone(), |page, (name, value)| page.replace(name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_url_or_a_path_that_names_the_payment() {
        for text in [
            "https://pay.example.org/checkout?id={payment_id}&order={order_id}&sum={amount}{currency}&s={signature}",
            "https://pay.example.org/checkout?id={payment_id}&order={order_id}",
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
            "https://pay.example.org/{payment_id}?sum={amount}",
            "https://pay.example.org/{payment_id}?in={currency}",
            "https://pay.example.org/{payment_id}?until={pay_by}",
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
            pay_by: Timestamp::from_millis(1_795_255_200_999),
            paid_at: None,
            payment: None,
            surplus: Vec::new(),
        };
        let page = PageTemplate::parse("https://p.example/{payment_id}/{order_id}").unwrap();
        let url = "https://p.example/p-iabcdefghij-0-abcdefghijkm-2/o-iabcdefghij-0-abcdefghijkm";
        assert_eq!(page.filled(&payment, &order, "").unwrap(), url);
        let page = "https://p.example/{payment_id}?{amount}-{currency}-{pay_by}-{signature}";
        let page = PageTemplate::parse(page).unwrap();
        let secret = "a link secret of at least 32 characters";
        // printf %s p-iabcdefghij-0-abcdefghijkm-2.o-iabcdefghij-0-abcdefghijkm.29700.CNY.1795255200 |
        //     openssl dgst -sha256 -hmac 'a link secret of at least 32 characters'
        let signature = "320921140e5c1bdb030b75931a2cffb6704a05c2070a6e027a56a0c7c06dbe1c";
        let url =
            format!("https://p.example/p-iabcdefghij-0-abcdefghijkm-2?29700-CNY-1795255200-{signature}");
        assert_eq!(page.filled(&payment, &order, secret).unwrap(), url);
    }
}
