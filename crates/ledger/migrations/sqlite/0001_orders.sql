-- Orders, payments and all their events, kept for good.
--
-- Nobody writes rows of `orders` and `payments` directly. The ledger inserts an event into `events`, and triggers apply
-- it. So an event and its effect are one statement, which happens completely or not at all. Other triggers and
-- constraints refuse every row that no event made.
--
-- Moments are milliseconds since 1970 UTC. Money is in minor units. The text of a refusal begins with `ledger: `, by
-- which src/apply.rs and src/sql.rs recognise it.

-- The only legal moves of orders and payments. A test compares them with the tables of crates/sale.
CREATE TABLE transitions (
    subject TEXT NOT NULL CHECK (subject IN ('order', 'payment')),
    from_state TEXT NOT NULL,
    event TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (subject, from_state, event)
) STRICT, WITHOUT ROWID;
-- next
INSERT INTO transitions (subject, from_state, event, to_state) VALUES
    ('order', 'unpaid', 'order.paid', 'paid'),
    ('order', 'unpaid', 'order.cancelled', 'cancelled'),
    ('order', 'unpaid', 'order.timed_out', 'timed_out'),
    ('order', 'cancelled', 'order.refund_due', 'refund_due'),
    ('order', 'timed_out', 'order.refund_due', 'refund_due'),
    ('order', 'refund_due', 'order.refunded', 'refunded'),
    ('payment', 'pending', 'payment.failed', 'failed'),
    ('payment', 'pending', 'order.paid', 'succeeded'),
    ('payment', 'pending', 'order.refund_due', 'succeeded'),
    -- Providers deliver out of order: a success may overtake, or follow, the failure of the same payment.
    ('payment', 'failed', 'order.paid', 'succeeded'),
    ('payment', 'failed', 'order.refund_due', 'succeeded'),
    ('payment', 'succeeded', 'order.refunded', 'refunded'),
    -- A surplus payment: another payment had paid for the order.
    ('payment', 'pending', 'payment.refund_due', 'refund_due'),
    ('payment', 'failed', 'payment.refund_due', 'refund_due'),
    ('payment', 'refund_due', 'payment.refunded', 'refunded');
