//! Input out of Redis: messages of channels, which anybody with Redis can ring, and events of the outbox.

use order_ledger::event::Event;
use sale::ids::Lane;
use sale::keys;

/// The message of a doorbell or an alarm names a lane in its one spelling, or no lane.
pub fn messages(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(lane) = text.parse::<Lane>() {
        assert_eq!(lane.to_string(), text);
    }
    if let Some(lane) = keys::lane_of_alarm(text) {
        assert_eq!(keys::LaneKeys::of(&lane).alarm(), text);
    }
}

/// An accepted event belongs to its lane. A refusal says why in few words.
pub fn events(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lane: Lane = "iabcdefghij:0".parse().unwrap();
    match Event::parse(&lane, text) {
        Ok(event) => {
            assert!(event.seq >= 1 && event.payload == text);
            let order = event.order_id;
            assert!(order.as_ref().is_none_or(|id| id.starts_with("o-iabcdefghij-0-")), "{order:?}");
        }
        Err(unreadable) => {
            assert!(unreadable.seq.is_none_or(|seq| seq >= 1));
            assert!(unreadable.error.chars().count() <= 200);
        }
    }
}
