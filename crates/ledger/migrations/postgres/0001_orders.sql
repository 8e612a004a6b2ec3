-- Orders, payments and all their events, kept for good.
--
-- Nobody writes rows of `orders` and `payments` directly. The ledger inserts an event into `events`, and triggers apply
-- it. So an event and its effect are one statement, which happens completely or not at all. Other triggers and
-- constraints refuse every row that no event made.
--
-- Moments are milliseconds since 1970 UTC. Money is in minor units. The text of a refusal begins with `ledger: `, by
-- which src/apply.rs and src/sql.rs recognise it.
-- All whole numbers are BIGINT, so that a parameter never has the wrong width.

-- The only legal moves of orders and payments. A test compares them with the tables of crates/sale.
CREATE TABLE transitions (
    subject TEXT NOT NULL CHECK (subject IN ('order', 'payment')),
    from_state TEXT NOT NULL,
    event TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (subject, from_state, event)
);
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
    lane BIGINT NOT NULL CHECK (lane BETWEEN 0 AND 65535),
    seq BIGINT NOT NULL CHECK (seq >= 0),
    PRIMARY KEY (item_id, lane)
);
-- next
-- Every applied event, as the outbox had it. The primary key keeps a repeat from being applied twice.
CREATE TABLE events (
    item_id TEXT NOT NULL,
    lane BIGINT NOT NULL,
    seq BIGINT NOT NULL CHECK (seq >= 1),
    type TEXT NOT NULL CHECK (type IN (
        'order.created', 'order.paid', 'order.cancelled', 'order.timed_out', 'order.refund_due', 'order.refunded',
        'payment.created', 'payment.failed', 'payment.refund_due', 'payment.refunded', 'lane.changed',
        'lane.described')),
    -- No foreign key, because `order.created` comes before its order. Triggers refuse other events without an order.
    order_id TEXT CHECK ((order_id IS NULL) = (type IN ('lane.changed', 'lane.described'))),
    at BIGINT NOT NULL,
    -- The event's text. Two events are the same event if their texts are equal.
    payload TEXT NOT NULL,
    PRIMARY KEY (item_id, lane, seq)
);
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
    lane BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    unit_price BIGINT NOT NULL CHECK (unit_price BETWEEN 0 AND 1000000000000),
    currency TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- Computed here, so that no writer can store another sum.
    total BIGINT NOT NULL GENERATED ALWAYS AS (quantity * unit_price) STORED,
    state TEXT NOT NULL
        CHECK (state IN ('unpaid', 'paid', 'cancelled', 'timed_out', 'refund_due', 'refunded')),
    created_at BIGINT NOT NULL,
    pay_by BIGINT NOT NULL CHECK (pay_by >= created_at),
    -- When the money came, and the payment that brought it.
    paid_at BIGINT,
    payment_id TEXT,
    contact TEXT,
    address TEXT,
    note TEXT,
    -- The moment and the number of the event that gave the order its present state.
    updated_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    FOREIGN KEY (item_id, lane, seq) REFERENCES events (item_id, lane, seq),
    CONSTRAINT money_has_a_moment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (paid_at IS NOT NULL)),
    CONSTRAINT money_has_a_payment CHECK ((state IN ('paid', 'refund_due', 'refunded')) = (payment_id IS NOT NULL)),
    -- Money that comes at the deadline or later buys nothing.
    CONSTRAINT paid_in_time CHECK (state <> 'paid' OR paid_at < pay_by)
);
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
    amount BIGINT NOT NULL CHECK (amount >= 0),
    currency TEXT NOT NULL,
    -- `refund_due` marks a surplus payment: another payment of the order had succeeded before.
    state TEXT NOT NULL CHECK (state IN ('pending', 'failed', 'succeeded', 'refund_due', 'refunded')),
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    refunded_at BIGINT,
    CHECK ((state = 'pending') = (settled_at IS NULL)),
    CHECK ((state = 'refunded') = (refunded_at IS NOT NULL))
);
-- next
CREATE INDEX payments_of_order ON payments (order_id, id);
-- next
-- At most one payment of an order counts.
CREATE UNIQUE INDEX payments_success_of_order ON payments (order_id) WHERE state = 'succeeded';
-- next
CREATE INDEX payments_in_state ON payments (state, settled_at, id);
-- next
ALTER TABLE orders ADD FOREIGN KEY (payment_id) REFERENCES payments (id);
-- next
-- Events that could not be applied, with the reason. They keep their number in the lane, so that later events go on.
CREATE TABLE set_aside (
    item_id TEXT NOT NULL,
    lane BIGINT NOT NULL,
    -- The id of the outbox entry. `missing-<seq>` stands for an event that an operator passed over.
    stream_id TEXT NOT NULL,
    seq BIGINT NOT NULL CHECK (seq >= 1),
    -- The event's order, if it could be read. Later events of that order are set aside too.
    order_id TEXT,
    payload TEXT NOT NULL,
    error TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- When it was applied after all, or when an operator dismissed it. Either ends its hold on later events.
    applied_at BIGINT,
    dismissed_at BIGINT,
    CHECK (applied_at IS NULL OR dismissed_at IS NULL),
    PRIMARY KEY (item_id, lane, stream_id)
);
-- next
CREATE INDEX set_aside_by_seq ON set_aside (item_id, lane, seq);
-- next
CREATE INDEX set_aside_of_order ON set_aside (order_id, seq) WHERE applied_at IS NULL AND dismissed_at IS NULL;
-- next
-- Raises a refusal as an integrity violation, so that the caller can tell it from a database in trouble.
CREATE FUNCTION ledger_refuse(reason TEXT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: %', reason USING ERRCODE = 'integrity_constraint_violation';
END
$$;
-- next
-- Refuses every change, with the trigger's argument as the reason.
CREATE FUNCTION ledger_never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_refuse(TG_ARGV[0]);
    RETURN NULL;
END
$$;
-- next
-- Locks a lane's row and returns how far the lane is written. The lock makes two workers take turns.
CREATE FUNCTION ledger_lock_lane(the_item TEXT, the_lane BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    written BIGINT;
BEGIN
    SELECT seq INTO written FROM lanes WHERE item_id = the_item AND lane = the_lane FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO lanes (item_id, lane, seq) VALUES (the_item, the_lane, 0) ON CONFLICT DO NOTHING;
        SELECT seq INTO written FROM lanes WHERE item_id = the_item AND lane = the_lane FOR UPDATE;
    END IF;
    RETURN written;
END
$$;
-- next
-- Lets each event in once, in order.
CREATE FUNCTION ledger_once_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written BIGINT := ledger_lock_lane(NEW.item_id, NEW.lane);
    written_payload TEXT;
BEGIN
    -- The same event again, applied or set aside before: ignore it.
    SELECT payload INTO written_payload FROM events WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq;
    IF FOUND THEN
        IF written_payload = NEW.payload THEN
            RETURN NULL;
        END IF;
        -- Redis came back from an old copy and used a number twice. Refuse, so that the lane is rebuilt.
        PERFORM ledger_refuse('another event was written with this number');
    END IF;
    IF EXISTS (
        SELECT 1 FROM set_aside
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
            AND applied_at IS NULL) THEN
        RETURN NULL;
    END IF;
    IF NEW.seq > written + 1 THEN
        PERFORM ledger_refuse('an event before this one is missing');
    END IF;
    -- A number that the lane has passed is allowed only for an event that was set aside and is now applied.
    IF NEW.seq <= written AND NOT EXISTS (
        SELECT 1 FROM set_aside
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = NEW.payload
            AND applied_at IS NOT NULL) THEN
        PERFORM ledger_refuse('the lane has gone past this number');
    END IF;
    -- The state of an order after a missing step would be a guess; facts only are recorded.
    IF EXISTS (
        SELECT 1 FROM set_aside
        WHERE order_id = NEW.order_id AND seq < NEW.seq AND applied_at IS NULL AND dismissed_at IS NULL) THEN
        PERFORM ledger_refuse('an earlier event of this order was set aside');
    END IF;
    UPDATE lanes SET seq = NEW.seq WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq < NEW.seq;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER events_once_in_order BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION ledger_once_in_order();
-- next
-- Applies the event to orders and payments.
CREATE FUNCTION ledger_apply() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event JSONB := NEW.payload::jsonb;
    target orders%ROWTYPE;
    next_state TEXT;
    paying TEXT := event ->> 'payment_id';
    payment_now payments%ROWTYPE;
    next_payment TEXT;
BEGIN
    -- Events about the lane change no table; a rebuild reads them here.
    IF NEW.order_id IS NULL THEN
        RETURN NULL;
    END IF;
    IF NEW.type = 'order.created' THEN
        INSERT INTO orders (id, reservation_id, item_id, lane, user_id, quantity, unit_price, currency, state,
            created_at, pay_by, contact, address, note, updated_at, seq)
        VALUES (NEW.order_id, event ->> 'reservation_id', NEW.item_id, NEW.lane, event ->> 'user_id',
            (event ->> 'quantity')::bigint, (event ->> 'unit_price')::bigint, event ->> 'currency',
            event ->> 'state', NEW.at, (event ->> 'pay_by')::bigint, event -> 'details' ->> 'contact',
            event -> 'details' ->> 'address', event -> 'details' ->> 'note', NEW.at, NEW.seq);
        RETURN NULL;
    END IF;

    -- An event must agree with its order in everything that never changes.
    SELECT * INTO target FROM orders WHERE id = NEW.order_id FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM ledger_refuse('no such order');
    END IF;
    IF (target.item_id, target.lane, target.reservation_id, target.user_id, target.quantity, target.unit_price,
            target.currency)
        IS DISTINCT FROM (NEW.item_id, NEW.lane, event ->> 'reservation_id', event ->> 'user_id',
            (event ->> 'quantity')::bigint, (event ->> 'unit_price')::bigint, event ->> 'currency') THEN
        PERFORM ledger_refuse('the event disagrees with its order');
    END IF;

    IF NEW.type = 'payment.created' THEN
        IF target.state IS DISTINCT FROM event ->> 'state' THEN
            PERFORM ledger_refuse('the event disagrees with the state of its order');
        END IF;
        INSERT INTO payments (id, order_id, amount, currency, state, created_at)
        VALUES (paying, NEW.order_id, (event ->> 'amount')::bigint, event ->> 'currency', 'pending', NEW.at);
        RETURN NULL;
    END IF;

    IF NEW.type IN ('payment.failed', 'payment.refund_due', 'payment.refunded') THEN
        IF target.state IS DISTINCT FROM event ->> 'state' THEN
            PERFORM ledger_refuse('the event disagrees with the state of its order');
        END IF;
        -- A payment is surplus only if another payment of the order counts.
        IF NEW.type = 'payment.refund_due' AND coalesce(target.payment_id = paying, TRUE) THEN
            PERFORM ledger_refuse('an illegal move of the payment');
        END IF;
    ELSE
        SELECT to_state INTO next_state FROM transitions
        WHERE subject = 'order' AND from_state = target.state AND transitions.event = NEW.type;
        IF NOT FOUND OR next_state IS DISTINCT FROM event ->> 'state' THEN
            PERFORM ledger_refuse('an illegal move of the order');
        END IF;
    END IF;
    -- Money that came is recorded, even if the event that opened its payment never arrived.
    IF NEW.type IN ('order.paid', 'order.refund_due', 'payment.refund_due') THEN
        INSERT INTO payments (id, order_id, amount, currency, state, created_at)
        SELECT paying, NEW.order_id, coalesce((event ->> 'amount')::bigint, target.total), target.currency,
            'pending', NEW.at
        WHERE NOT EXISTS (SELECT 1 FROM payments WHERE id = paying);
    END IF;

    IF NEW.type NOT IN ('order.cancelled', 'order.timed_out') THEN
        SELECT * INTO payment_now FROM payments
        WHERE id = paying AND order_id = NEW.order_id AND amount = coalesce((event ->> 'amount')::bigint, amount);
        SELECT to_state INTO next_payment FROM transitions
        WHERE subject = 'payment' AND from_state = payment_now.state AND transitions.event = NEW.type;
        IF NOT FOUND THEN
            PERFORM ledger_refuse('an illegal move of the payment');
        END IF;
        UPDATE payments
        SET state = next_payment,
            settled_at = CASE next_payment
                WHEN 'succeeded' THEN coalesce((event ->> 'paid_at')::bigint, NEW.at)
                WHEN 'failed' THEN NEW.at
                WHEN 'refund_due' THEN NEW.at
                ELSE settled_at END,
            refunded_at = CASE next_payment WHEN 'refunded' THEN NEW.at END
        WHERE id = paying;
    END IF;

    IF next_state IS NOT NULL THEN
        UPDATE orders
        SET state = next_state, updated_at = NEW.at, seq = NEW.seq,
            paid_at = CASE WHEN NEW.type IN ('order.paid', 'order.refund_due')
                THEN coalesce((event ->> 'paid_at')::bigint, NEW.at) ELSE paid_at END,
            payment_id = CASE WHEN NEW.type IN ('order.paid', 'order.refund_due', 'order.refunded')
                THEN paying ELSE payment_id END
        WHERE id = NEW.order_id;
    END IF;
    RETURN NULL;
END
$$;
-- next
CREATE TRIGGER events_apply AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION ledger_apply();
-- next
CREATE TRIGGER events_unchanged BEFORE UPDATE ON events
    FOR EACH ROW EXECUTE FUNCTION ledger_never('events are never changed');
-- next
CREATE TRIGGER events_kept BEFORE DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('events are never deleted');
-- next
CREATE FUNCTION ledger_orders_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'unpaid' THEN
        PERFORM ledger_refuse('an order begins unpaid');
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM events
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND order_id = NEW.id
            AND type = 'order.created') THEN
        PERFORM ledger_refuse('no event tells of this');
    END IF;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER orders_begin BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION ledger_orders_begin();
-- next
CREATE FUNCTION ledger_orders_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.reservation_id, NEW.item_id, NEW.lane, NEW.user_id, NEW.quantity, NEW.unit_price, NEW.currency,
            NEW.created_at, NEW.pay_by, NEW.contact, NEW.address, NEW.note,
            coalesce(OLD.paid_at, NEW.paid_at), coalesce(OLD.payment_id, NEW.payment_id))
        IS DISTINCT FROM (OLD.id, OLD.reservation_id, OLD.item_id, OLD.lane, OLD.user_id, OLD.quantity, OLD.unit_price,
            OLD.currency, OLD.created_at, OLD.pay_by, OLD.contact, OLD.address, OLD.note,
            NEW.paid_at, NEW.payment_id) THEN
        PERFORM ledger_refuse('only the state of an order changes');
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM transitions WHERE subject = 'order' AND from_state = OLD.state AND to_state = NEW.state) THEN
        PERFORM ledger_refuse('an illegal move of the order');
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM events JOIN transitions ON subject = 'order' AND event = type
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND order_id = NEW.id
            AND from_state = OLD.state AND to_state = NEW.state) THEN
        PERFORM ledger_refuse('no event tells of this');
    END IF;
    IF NEW.payment_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM payments
        WHERE id = NEW.payment_id AND order_id = NEW.id AND state IN ('succeeded', 'refunded')) THEN
        PERFORM ledger_refuse('no money came by this payment');
    END IF;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER orders_move BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION ledger_orders_move();
