//! Where the engine is known to differ from the design: the model does as the engine does, until that is mended.
//!
//! Each is one constant. After the engine is mended, set it to `false`, then remove it with the branches that it guards.

/// The design: an item past its end decides its queue, paused or not. The engine leaves the queue of a paused item waiting.
pub const PAUSED_PAST_ITS_END_WAITS_FOR_EVER: bool = true;

/// The design: a decision of an operator that was confirmed holds after a rebuild. The engine does not tell the order database
/// of a pause by rules.
pub const A_PAUSE_BY_RULES_IS_NOT_TOLD: bool = true;

/// The same of what the order database was not told yet: the engine drops changes of stock and terms that were still on
/// their way.
pub const UNTOLD_CHANGES_OF_A_LANE_ARE_DROPPED: bool = true;

/// The design: only for an admission the shopper gets the challenge's token back. Where that token was paid for in the period
/// before, the engine forgets that it was given back.
pub const A_TOKEN_GIVEN_BACK_CAN_BE_LOST: bool = true;

/// The design: nothing is doubled. A purge forgets which of the lane's changes the shop's log has. Where the lane's server comes
/// back with a copy from before the purge, and the log's server does not, the changes are logged again.
pub const A_PURGE_FORGETS_WHAT_THE_LOG_HAS: bool = true;

/// The design: an alarm lapses at the lane's next deadline. Where the events of a rebuild are copied before it has finished, the
/// lane says for ever that its outbox waits, though it is empty. Then the alarm lapses a hundred times a second.
pub const A_REBUILD_CAN_LEAVE_AN_EMPTY_OUTBOX_OVERDUE: bool = true;
