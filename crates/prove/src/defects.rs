//! Deliberate defects of the scripts. The model must find each of them; otherwise it proves nothing.

use crate::redis::Defect;

/// A defect with its meaning: the script, its own text, and the text instead.
type Kept = (&'static str, &'static str, &'static str, &'static str);

const KEPT: [Kept; 45] = [
    (
        "grant holds a unit that is not there",
        "grant",
        "elseif available >= quantity then",
        "elseif true then",
    ),
    ("reserve admits a wish beyond the stock", "reserve", "if available < quantity then", "if false then"),
    ("reserve forgets the cap", "reserve", "if taken + quantity > cap then", "if false then"),
    ("reserve takes a used challenge", "reserve", "redis.call('SADD', challenges, challenge) == 0", "false"),
    ("reserve queues without bound", "reserve", "if queued and waiting >=", "if false and waiting >="),
    (
        "reserve lets an instant wish overtake the queue",
        "reserve",
        "mode == 'queued' or waiting > 0",
        "mode == 'queued'",
    ),
    ("reserve rings no doorbell", "reserve", "redis.call('PUBLISH', grant_doorbell, this_lane)\n", "\n"),
    ("reserve makes a second reservation", "reserve", "if alive ~= '' then", "if false then"),
    (
        "grant serves the last first",
        "grant",
        "redis.call('LTRIM', queue, #tails, -1)",
        "redis.call('LTRIM', queue, 0, -1 - #tails)",
    ),
    ("grant does not return what a loser had counted", "grant", "if #losers > 0 then", "if false then"),
    ("checkout moves no counter", "checkout", "redis.call('HINCRBY', lane, 'ordered', quantity)\n", "\n"),
    ("checkout takes a hold past its deadline", "checkout", "now >= deadline_of(deadlines, tail)", "false"),
    (
        "checkout writes no event",
        "checkout",
        "append_event(lane, outbox, 'order.created', tail, order)\n",
        "\n",
    ),
    (
        "pay opens a second payment beside a pending one",
        "pay",
        "if order.payment == 'pending' and not replace then",
        "if false then",
    ),
    ("settle takes any amount", "settle", "if amount ~= order.unit * order.quantity then", "if false then"),
    (
        "settle loses the money of a second payment",
        "settle",
        "if attempt == order.attempt or surplus_of(order, attempt) then",
        "if true then",
    ),
    (
        "settle takes money after the deadline",
        "settle",
        "if order.state == 'unpaid' and now >= order.pay_by then",
        "if false then",
    ),
    (
        "settle moves no counter of what is sold",
        "settle",
        "redis.call('HINCRBY', lane, 'sold', order.quantity)\n",
        "\n",
    ),
    (
        "cancel returns units twice",
        "cancel",
        "if order.state == 'cancelled' then return order_reply('cancelled', order) end\nif order.state ~= 'unpaid' then",
        "if order.state ~= 'unpaid' and order.state ~= 'cancelled' then",
    ),
    ("release returns no unit", "release", "redis.call('HINCRBY', lane, 'available', quantity)\n", "\n"),
    (
        "refund is due for ever",
        "refund",
        "order.state = 'refunded'\nredis.call('HINCRBY', lane, 'refunds_due', -1)",
        "order.state = 'refunded'",
    ),
    ("lapse leaves a deadline", "lapse", "  redis.call('ZREM', deadlines, tail)\nend", "end"),
    ("lapse sets no alarm", "lapse", "arm(lane, deadlines, alarm)\n", "\n"),
    ("stock adds units again under the same key", "stock", "if before then", "if false then"),
    ("stock takes a key for another request", "stock", "if reused then", "if false then"),
    (
        "an older document replaces newer terms",
        "publish_lane",
        "if version < tonumber(version_before or 0) then",
        "if false then",
    ),
    (
        "checkout takes the price of today for an older hold",
        "checkout",
        "price = price_held or price",
        "price = price",
    ),
    ("pay opens payments without bound", "pay", "if order.attempts >= most then", "if false then"),
    (
        "the queue of an item that ends in a pause waits for ever",
        "grant",
        "local over = switch == 'closed' or is_over_in_pause(switch, ends_at)",
        "local over = switch == 'closed'",
    ),
    ("rules change a lane and tell nobody", "apply_rules", "if told() ~= before then", "if false then"),
    ("stock goes below what is taken", "stock", "or wanted < taken or", "or"),
    ("purge takes an event that was not copied", "purge", "redis.call('XLEN', outbox) > 0", "false"),
    (
        "acknowledge drops what was not copied",
        "acknowledge",
        "redis.call('XDEL', outbox, unpack(ids))",
        "redis.call('XTRIM', outbox, 'MAXLEN', 0)",
    ),
    ("grant notes nobody in the filter of holders", "grant", "note_holders(lane, holders, winners)\n", "\n"),
    (
        "reserve notes nobody in the filter of holders",
        "reserve",
        "note_holders(lane, holders, {user})\n",
        "\n",
    ),
    ("a rebuild forgets who has orders", "orders", "note_holders(rebuilding, holders, having)\n", "\n"),
    (
        "a mark is made while somebody waits",
        "show_holders",
        "if available ~= '0' or redis.call('EXISTS', queue) == 1 then",
        "if available ~= '0' then",
    ),
    (
        "the filter forgets a bit",
        "grant",
        "redis.call('SETBIT', holders, base + tonumber(string.sub(digest, 17, 20), 16), '1')\n",
        "\n",
    ),
    (
        "lapse never forgets an ended record",
        "lapse",
        "forget_ended(reservations, ended, 2 * lapsed_holds + 500)\n",
        "\n",
    ),
    ("grant notes no end", "grant", "note_ended(ended, lost)\n", "\n"),
    (
        "a record is forgotten as soon as its reservation ended",
        "lapse",
        "if now < second * 1000 + ENDED_KEPT_MS then break end",
        "",
    ),
    (
        "a pause that an operator makes their own is not told",
        "switch_lane",
        "if wanted ~= switch or paused_by_rules then",
        "if wanted ~= switch then",
    ),
    (
        "checkout tells what the shopper wrote in the event",
        "checkout",
        "append_event(lane, outbox, 'order.created', tail, order)\n",
        "append_event(lane, outbox, 'order.created', tail, order, ',\"details\":' .. contact)\n",
    ),
    (
        "read_outbox loses what the shopper wrote",
        "read_outbox",
        "tail and redis.call('HGET', details, tail) or ''",
        "''",
    ),
    (
        "an erasure leaves what the shopper wrote in Redis",
        "erase",
        "redis.call('HSET', details, tail, '')",
        "local _ = known",
    ),
];

/// Every defect that is kept, with its meaning.
pub fn kept() -> impl Iterator<Item = (&'static str, Defect)> {
    KEPT.into_iter().map(|(meaning, script, from, to)| {
        (meaning, Defect { script: script.to_owned(), from: from.to_owned(), to: to.to_owned() })
    })
}
