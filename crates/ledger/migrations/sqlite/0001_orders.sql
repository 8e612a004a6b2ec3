-- Orders and payments for good, and every event that made them what they are.
--
-- Rows of `orders` and `payments` are never written directly. An event is inserted into `events`, and triggers apply
-- it: so an event and its effect are one statement, which happens whole or not at all. Other triggers and constraints
-- refuse every row that could not have come about that way. Moments are milliseconds since 1970 UTC; money is in
-- minor units. A refusal's text begins with `ledger: `, by which the code that applies events knows it.

-- The only moves of orders and payments. `order` rows are those of sale::order::OrderState::after; a test compares.
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
    -- Money that came beside that of the payment that counts.
    ('payment', 'pending', 'payment.refund_due', 'refund_due'),
    ('payment', 'failed', 'payment.refund_due', 'refund_due'),
    ('payment', 'refund_due', 'payment.refunded', 'refunded');
-- next
-- How far each lane's outbox is written: every event up to `seq` is in `events` or set aside in `set_aside`.
CREATE TABLE lanes (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 65535),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (item_id, lane)
) STRICT, WITHOUT ROWID;
-- next
-- Every event that was applied, as the outbox gave it. The primary key is what makes repeats harmless.
CREATE TABLE events (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    type TEXT NOT NULL CHECK (type IN (
        'order.created', 'order.paid', 'order.cancelled', 'order.timed_out', 'order.refund_due', 'order.refunded',
        'payment.created', 'payment.failed', 'payment.refund_due', 'payment.refunded', 'lane.changed',
        'lane.described')),
    -- No foreign key: the event comes first, and the triggers that apply it refuse one without its order.
    order_id TEXT CHECK ((order_id IS NULL) = (type IN ('lane.changed', 'lane.described'))),
    at INTEGER NOT NULL,
    -- The event's own text: two events are the same if it is.
    payload TEXT NOT NULL,
    PRIMARY KEY (item_id, lane, seq)
) STRICT, WITHOUT ROWID;
-- next
CREATE INDEX events_of_order ON events (order_id, seq);
-- next
-- What a lane offers is its latest such event: its stock and terms, and what the operator wrote.
CREATE INDEX events_of_lane ON events (item_id, lane, type, seq) WHERE type IN ('lane.changed', 'lane.described');
-- next
CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    -- One order a reservation, whatever is repeated.
    reservation_id TEXT NOT NULL UNIQUE,
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    unit_price INTEGER NOT NULL CHECK (unit_price BETWEEN 0 AND 1000000000000),
    currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
    -- Computed here, so that no writer can have another opinion.
    total INTEGER NOT NULL GENERATED ALWAYS AS (quantity * unit_price) STORED,
    state TEXT NOT NULL
        CHECK (state IN ('unpaid', 'paid', 'cancelled', 'timed_out', 'refund_due', 'refunded')),
    created_at INTEGER NOT NULL,
    pay_by INTEGER NOT NULL CHECK (pay_by >= created_at),
    -- When the money came, and by which payment.
    paid_at INTEGER,
    payment_id TEXT REFERENCES payments (id),
    contact TEXT,
    address TEXT,
    note TEXT,
    -- The event that brought the order where it is.
    updated_at INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    FOREIGN KEY (item_id, lane, seq) REFERENCES events (item_id, lane, seq),
    CONSTRAINT money_has_a_moment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (paid_at IS NOT NULL)),
    CONSTRAINT money_has_a_payment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (payment_id IS NOT NULL)),
    -- Money that came at the deadline or later buys nothing.
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
    -- `refund_due`: it succeeded when another payment had paid for the order, or was to go back already.
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
-- An order is paid for once; which payment's money was sent back, its row tells.
CREATE UNIQUE INDEX payments_success_of_order ON payments (order_id) WHERE state = 'succeeded';
-- next
CREATE INDEX payments_in_state ON payments (state, settled_at, id);
-- next
-- Events that could not be applied, with the reason. They keep their place in their lane, so that the others go on.
CREATE TABLE set_aside (
    item_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    -- The entry of the outbox stream; `missing-<seq>` for an event that an operator gave up waiting for.
    stream_id TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    -- Where the event could be read so far. The order's later events are set aside too.
    order_id TEXT,
    payload TEXT NOT NULL,
    error TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- When it was applied after all; or when an operator settled the matter otherwise, so that it stands in no way.
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
-- Each event once, in order.
CREATE TRIGGER events_once_in_order BEFORE INSERT ON events
BEGIN
    -- The same event again, whether it was applied or set aside: passed over in silence.
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM events
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload);
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM set_aside
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
            AND applied_at IS NULL);
    -- A Redis restored from an old copy counts anew from a number that was used: nothing is lost in silence.
    SELECT RAISE(ABORT, 'ledger: another event was written with this number') WHERE EXISTS (
        SELECT 1 FROM events WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq);
    SELECT RAISE(ABORT, 'ledger: an event before this one is missing')
    WHERE NEW.seq > 1 + coalesce((SELECT seq FROM lanes WHERE item_id = NEW.item_id AND lane = NEW.lane), 0);
    -- Behind the lane's mark only an event comes that was set aside and is being applied now.
    SELECT RAISE(ABORT, 'ledger: the lane has gone past this number')
    WHERE NEW.seq <= coalesce((SELECT seq FROM lanes WHERE item_id = NEW.item_id AND lane = NEW.lane), 0)
        AND NOT EXISTS (
            SELECT 1 FROM set_aside
            WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
                AND applied_at IS NOT NULL);
    -- What an order is after a missing step is a guess, and no guess is written down.
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
-- Whatever happens to an order, the event must tell of the same order.
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
    -- There is money beside only if another payment's counts.
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
CREATE TRIGGER events_stay BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'ledger: events are never changed');
END;
-- next
CREATE TRIGGER events_remain BEFORE DELETE ON events
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
CREATE TRIGGER orders_remain BEFORE DELETE ON orders
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
CREATE TRIGGER payments_remain BEFORE DELETE ON payments
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
CREATE TRIGGER lanes_remain BEFORE DELETE ON lanes
BEGIN
    SELECT RAISE(ABORT, 'ledger: lanes are never deleted');
END;
-- next
-- An event that is set aside takes its turn like any other.
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
-- Marking it as applied applies it, or fails with the reason.
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
