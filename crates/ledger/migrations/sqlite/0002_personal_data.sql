-- Contact, address and note of orders get a table of their own, from which they can be erased.
--
-- Events are never changed, so no event may have them. An older version told them as the last member of `order.created`,
-- `details`. The ledger of this version leaves that member out of what waits in Redis. If an older version still runs
-- beside this one, triggers move the member here. So the same event has the same text, whichever version copies it.
--
-- The columns `contact`, `address` and `note` of `orders` stay for that older version, and are always null from now on.
CREATE TABLE personal_data (
    -- No foreign key, because the row is written before its order. So no order is ever without it.
    order_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT,
    -- When the order was made. Its age counts from here.
    created_at INTEGER NOT NULL,
    contact TEXT,
    address TEXT,
    note TEXT,
    -- When it was erased. The row stays, so that an event that is copied later does not bring the data back.
    erased_at INTEGER,
    -- When Redis was told again, in case it lost the first erasure in a crash.
    confirmed_at INTEGER,
    CONSTRAINT erased_is_empty CHECK (erased_at IS NULL OR (contact IS NULL AND address IS NULL AND note IS NULL)),
    CONSTRAINT erased_before_confirmed CHECK (confirmed_at IS NULL OR erased_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
-- next
CREATE INDEX personal_data_of_user ON personal_data (user_id, order_id);
-- next
CREATE INDEX personal_data_by_age ON personal_data (created_at, order_id) WHERE erased_at IS NULL;
-- next
CREATE INDEX personal_data_unconfirmed ON personal_data (erased_at, order_id)
    WHERE erased_at IS NOT NULL AND confirmed_at IS NULL;
-- next
INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note)
SELECT id, user_id, created_at, contact, address, note FROM orders
WHERE contact IS NOT NULL OR address IS NOT NULL OR note IS NOT NULL;
-- next
-- An order whose event is set aside.
INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note)
SELECT order_id, payload ->> '$.user_id', coalesce(payload ->> '$.at', at), payload ->> '$.details.contact',
    payload ->> '$.details.address', payload ->> '$.details.note'
FROM set_aside
WHERE order_id IS NOT NULL AND CASE WHEN json_valid(payload) THEN
    payload ->> '$.type' = 'order.created' AND json_type(payload, '$.details') = 'object'
    AND json_type(payload, '$.at') = 'integer' END
ON CONFLICT (order_id) DO NOTHING;
-- next
DROP TRIGGER orders_move;
-- next
UPDATE orders SET contact = NULL, address = NULL, note = NULL
WHERE contact IS NOT NULL OR address IS NOT NULL OR note IS NOT NULL;
-- next
-- As it was.
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
DROP TRIGGER set_aside_unchanged;
-- next
UPDATE set_aside SET payload = substr(payload, 1, instr(payload, ',"details":{') - 1) || '}'
WHERE instr(payload, ',"details":{') > 0 AND instr(payload, '"type":"order.created"') > 0;
-- next
-- As it was.
CREATE TRIGGER set_aside_unchanged BEFORE UPDATE ON set_aside
BEGIN
    SELECT RAISE(ABORT, 'ledger: what was set aside is never changed, only applied or dismissed')
    WHERE NEW.item_id <> OLD.item_id OR NEW.lane <> OLD.lane OR NEW.stream_id <> OLD.stream_id
        OR NEW.seq <> OLD.seq OR NEW.order_id IS NOT OLD.order_id OR NEW.payload <> OLD.payload
        OR NEW.error <> OLD.error OR NEW.at <> OLD.at OR OLD.applied_at IS NOT NULL OR OLD.dismissed_at IS NOT NULL
        OR (NEW.applied_at IS NULL AND NEW.dismissed_at IS NULL);
END;
-- next
DROP TRIGGER events_unchanged;
-- next
-- Only the personal data that an older version told may leave an event.
CREATE TRIGGER events_unchanged BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'ledger: events are never changed')
    WHERE NEW.item_id <> OLD.item_id OR NEW.lane <> OLD.lane OR NEW.seq <> OLD.seq OR NEW.type <> OLD.type
        OR NEW.order_id IS NOT OLD.order_id OR NEW.at <> OLD.at OR OLD.type <> 'order.created'
        OR NOT instr(OLD.payload, ',"details":{') > 0
        OR NEW.payload <> substr(OLD.payload, 1, instr(OLD.payload, ',"details":{') - 1) || '}';