-- next
-- How far each lane's outbox is written. Every event up to number `seq` is in `events` or in `set_aside`.
CREATE TABLE lanes (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 65535),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (item_id, lane)
) STRICT, WITHOUT ROWID;
-- next
-- Every applied event, as the outbox had it. The primary key keeps a repeat from being applied twice.
CREATE TABLE events (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    type TEXT NOT NULL CHECK (type IN (
        'order.created', 'order.paid', 'order.cancelled', 'order.timed_out', 'order.refund_due', 'order.refunded',
        'payment.created', 'payment.failed', 'payment.refund_due', 'payment.refunded', 'lane.changed',
        'lane.described')),
    -- No foreign key, because `order.created` comes before its order. Triggers refuse other events without an order.
    order_id TEXT CHECK ((order_id IS NULL) = (type IN ('lane.changed', 'lane.described'))),
    at INTEGER NOT NULL,
    -- The event's text. Two events are the same event if their texts are equal.
    payload TEXT NOT NULL,
    PRIMARY KEY (item_id, lane, seq)
) STRICT, WITHOUT ROWID;
-- next
CREATE INDEX events_of_order ON events (order_id, seq);
-- next
-- A rebuild reads the latest of each: the lane's stock and terms, and the operator's documents.
CREATE INDEX events_of_lane ON events (item_id, lane, type, seq) WHERE type IN ('lane.changed', 'lane.described');
-- next
CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    -- A reservation has one order at most.
    reservation_id TEXT NOT NULL UNIQUE,
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    unit_price INTEGER NOT NULL CHECK (unit_price BETWEEN 0 AND 1000000000000),
    currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
    -- Computed here, so that no writer can store another sum.
    total INTEGER NOT NULL GENERATED ALWAYS AS (quantity * unit_price) STORED,
    state TEXT NOT NULL
        CHECK (state IN ('unpaid', 'paid', 'cancelled', 'timed_out', 'refund_due', 'refunded')),
    created_at INTEGER NOT NULL,
    pay_by INTEGER NOT NULL CHECK (pay_by >= created_at),
    -- When the money came, and the payment that brought it.
    paid_at INTEGER,
    payment_id TEXT REFERENCES payments (id),
    contact TEXT,
    address TEXT,
    note TEXT,
    -- The moment and the number of the event that gave the order its present state.
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    FOREIGN KEY (item_id, lane, seq) REFERENCES events (item_id, lane, seq),
    CONSTRAINT money_has_a_moment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (paid_at IS NOT NULL)),
    CONSTRAINT money_has_a_payment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (payment_id IS NOT NULL)),
    -- Money that comes at the deadline or later buys nothing.
    CONSTRAINT paid_in_time CHECK (state <> 'paid' OR paid_at < pay_by)
) STRICT;
-- next
CREATE INDEX orders_of_user ON orders (user_id, created_at, id);
-- next
CREATE INDEX orders_of_lane ON orders (item_id, lane, id);
-- next
CREATE INDEX orders_in_state ON orders (state, updated_at, id);
-- next
CREATE TABLE payments (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    currency TEXT NOT NULL,
    -- `refund_due` marks a surplus payment: another payment of the order had succeeded before.
    state TEXT NOT NULL CHECK (state IN ('pending', 'failed', 'succeeded', 'refund_due', 'refunded')),
    created_at INTEGER NOT NULL,
    settled_at INTEGER,
    refunded_at INTEGER,
    CHECK ((state = 'pending') = (settled_at IS NULL)),
    CHECK ((state = 'refunded') = (refunded_at IS NOT NULL))
) STRICT;
-- next
CREATE INDEX payments_of_order ON payments (order_id, id);
-- next
-- At most one payment of an order counts.
CREATE UNIQUE INDEX payments_success_of_order ON payments (order_id) WHERE state = 'succeeded';
-- next
CREATE INDEX payments_in_state ON payments (state, settled_at, id);
-- next
-- Events that could not be applied, with the reason. They keep their number in the lane, so that later events go on.
CREATE TABLE set_aside (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    -- The id of the outbox entry. `missing-<seq>` stands for an event that an operator passed over.
    stream_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    -- The event's order, if it could be read. Later events of that order are set aside too.
    order_id TEXT,
    payload TEXT NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- When it was applied after all, or when an operator dismissed it. Either ends its hold on later events.
    applied_at INTEGER,
    dismissed_at INTEGER,
    CHECK (applied_at IS NULL OR dismissed_at IS NULL),
    PRIMARY KEY (item_id, lane, stream_id)
) STRICT, WITHOUT ROWID;
-- next
CREATE INDEX set_aside_by_seq ON set_aside (item_id, lane, seq);
-- next
CREATE INDEX set_aside_of_order ON set_aside (order_id, seq) WHERE applied_at IS NULL AND dismissed_at IS NULL;
-- next
-- Lets each event in once, in order.
CREATE TRIGGER events_once_in_order BEFORE INSERT ON events
BEGIN
    -- The same event again, applied or set aside before: ignore it.
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM events
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload);
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM set_aside
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
            AND applied_at IS NULL);
    -- Redis came back from an old copy and used a number twice. Refuse, so that the lane is rebuilt.
    SELECT RAISE(ABORT, 'ledger: another event was written with this number') WHERE EXISTS (
        SELECT 1 FROM events WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq);
    SELECT RAISE(ABORT, 'ledger: an event before this one is missing')
    WHERE NEW.seq > 1 + coalesce((SELECT seq FROM lanes WHERE item_id = NEW.item_id AND lane = NEW.lane), 0);
    -- A number that the lane has passed is allowed only for an event that was set aside and is now applied.
    SELECT RAISE(ABORT, 'ledger: the lane has gone past this number')
    WHERE NEW.seq <= coalesce((SELECT seq FROM lanes WHERE item_id = NEW.item_id AND lane = NEW.lane), 0)
        AND NOT EXISTS (
            SELECT 1 FROM set_aside
            WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
                AND applied_at IS NOT NULL);
    -- The state of an order after a missing step would be a guess; facts only are recorded.
    SELECT RAISE(ABORT, 'ledger: an earlier event of this order was set aside') WHERE EXISTS (
        SELECT 1 FROM set_aside
        WHERE order_id = NEW.order_id AND seq < NEW.seq AND applied_at IS NULL AND dismissed_at IS NULL);
    INSERT INTO lanes (item_id, lane, seq) VALUES (NEW.item_id, NEW.lane, NEW.seq)
        ON CONFLICT (item_id, lane) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > lanes.seq;
