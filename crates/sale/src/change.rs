//! An operator's change, as the shop's log keeps it.
//!
//! The script that makes a change also writes its entry. A change of the catalogue is in the shop's log at once. A change of a
//! lane waits in the lane, which may live on another server. [`Engine::collect_changes`](crate::Engine::collect_changes) brings
//! it to the shop's log, once.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Entries that the shop's log keeps before it drops the oldest. About 10 MB of Redis's memory.
pub const MOST_ENTRIES: u32 = 20_000;

/// An operator's change, about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The operator's own name, and a fingerprint of their token.
    pub operator: String,
    pub token: String,
    /// The action: `item.pause`, `rules.change`, `blocklist.add`.
    pub action: String,
    /// The thing that it changes: `item/<id>`, `rules/shop`, `address/<address>`.
    pub target: String,
    /// The id under which other logs have the request.
    pub request_id: String,
    /// The reason, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Change {
    /// The members of the entry that are known before the change is made, as JSON without its braces.
    pub(crate) fn members(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let inner = json.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.unwrap_or_default().to_owned()
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedChange {
    /// Redis's clock when it was made.
    #[serde(deserialize_with = "from_millis")]
    pub at: Timestamp,
    pub operator: String,
    pub token: String,
    pub action: String,
    pub target: String,
    pub request_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The value before: a version, a state, a number of units.
    pub before: serde_json::Value,
    /// The value after.
    pub after: serde_json::Value,
}

fn from_millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    i64::deserialize(deserializer).map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_are_json_whatever_is_in_them() {
        let change = Change {
            operator: "anna \"}{\" \\".to_owned(),
            token: "0123abcd".to_owned(),
            action: "item.pause".to_owned(),
            target: "item/iabcdefghij".to_owned(),
            request_id: "r".to_owned(),
            reason: Some("}".to_owned()),
        };
        let entry = format!("{{\"at\":5,{},\"before\":\"open\",\"after\":7}}", change.members());
        let read: LoggedChange = serde_json::from_str(&entry).unwrap();
        assert_eq!(
            (read.at.millis(), &*read.operator, read.reason.as_deref()),
            (5, &*change.operator, Some("}"))
        );
        assert_eq!((read.before, read.after), ("open".into(), 7.into()));
    }
}