-- next
CREATE TRIGGER orders_kept BEFORE DELETE OR TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('orders are never deleted');
-- next
CREATE FUNCTION ledger_payments_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'pending' THEN
        PERFORM ledger_refuse('a payment begins pending');
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM orders WHERE id = NEW.order_id AND total = NEW.amount AND currency = NEW.currency) THEN
        PERFORM ledger_refuse('the amount is not that of the order');
    END IF;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER payments_begin BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION ledger_payments_begin();
-- next
CREATE FUNCTION ledger_payments_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.order_id, NEW.amount, NEW.currency, NEW.created_at)
        IS DISTINCT FROM (OLD.id, OLD.order_id, OLD.amount, OLD.currency, OLD.created_at) THEN
        PERFORM ledger_refuse('only the state of a payment changes');
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM transitions WHERE subject = 'payment' AND from_state = OLD.state AND to_state = NEW.state) THEN
        PERFORM ledger_refuse('an illegal move of the payment');
    END IF;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER payments_move BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION ledger_payments_move();
-- next
CREATE TRIGGER payments_kept BEFORE DELETE OR TRUNCATE ON payments
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('payments are never deleted');
-- next
CREATE TRIGGER lanes_advance BEFORE UPDATE ON lanes FOR EACH ROW
    WHEN (NEW.item_id <> OLD.item_id OR NEW.lane <> OLD.lane OR NEW.seq < OLD.seq)
    EXECUTE FUNCTION ledger_never('a lane never goes back');
