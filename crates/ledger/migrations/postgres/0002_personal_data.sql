-- Contact, address and note of orders get a table of their own, from which they can be erased.
--
-- Events are never changed, so no event may have them. An older version told them as the last member of `order.created`,
-- `details`. The ledger of this version leaves that member out of what waits in Redis. If an older version still runs
-- beside this one, triggers move the member here. So the same event has the same text, whichever version copies it.
--
-- The columns `contact`, `address` and `note` of `orders` stay for that older version, and are always null from now on.
--
-- The lock keeps an older version from adding an order while rows are moved. Writers take these tables in this order.
LOCK TABLE events, orders, set_aside IN SHARE ROW EXCLUSIVE MODE;
-- next
CREATE TABLE personal_data (
    -- No foreign key, because the row is written before its order. So no order is ever without it.
    order_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT,
    -- When the order was made. Its age counts from here.
    created_at BIGINT NOT NULL,
    contact TEXT,
    address TEXT,
    note TEXT,
    -- When it was erased. The row stays, so that an event that is copied later does not bring the data back.
    erased_at BIGINT,
    -- When Redis was told again, in case it lost the first erasure in a crash.
    confirmed_at BIGINT,
    CONSTRAINT erased_is_empty CHECK (erased_at IS NULL OR (contact IS NULL AND address IS NULL AND note IS NULL)),
    CONSTRAINT erased_before_confirmed CHECK (confirmed_at IS NULL OR erased_at IS NOT NULL)
);
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
-- The object `details` of an event's text; nothing if the text is no JSON.
CREATE FUNCTION ledger_details(payload TEXT) RETURNS JSONB LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN payload::jsonb -> 'details';
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;
-- next
-- An order whose event is set aside.
INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note)
SELECT DISTINCT ON (order_id) order_id, payload::jsonb ->> 'user_id', at, ledger_details(payload) ->> 'contact',
    ledger_details(payload) ->> 'address', ledger_details(payload) ->> 'note'
FROM set_aside
WHERE order_id IS NOT NULL AND position('"type":"order.created"' in payload) > 0
    AND jsonb_typeof(ledger_details(payload)) = 'object'
ORDER BY order_id, seq
ON CONFLICT (order_id) DO NOTHING;
-- next
ALTER TABLE orders DISABLE TRIGGER orders_move;
-- next
UPDATE orders SET contact = NULL, address = NULL, note = NULL
WHERE contact IS NOT NULL OR address IS NOT NULL OR note IS NOT NULL;
-- next
ALTER TABLE orders ENABLE TRIGGER orders_move;
-- next
ALTER TABLE set_aside DISABLE TRIGGER set_aside_unchanged;
-- next
UPDATE set_aside SET payload = left(payload, position(',"details":{' in payload) - 1) || '}'
WHERE position(',"details":{' in payload) > 0 AND position('"type":"order.created"' in payload) > 0;
-- next
ALTER TABLE set_aside ENABLE TRIGGER set_aside_unchanged;
-- next
DROP TRIGGER events_unchanged ON events;
-- next
-- Only the personal data that an older version told may leave an event.
CREATE TRIGGER events_unchanged BEFORE UPDATE ON events FOR EACH ROW
    WHEN ((NEW.item_id, NEW.lane, NEW.seq, NEW.type, NEW.order_id, NEW.at)
            IS DISTINCT FROM (OLD.item_id, OLD.lane, OLD.seq, OLD.type, OLD.order_id, OLD.at)
        OR OLD.type <> 'order.created'
        OR position(',"details":{' in OLD.payload) = 0
        OR NEW.payload <> left(OLD.payload, position(',"details":{' in OLD.payload) - 1) || '}')
    EXECUTE FUNCTION ledger_never('events are never changed');
-- next
UPDATE events SET payload = left(payload, position(',"details":{' in payload) - 1) || '}'
WHERE type = 'order.created' AND position(',"details":{' in payload) > 0;
-- next
-- Moves the personal data that an older version tells. PostgreSQL fires triggers in the order of their names, so this one
-- comes before `events_once_in_order`, which compares the event.
CREATE FUNCTION ledger_lose_personal_data() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    details JSONB := ledger_details(NEW.payload);
BEGIN
    INSERT INTO personal_data (order_id, user_id, created_at, contact, address, note)
    VALUES (NEW.order_id, NEW.payload::jsonb ->> 'user_id', NEW.at, details ->> 'contact', details ->> 'address',
        details ->> 'note')
    ON CONFLICT (order_id) DO NOTHING;
    NEW.payload := left(NEW.payload, position(',"details":{' in NEW.payload) - 1) || '}';
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER events_lose_personal_data BEFORE INSERT ON events FOR EACH ROW
    WHEN (NEW.type = 'order.created' AND position(',"details":{' in NEW.payload) > 0)
    EXECUTE FUNCTION ledger_lose_personal_data();
-- next
-- What an order was told with stays, until it is erased for good. Before its order is written a later telling counts.
-- Two ledgers may copy one event at once. The one that comes second writes the same again, which changes nothing.
CREATE FUNCTION ledger_personal_data_only_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.order_id <> OLD.order_id OR (OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at)
        OR (NEW.erased_at IS NULL
            AND (NEW.user_id, NEW.created_at, NEW.contact, NEW.address, NEW.note)
                IS DISTINCT FROM (OLD.user_id, OLD.created_at, OLD.contact, OLD.address, OLD.note)
            AND EXISTS (SELECT 1 FROM orders WHERE id = OLD.order_id)) THEN
        PERFORM ledger_refuse('personal data is never changed, only erased');
    END IF;
    RETURN NEW;
END
$$;
-- next
CREATE TRIGGER personal_data_only_erased BEFORE UPDATE ON personal_data
    FOR EACH ROW EXECUTE FUNCTION ledger_personal_data_only_erased();
-- next
CREATE TRIGGER personal_data_kept BEFORE DELETE OR TRUNCATE ON personal_data
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never('the note of an erasure is never deleted');
