//! The pay page: plain HTML and forms, which work without scripts, by keyboard and on a phone. Every value is escaped, even
//! if it can only be plain text.

use std::fmt::Write;

use provider_simulation::{Choice, ProviderPayment, Standing};
use sale::ids::PaymentId;
use sale::money::Money;
use sale::time::Timestamp;
use web::{HeaderValue, Response, StatusCode, header};

use crate::PAGE_POLICY;
use crate::words::Tongue;

/// The page's look.
pub const STYLE: &str = include_str!("page.css");

/// Where a payment's page is.
pub fn path(id: &PaymentId, tongue: Tongue) -> String {
    format!("/pay/{id}?lang={}", tongue.tag())
}

/// Where the shop shows the order.
pub fn order_path(id: &PaymentId) -> String {
    format!("/orders/{}", id.order)
}

/// The page of a payment in its present state.
pub fn of(payment: &ProviderPayment, tongue: Tongue, now: Timestamp) -> Response {
    let t = |english, chinese| tongue.say(english, chinese);
    let id = &payment.id;
    let late = now >= payment.pay_by;
    let mut main = String::new();
    let _ = write!(
        main,
        "<p class=\"sum\"><span>{}</span><strong id=\"amount\">{}</strong></p>\n<dl>\n<div><dt>{}</dt><dd><code id=\"order\">{}</code></dd></div>\n\
         <div><dt>{}</dt><dd><code>{}</code></dd></div>\n<div><dt>{}</dt><dd><time datetime=\"{}\">{}</time></dd></div>\n</dl>\n",
        t("Amount to pay", "应付金额"),
        escaped(&money(&payment.amount)),
        t("Order", "订单"),
        escaped(&id.order.to_string()),
        t("Payment", "支付单"),
        escaped(&id.to_string()),
        t("Pay by", "付款截止"),
        escaped(&payment.pay_by.to_string()),
        escaped(&moment(payment.pay_by)),
    );
    let mut refresh = None;
    match payment.standing {
        Standing::Open => main.push_str(&choices(id, late, tongue)),
        Standing::Due => {
            let waits = payment.choice == Some(Choice::Late) && payment.tries == 0;
            refresh = Some((if waits { 5 } else { 2 }, path(id, tongue)));
            let (title, text) = if waits {
                (
                    t("Paid, but late", "已支付，但会迟到"),
                    t(
                        "The shop will hear of it when its deadline has passed. You may close this page: it is told all the same.",
                        "截止时间过后商家才会收到通知。可以关闭本页，通知照常发送。",
                    ),
                )
            } else {
                (
                    t("Telling the shop", "正在通知商家"),
                    t(
                        "The shop has not answered yet. It is asked again and again, also when this page is closed.",
                        "商家尚未应答，系统会不断重试，关闭本页也会继续。",
                    ),
                )
            };
            main.push_str(&notice("wait", title, text, &said(payment, tongue)));
        }
        Standing::Delivered => {
            refresh = Some((2, order_path(id)));
            let title = match payment.choice {
                Some(Choice::Failed) => t("Not paid", "支付失败"),
                _ => t("Paid", "支付成功"),
            };
            main.push_str(&notice(
                if payment.choice == Some(Choice::Failed) { "bad" } else { "good" },
                title,
                t("The shop knows. You are on your way back to it.", "商家已收到通知，即将返回商家页面。"),
                "",
            ));
        }
        Standing::Refused => main.push_str(&notice(
            "bad",
            t("The shop refuses this payment", "商家拒绝了这笔支付"),
            t(
                "Trying again would not change its answer. A real provider would give the money back now.",
                "重试也不会改变结果。真实的支付机构此时会退款。",
            ),
            &said(payment, tongue),
        )),
        Standing::GivenUp => main.push_str(&notice(
            "bad",
            t("The shop could not be reached", "无法联系商家"),
            t(
                "It was tried for hours. A real provider would call somebody now.",
                "已尝试数小时。真实的支付机构此时会人工介入。",
            ),
            &said(payment, tongue),
        )),
    }
    let _ = writeln!(
        main,
        "<p class=\"back\"><a id=\"back\" href=\"{}\">{}</a></p>",
        escaped(&order_path(id)),
        t("Back to the shop", "返回商家"),
    );
    respond(
        StatusCode::OK,
        &document(tongue, &path(id, tongue.other()), payment.standing.as_str(), refresh, &main),
    )
}