-- next
CREATE TRIGGER lanes_kept BEFORE DELETE OR TRUNCATE ON lanes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('lanes are never deleted');
-- next
-- An event is set aside in order, like any other.
CREATE FUNCTION ledger_set_aside_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written BIGINT := ledger_lock_lane(NEW.item_id, NEW.lane);
BEGIN
    IF NEW.seq > written + 1 THEN
        PERFORM ledger_refuse('an event before this one is missing');
    END IF;
    UPDATE lanes SET seq = NEW.seq WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq < NEW.seq;
    RETURN NULL;
END
$$;
-- next
CREATE TRIGGER set_aside_in_order AFTER INSERT ON set_aside FOR EACH ROW EXECUTE FUNCTION ledger_set_aside_in_order();
-- next
CREATE TRIGGER set_aside_unchanged BEFORE UPDATE ON set_aside FOR EACH ROW
    WHEN ((NEW.item_id, NEW.lane, NEW.stream_id, NEW.seq, NEW.order_id, NEW.payload, NEW.error, NEW.at)
            IS DISTINCT FROM
            (OLD.item_id, OLD.lane, OLD.stream_id, OLD.seq, OLD.order_id, OLD.payload, OLD.error, OLD.at)
        OR OLD.applied_at IS NOT NULL OR OLD.dismissed_at IS NOT NULL
        OR (NEW.applied_at IS NULL AND NEW.dismissed_at IS NULL))
    EXECUTE FUNCTION ledger_never('what was set aside is never changed, only applied or dismissed');
-- next
-- Writing `applied_at` applies the event, or fails with the reason.
CREATE FUNCTION ledger_set_aside_applied() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event JSONB := NEW.payload::jsonb;
BEGIN
    INSERT INTO events (item_id, lane, seq, type, order_id, at, payload)
    VALUES (NEW.item_id, NEW.lane, NEW.seq, event ->> 'type', event ->> 'order_id', (event ->> 'at')::bigint,
        NEW.payload);
    RETURN NULL;
END
$$;
-- next
CREATE TRIGGER set_aside_applied AFTER UPDATE OF applied_at ON set_aside
    FOR EACH ROW WHEN (NEW.applied_at IS NOT NULL) EXECUTE FUNCTION ledger_set_aside_applied();
-- next
CREATE TRIGGER set_aside_kept BEFORE DELETE OR TRUNCATE ON set_aside
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('what was set aside is never deleted');