END;
-- next
CREATE TRIGGER events_make_order AFTER INSERT ON events WHEN NEW.type = 'order.created'
BEGIN
    INSERT INTO orders (id, reservation_id, item_id, lane, user_id, quantity, unit_price, currency, state,
        created_at, pay_by, contact, address, note, updated_at, seq)
    VALUES (NEW.order_id, NEW.payload ->> '$.reservation_id', NEW.item_id, NEW.lane, NEW.payload ->> '$.user_id',
        NEW.payload ->> '$.quantity', NEW.payload ->> '$.unit_price', NEW.payload ->> '$.currency',
        NEW.payload ->> '$.state', NEW.at, NEW.payload ->> '$.pay_by', NEW.payload ->> '$.details.contact',
        NEW.payload ->> '$.details.address', NEW.payload ->> '$.details.note', NEW.at, NEW.seq);
END;
-- next
-- An event must agree with its order in everything that never changes.
CREATE TRIGGER events_agree_with_order AFTER INSERT ON events
WHEN NEW.type <> 'order.created' AND NEW.order_id IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'ledger: no such order')
    WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = NEW.order_id);
    SELECT RAISE(ABORT, 'ledger: the event disagrees with its order')
    WHERE NOT EXISTS (
        SELECT 1 FROM orders
        WHERE id = NEW.order_id AND item_id = NEW.item_id AND lane = NEW.lane
            AND reservation_id = NEW.payload ->> '$.reservation_id' AND user_id = NEW.payload ->> '$.user_id'
            AND quantity = NEW.payload ->> '$.quantity' AND unit_price = NEW.payload ->> '$.unit_price'
            AND currency = NEW.payload ->> '$.currency');
END;
-- next
CREATE TRIGGER events_move_order AFTER INSERT ON events
WHEN EXISTS (SELECT 1 FROM transitions WHERE subject = 'order' AND event = NEW.type)
BEGIN
    SELECT RAISE(ABORT, 'ledger: an illegal move of the order')
    WHERE NOT EXISTS (
        SELECT 1 FROM orders JOIN transitions ON subject = 'order' AND from_state = state AND event = NEW.type
        WHERE id = NEW.order_id AND to_state = NEW.payload ->> '$.state');
    -- Money that came is recorded, even if the event that opened its payment never arrived.
    INSERT INTO payments (id, order_id, amount, currency, state, created_at)
    SELECT NEW.payload ->> '$.payment_id', NEW.order_id, coalesce(NEW.payload ->> '$.amount', total), currency,
        'pending', NEW.at
    FROM orders
    WHERE id = NEW.order_id AND NEW.type IN ('order.paid', 'order.refund_due')
        AND NOT EXISTS (SELECT 1 FROM payments WHERE id = NEW.payload ->> '$.payment_id');
    SELECT RAISE(ABORT, 'ledger: an illegal move of the payment')
    WHERE NEW.type IN ('order.paid', 'order.refund_due', 'order.refunded') AND NOT EXISTS (
        SELECT 1 FROM payments JOIN transitions ON subject = 'payment' AND from_state = state AND event = NEW.type
        WHERE id = NEW.payload ->> '$.payment_id' AND order_id = NEW.order_id
            AND amount = coalesce(NEW.payload ->> '$.amount', amount));
    UPDATE payments
    SET state = 'succeeded', settled_at = coalesce(NEW.payload ->> '$.paid_at', NEW.at)
    WHERE id = NEW.payload ->> '$.payment_id' AND NEW.type IN ('order.paid', 'order.refund_due');
    UPDATE payments SET state = 'refunded', refunded_at = NEW.at
    WHERE id = NEW.payload ->> '$.payment_id' AND NEW.type = 'order.refunded';
    UPDATE orders
    SET state = NEW.payload ->> '$.state', updated_at = NEW.at, seq = NEW.seq,
        paid_at = CASE WHEN NEW.type IN ('order.paid', 'order.refund_due')
            THEN coalesce(NEW.payload ->> '$.paid_at', NEW.at) ELSE paid_at END,
        payment_id = CASE WHEN NEW.type IN ('order.paid', 'order.refund_due', 'order.refunded')
            THEN NEW.payload ->> '$.payment_id' ELSE payment_id END
    WHERE id = NEW.order_id;