/// The page for an id that no payment has.
pub fn unknown(tongue: Tongue) -> Response {
    let main = notice(
        "bad",
        tongue.say("No such payment", "没有这笔支付"),
        tongue.say(
            "The address is mistyped, or the payment was long ago. Your order shows how it stands.",
            "地址有误，或支付已过期很久。可在订单中查看状态。",
        ),
        "",
    ) + &format!(
        "<p class=\"back\"><a id=\"back\" href=\"/orders\">{}</a></p>\n",
        tongue.say("My orders", "我的订单")
    );
    let other = format!("?lang={}", tongue.other().tag());
    respond(StatusCode::NOT_FOUND, &document(tongue, &other, "missing", None, &main))
}

fn respond(status: StatusCode, html: &str) -> Response {
    let media_type = HeaderValue::from_static("text/html; charset=utf-8");
    Response::bytes(status, media_type, html.to_owned())
        .with(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
        // Without this the browser would send the form without an origin.
        .with(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
}

/// The form: one button for each choice, so that one click decides.
fn choices(id: &PaymentId, late: bool, tongue: Tongue) -> String {
    let t = |english, chinese| tongue.say(english, chinese);
    let mut form = format!(
        "<form method=\"post\" action=\"{}\">\n<h2>{}</h2>\n",
        escaped(&path(id, tongue)),
        t("How shall this payment go?", "这笔支付结果如何？"),
    );
    if late {
        let _ = writeln!(
            form,
            "<p class=\"hint\">{}</p>",
            t(
                "The shop’s deadline has passed. Money that comes now goes back.",
                "已过商家的付款截止时间，此时到账的款项将被退回。",
            )
        );
    }
    let mut button = |choice: Choice, title: &str, text: &str| {
        let word = choice.as_str();
        let _ = writeln!(
            form,
            "<button class=\"{word}\" name=\"outcome\" value=\"{word}\"><b>{title}</b><span>{text}</span></button>"
        );
    };
    button(
        Choice::Succeeded,
        t("It succeeds", "支付成功"),
        t("The shop is told at once, and you go back to it.", "立即通知商家并返回。"),
    );
    button(
        Choice::Failed,
        t("It fails", "支付失败"),
        t(
            "As with a card that is declined. You can try again in the shop.",
            "如同卡被拒付，可在商家重新支付。",
        ),
    );
    if !late {
        button(
            Choice::Late,
            t("It succeeds after the deadline", "截止时间之后才成功"),
            t(
                "The shop is told too late, by itself, and has to give the money back.",
                "系统会在截止后自动通知商家，商家须退款。",
            ),
        );
    }
    form + "</form>\n"
}

/// The tries to deliver so far, for a person who looks into them.
fn said(payment: &ProviderPayment, tongue: Tongue) -> String {
    let answer = escaped(&payment.answer);
    match (payment.tries, tongue) {
        (0, _) => String::new(),
        (tries, Tongue::English) if answer.is_empty() => format!("Tries: {tries}, no answer so far"),
        (tries, Tongue::English) => format!("Tries: {tries}, last answer: {answer}"),
        (tries, Tongue::Chinese) if answer.is_empty() => format!("已尝试 {tries} 次，尚无应答"),
        (tries, Tongue::Chinese) => format!("已尝试 {tries} 次，最近应答：{answer}"),
    }
}

fn notice(kind: &str, title: &str, text: &str, fine: &str) -> String {
    let fine = if fine.is_empty() { String::new() } else { format!("<p class=\"fine\">{fine}</p>") };
    format!(
        "<section class=\"notice {kind}\" role=\"status\"><h2>{title}</h2><p>{text}</p>{fine}</section>\n"
    )
}

/// `standing` marks the body for browser tests. `refresh` says after how many seconds the browser goes where.
fn document(
    tongue: Tongue,
    other_path: &str,
    standing: &str,
    refresh: Option<(u32, String)>,
    main: &str,
) -> String {
    let t = |english, chinese| tongue.say(english, chinese);
    let refresh = refresh.map_or_else(String::new, |(seconds, path)| {
        format!("<meta http-equiv=\"refresh\" content=\"{seconds}; url={}\">\n", escaped(&path))
    });
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex\">\n{refresh}<link rel=\"stylesheet\" href=\"/pay/page.css\">\n</head>\n\
         <body data-step=\"{standing}\">\n<header><p class=\"name\">{name}</p>\
         <a href=\"{other}\" lang=\"{other_lang}\" hreflang=\"{other_lang}\">{other_name}</a></header>\n\
         <p class=\"test\">{test}</p>\n<main>\n<h1>{heading}</h1>\n{main}</main>\n</body>\n</html>\n",
        lang = tongue.tag(),
        title = t("Pay · Simulated provider", "支付 · 模拟支付"),
        name = t("Simulated Pay", "模拟支付"),
        other = escaped(other_path),
        other_lang = tongue.other().tag(),
        other_name = tongue.other().name(),
        test = t("A simulation: no money moves here.", "模拟环境，不会发生真实扣款。"),
        heading = t("Payment", "付款"),
    )
}

/// `¥399.00`, or `399.00 SEK` for a currency whose sign few people know.
fn money(money: &Money) -> String {
    let code = money.currency.as_str();
    let decimals = match code {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let unit = 10_u64.pow(decimals);
    let amount = money.amount.unsigned_abs();
    let whole = grouped(amount / unit);
    let number = match decimals {
        0 => whole,
        decimals => format!("{whole}.{:0width$}", amount % unit, width = decimals as usize),
    };
    match code {
        "CNY" | "JPY" => format!("¥{number}"),
        "USD" => format!("${number}"),
        "EUR" => format!("€{number}"),
        "GBP" => format!("£{number}"),
        code => format!("{number} {code}"),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2026-11-21 10:00:00 UTC`. Without a script the page cannot know the reader's time zone.
fn moment(moment: Timestamp) -> String {
    let text = moment.to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}

/// Escapes text for HTML, inside and outside of quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use sale::money::Currency;

    fn shown(amount: i64, currency: &str) -> String {
        money(&Money::new(amount, Currency::parse(currency).unwrap()))
    }

    #[test]
    fn money_is_written_as_its_currency_is() {
        assert_eq!(shown(39_900, "CNY"), "¥399.00");
        assert_eq!(shown(123_456_789, "USD"), "$1,234,567.89");
        assert_eq!(shown(5, "EUR"), "€0.05");
        assert_eq!(shown(1_200, "JPY"), "¥1,200");
        assert_eq!(shown(1_005, "KWD"), "1.005 KWD");
    }

    fn payment(standing: Standing, choice: Option<Choice>, answer: &str) -> ProviderPayment {
        ProviderPayment {
            id: "p-iabcdefghij-0-abcdefghijkm-1".parse().unwrap(),
            standing,
            amount: Money::new(39_900, Currency::parse("CNY").unwrap()),
            pay_by: Timestamp::from_millis(1_795_255_200_000),
            choice,
            event_id: "evt_1".to_owned(),
            tries: 1,
            answer: answer.to_owned(),
        }
    }

    fn html(payment: &ProviderPayment, millis: i64) -> String {
        let page = of(payment, Tongue::English, Timestamp::from_millis(millis));
        String::from_utf8(page.body.to_vec()).unwrap()
    }

    #[test]
    fn whatever_was_said_is_escaped() {
        let page = html(&payment(Standing::Refused, Some(Choice::Succeeded), "422 <b>\"'&"), 0);
        assert!(page.contains("422 &lt;b&gt;&quot;&#39;&amp;"), "{page}");
        assert!(!page.contains("<b>"), "{page}");
    }

    #[test]
    fn after_the_deadline_there_is_nothing_to_be_late_for() {
        let open = payment(Standing::Open, None, "");
        assert_eq!(html(&open, 1_795_255_199_999).matches("name=\"outcome\"").count(), 3);
        let late = html(&open, 1_795_255_200_000);
        assert_eq!(late.matches("name=\"outcome\"").count(), 2);
        assert!(late.contains("deadline has passed"), "{late}");
    }

    #[test]
    fn no_page_has_a_script_or_a_style_of_its_own() {
        for standing in Standing::ALL {
            let page = html(&payment(standing, Some(Choice::Late), "503"), 0);
            for forbidden in ["<script", "<style", "style=", "onclick", "javascript:"] {
                assert!(!page.contains(forbidden), "{standing:?}: {forbidden}");
            }
            assert_eq!(page.contains("<form"), standing == Standing::Open);
        }
    }
}
