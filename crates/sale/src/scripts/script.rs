//! A Lua script and the text that Redis gets of it.

use sha1::{Digest, Sha1};
use std::sync::OnceLock;

/// A Lua script, named by its file.
pub struct Script {
    pub name: &'static str,
    /// The preludes beyond the common one.
    preludes: &'static [&'static str],
    /// Its own file without the preludes, so that a function with twenty scripts contains each prelude once.
    body: &'static str,
    /// How many keys it takes, as the file's name says.
    pub keys: usize,
    sha: OnceLock<String>,
}

/// Stands before every script.
pub(super) const COMMON: &str = include_str!("prelude/common.lua");
/// Stands before the scripts that count callers.
pub const CALLERS: &str = include_str!("prelude/callers.lua");
/// Stands before the scripts that give units back to the stock, or an item back to the sale.
pub const STOCK: &str = include_str!("prelude/stock.lua");
/// Stands, behind [`CALLERS`], before the scripts by which a shopper gives units back.
pub const RETURNS: &str = include_str!("prelude/returns.lua");
/// Stands before the scripts that read or move orders, or send events to the order database.
pub const ORDERS: &str = include_str!("prelude/orders.lua");
/// Stands, behind [`STOCK`], before the scripts of an operator's changes.
pub const OPERATING: &str = include_str!("prelude/operating.lua");

/// Stands before the scripts whose change an operator may send again without making it twice.
pub const IDEMPOTENCY: &str = include_str!("prelude/idempotency.lua");

/// Stands before the scripts that give units to shoppers.
pub const HOLDERS: &str = include_str!("prelude/holders.lua");
/// Stands before the scripts that end reservations.
pub const ENDED: &str = include_str!("prelude/ended.lua");
/// Stands before the scripts that change documents of the catalogue, or read them by its lists.
pub const LISTING: &str = include_str!("prelude/listing.lua");

/// All of them, for the test that looks at each file.
pub(super) const PRELUDES: [&str; 10] =
    [COMMON, CALLERS, STOCK, RETURNS, ORDERS, OPERATING, IDEMPOTENCY, HOLDERS, ENDED, LISTING];

impl Script {
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        preludes: &'static [&'static str],
        body: &'static str,
        keys: usize,
    ) -> Self {
        Script { name, preludes, body, keys, sha: OnceLock::new() }
    }

    fn parts(&self) -> impl Iterator<Item = &'static str> {
        [COMMON].into_iter().chain(self.preludes.iter().copied()).chain([self.body])
    }

    pub(super) fn body(&self) -> &'static str {
        self.body
    }

    /// The full text, as Redis gets it.
    pub fn source(&self) -> String {
        self.parts().collect()
    }

    /// The name that EVALSHA knows it by.
    pub fn sha(&self) -> &str {
        self.sha.get_or_init(|| {
            let digest = self.parts().fold(Sha1::new(), |digest, part| digest.chain_update(part)).finalize();
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }
}

/// A script from its file `<name>-<keys>.lua`, which lies beside the caller's own, and the preludes that it needs beyond
/// the common one. A prelude stands behind those that it calls.
#[macro_export]
macro_rules! script {
    ($name:literal, $keys:literal $(, $prelude:ident)*) => {
        $crate::scripts::Script::new(
            $name,
            &[$($crate::scripts::$prelude),*],
            include_str!(concat!($name, "-", $keys, ".lua")),
            $keys,
        )
    };
}

/// Declares the scripts of a crate, in groups: each group is a folder and a module, each script a file in it that holds the
/// binding, and behind a colon what the binding offers to others. Makes the modules, their `pub use` and the list `ALL`.
#[macro_export]
macro_rules! declare_scripts {
    ($($(#[$doc:meta])* $group:ident { $($script:ident $(: $($item:ident),+)?;)* })*) => {
        $(
            $(#[$doc])*
            mod $group {
                $(pub(super) mod $script;)*
            }
            $($(pub use $group::$script::{$($item),+};)?)*
        )*

        /// Every script of this crate, for the tests that hold all of them to the rules.
        pub static ALL: &[&$crate::scripts::Script] = &[$($(&$group::$script::SCRIPT),*),*];
    };
}