END;
-- next
UPDATE events SET payload = substr(payload, 1, instr(payload, ',"details":{') - 1) || '}'
WHERE type = 'order.created' AND instr(payload, ',"details":{') > 0;
-- next
DROP TRIGGER events_once_in_order;
-- next
-- As it was, but it compares events without the personal data that an older version tells.
CREATE TRIGGER events_once_in_order BEFORE INSERT ON events
BEGIN
    -- The same event again, applied or set aside before: ignore it.
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM events
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = CASE
                WHEN NEW.type = 'order.created' AND instr(NEW.payload, ',"details":{') > 0
                    THEN substr(NEW.payload, 1, instr(NEW.payload, ',"details":{') - 1) || '}'
                ELSE NEW.payload END);
    SELECT RAISE(IGNORE) WHERE EXISTS (
        SELECT 1 FROM set_aside
        WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = CASE
                WHEN NEW.type = 'order.created' AND instr(NEW.payload, ',"details":{') > 0
                    THEN substr(NEW.payload, 1, instr(NEW.payload, ',"details":{') - 1) || '}'
                ELSE NEW.payload END
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
            WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND payload = CASE
                WHEN NEW.type = 'order.created' AND instr(NEW.payload, ',"details":{') > 0
                    THEN substr(NEW.payload, 1, instr(NEW.payload, ',"details":{') - 1) || '}'
                ELSE NEW.payload END
                AND applied_at IS NOT NULL);
    -- The state of an order after a missing step would be a guess; facts only are recorded.
    SELECT RAISE(ABORT, 'ledger: an earlier event of this order was set aside') WHERE EXISTS (
        SELECT 1 FROM set_aside
        WHERE order_id = NEW.order_id AND seq < NEW.seq AND applied_at IS NULL AND dismissed_at IS NULL);
    INSERT INTO lanes (item_id, lane, seq) VALUES (NEW.item_id, NEW.lane, NEW.seq)
        ON CONFLICT (item_id, lane) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > lanes.seq;
END;
-- next
DROP TRIGGER events_make_order;
-- next
CREATE TRIGGER events_make_order AFTER INSERT ON events WHEN NEW.type = 'order.created'
BEGIN
    INSERT INTO orders (id, reservation_id, item_id, lane, user_id, quantity, unit_price, currency, state,
        created_at, pay_by, updated_at, seq)
    VALUES (NEW.order_id, NEW.payload ->> '$.reservation_id', NEW.item_id, NEW.lane, NEW.payload ->> '$.user_id',
        NEW.payload ->> '$.quantity', NEW.payload ->> '$.unit_price', NEW.payload ->> '$.currency',
        NEW.payload ->> '$.state', NEW.at, NEW.payload ->> '$.pay_by', NEW.at, NEW.seq);
    INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note)
    SELECT NEW.order_id, NEW.payload ->> '$.user_id', NEW.at, NEW.payload ->> '$.details.contact',
        NEW.payload ->> '$.details.address', NEW.payload ->> '$.details.note'
    WHERE instr(NEW.payload, ',"details":{') > 0
    ON CONFLICT (order_id) DO NOTHING;
    UPDATE events SET payload = substr(payload, 1, instr(payload, ',"details":{') - 1) || '}'
    WHERE item_id = NEW.item_id AND lane = NEW.lane AND seq = NEW.seq AND instr(payload, ',"details":{') > 0;
END;
-- next
-- What an order was told with stays, until it is erased for good. Before its order is written a later telling counts.
-- Two ledgers may copy one event at once. The one that comes second writes the same again, which changes nothing.
CREATE TRIGGER personal_data_only_erased BEFORE UPDATE ON personal_data
BEGIN
    SELECT RAISE(ABORT, 'ledger: personal data is never changed, only erased')
    WHERE NEW.order_id <> OLD.order_id OR (OLD.erased_at IS NOT NULL AND NEW.erased_at IS NOT OLD.erased_at)
        OR (NEW.erased_at IS NULL
            AND (NEW.user_id IS NOT OLD.user_id OR NEW.created_at IS NOT OLD.created_at
                OR NEW.contact IS NOT OLD.contact OR NEW.address IS NOT OLD.address OR NEW.note IS NOT OLD.note)
            AND EXISTS (SELECT 1 FROM orders WHERE id = OLD.order_id));
END;
-- next
CREATE TRIGGER personal_data_kept BEFORE DELETE ON personal_data
BEGIN
    SELECT RAISE(ABORT, 'ledger: the note of an erasure is never deleted');
END;