END;
-- next
CREATE TRIGGER events_move_payment AFTER INSERT ON events
WHEN NEW.type IN ('payment.created', 'payment.failed', 'payment.refund_due', 'payment.refunded')
BEGIN
    SELECT RAISE(ABORT, 'ledger: the event disagrees with the state of its order')
    WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = NEW.order_id AND state = NEW.payload ->> '$.state');
    -- Money that came is recorded, even if the event that opened its payment never arrived.
    INSERT INTO payments (id, order_id, amount, currency, state, created_at)
    SELECT NEW.payload ->> '$.payment_id', NEW.order_id, NEW.payload ->> '$.amount', NEW.payload ->> '$.currency',
        'pending', NEW.at
    WHERE NEW.type = 'payment.created' OR (NEW.type = 'payment.refund_due'
        AND NOT EXISTS (SELECT 1 FROM payments WHERE id = NEW.payload ->> '$.payment_id'));
    -- A payment is surplus only if another payment of the order counts.
    SELECT RAISE(ABORT, 'ledger: an illegal move of the payment')
    WHERE NEW.type = 'payment.refund_due' AND NOT EXISTS (
        SELECT 1 FROM orders WHERE id = NEW.order_id AND payment_id <> NEW.payload ->> '$.payment_id');
    SELECT RAISE(ABORT, 'ledger: an illegal move of the payment')
    WHERE NEW.type <> 'payment.created' AND NOT EXISTS (
        SELECT 1 FROM payments JOIN transitions ON subject = 'payment' AND from_state = state AND event = NEW.type
        WHERE id = NEW.payload ->> '$.payment_id' AND order_id = NEW.order_id
            AND amount = coalesce(NEW.payload ->> '$.amount', amount));
    UPDATE payments
    SET state = (SELECT to_state FROM transitions
            WHERE subject = 'payment' AND from_state = payments.state AND event = NEW.type),
        settled_at = CASE NEW.type WHEN 'payment.refunded' THEN settled_at ELSE NEW.at END,
        refunded_at = CASE NEW.type WHEN 'payment.refunded' THEN NEW.at END
    WHERE id = NEW.payload ->> '$.payment_id' AND NEW.type <> 'payment.created';
END;
-- next
CREATE TRIGGER events_unchanged BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'ledger: events are never changed');
END;
-- next
CREATE TRIGGER events_kept BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'ledger: events are never deleted');
END;
-- next
CREATE TRIGGER orders_begin BEFORE INSERT ON orders
BEGIN
    SELECT RAISE(ABORT, 'ledger: an order begins unpaid') WHERE NEW.state <> 'unpaid';
    SELECT RAISE(ABORT, 'ledger: no event tells of this') WHERE NOT EXISTS (
        SELECT 1 FROM events
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND order_id = NEW.id
            AND type = 'order.created');
END;
-- next
CREATE TRIGGER orders_move BEFORE UPDATE ON orders
BEGIN
    SELECT RAISE(ABORT, 'ledger: only the state of an order changes')
    WHERE NEW.id <> OLD.id OR NEW.reservation_id <> OLD.reservation_id OR NEW.item_id <> OLD.item_id
        OR NEW.lane <> OLD.lane OR NEW.user_id <> OLD.user_id OR NEW.quantity <> OLD.quantity
        OR NEW.unit_price <> OLD.unit_price OR NEW.currency <> OLD.currency OR NEW.created_at <> OLD.created_at
        OR NEW.pay_by <> OLD.pay_by OR NEW.contact IS NOT OLD.contact OR NEW.address IS NOT OLD.address
        OR NEW.note IS NOT OLD.note OR (OLD.paid_at IS NOT NULL AND NEW.paid_at IS NOT OLD.paid_at)
        OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS NOT OLD.payment_id);
    SELECT RAISE(ABORT, 'ledger: an illegal move of the order') WHERE NOT EXISTS (
        SELECT 1 FROM transitions WHERE subject = 'order' AND from_state = OLD.state AND to_state = NEW.state);
    SELECT RAISE(ABORT, 'ledger: no event tells of this') WHERE NOT EXISTS (
        SELECT 1 FROM events JOIN transitions ON subject = 'order' AND event = type
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND order_id = NEW.id
            AND from_state = OLD.state AND to_state = NEW.state);
    SELECT RAISE(ABORT, 'ledger: no money came by this payment')
    WHERE NEW.payment_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM payments
        WHERE id = NEW.payment_id AND order_id = NEW.id AND state IN ('succeeded', 'refunded'));
