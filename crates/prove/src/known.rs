//! Where the engine is known to differ from the design: the model does as the engine does, until that is mended.
//!
//! Each is one constant. After the engine is mended, set it to `false`, then remove it with the branches that it guards.

/// The design: nothing is doubled. A purge forgets which of the lane's changes the shop's log has. Where the lane's server comes
/// back with a copy from before the purge, and the log's server does not, the changes are logged again.
pub const A_PURGE_FORGETS_WHAT_THE_LOG_HAS: bool = true;