END;
-- next
CREATE TRIGGER orders_kept BEFORE DELETE ON orders
BEGIN
    SELECT RAISE(ABORT, 'ledger: orders are never deleted');
END;
-- next
CREATE TRIGGER payments_begin BEFORE INSERT ON payments
BEGIN
    SELECT RAISE(ABORT, 'ledger: a payment begins pending') WHERE NEW.state <> 'pending';
    SELECT RAISE(ABORT, 'ledger: the amount is not that of the order') WHERE NOT EXISTS (
        SELECT 1 FROM orders WHERE id = NEW.order_id AND total = NEW.amount AND currency = NEW.currency);
END;
-- next
CREATE TRIGGER payments_move BEFORE UPDATE ON payments
BEGIN
    SELECT RAISE(ABORT, 'ledger: only the state of a payment changes')
    WHERE NEW.id <> OLD.id OR NEW.order_id <> OLD.order_id OR NEW.amount <> OLD.amount
        OR NEW.currency <> OLD.currency OR NEW.created_at <> OLD.created_at;
    SELECT RAISE(ABORT, 'ledger: an illegal move of the payment') WHERE NOT EXISTS (
        SELECT 1 FROM transitions WHERE subject = 'payment' AND from_state = OLD.state AND to_state = NEW.state);
END;
-- next
CREATE TRIGGER payments_kept BEFORE DELETE ON payments
BEGIN
    SELECT RAISE(ABORT, 'ledger: payments are never deleted');
END;
-- next
CREATE TRIGGER lanes_advance BEFORE UPDATE ON lanes
BEGIN
    SELECT RAISE(ABORT, 'ledger: a lane never goes back')
    WHERE NEW.item_id <> OLD.item_id OR NEW.lane <> OLD.lane OR NEW.seq < OLD.seq;
END;
-- next
CREATE TRIGGER lanes_kept BEFORE DELETE ON lanes
BEGIN
    SELECT RAISE(ABORT, 'ledger: lanes are never deleted');
END;
-- next
-- An event is set aside in order, like any other.
CREATE TRIGGER set_aside_in_order AFTER INSERT ON set_aside
BEGIN
    SELECT RAISE(ABORT, 'ledger: an event before this one is missing')
    WHERE NEW.seq > 1 + coalesce((SELECT seq FROM lanes WHERE item_id = NEW.item_id AND lane = NEW.lane), 0);
    INSERT INTO lanes (item_id, lane, seq) VALUES (NEW.item_id, NEW.lane, NEW.seq)
        ON CONFLICT (item_id, lane) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > lanes.seq;
END;
-- next
CREATE TRIGGER set_aside_unchanged BEFORE UPDATE ON set_aside
BEGIN
    SELECT RAISE(ABORT, 'ledger: what was set aside is never changed, only applied or dismissed')
    WHERE NEW.item_id <> OLD.item_id OR NEW.lane <> OLD.lane OR NEW.stream_id <> OLD.stream_id
        OR NEW.seq <> OLD.seq OR NEW.order_id IS NOT OLD.order_id OR NEW.payload <> OLD.payload
        OR NEW.error <> OLD.error OR NEW.at <> OLD.at OR OLD.applied_at IS NOT NULL OR OLD.dismissed_at IS NOT NULL
        OR (NEW.applied_at IS NULL AND NEW.dismissed_at IS NULL);
END;
-- next
-- Writing `applied_at` applies the event, or fails with the reason.
CREATE TRIGGER set_aside_applied AFTER UPDATE OF applied_at ON set_aside WHEN NEW.applied_at IS NOT NULL
BEGIN
    INSERT INTO events (item_id, lane, seq, type, order_id, at, payload)
    VALUES (NEW.item_id, NEW.lane, NEW.seq, NEW.payload ->> '$.type', NEW.payload ->> '$.order_id',
        NEW.payload ->> '$.at', NEW.payload);
END;
-- next
CREATE TRIGGER set_aside_kept BEFORE DELETE ON set_aside
BEGIN
    SELECT RAISE(ABORT, 'ledger: what was set aside is never deleted');
END;
