//! The page's words, in English and Chinese.

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tongue {
    English,
    Chinese,
}

impl Tongue {
    /// The language of a language tag, or of the first tag of a list.
    pub fn of(tags: &str) -> Self {
        let first = tags.split([',', ';', '-']).next().unwrap_or_default().trim();
        if first.eq_ignore_ascii_case("zh") { Tongue::Chinese } else { Tongue::English }
    }

    pub fn tag(self) -> &'static str {
        match self {
            Tongue::English => "en",
            Tongue::Chinese => "zh-CN",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Tongue::English => Tongue::Chinese,
            Tongue::Chinese => Tongue::English,
        }
    }

    /// The language's own name for itself.
    pub fn name(self) -> &'static str {
        match self {
            Tongue::English => "English",
            Tongue::Chinese => "中文",
        }
    }

    /// Returns the text that is in this language.
    pub fn say(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self {
            Tongue::English => english,
            Tongue::Chinese => chinese,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_of_a_browser_counts() {
        for (tags, tongue) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Tongue::Chinese),
            ("zh", Tongue::Chinese),
            ("ZH-Hant-TW", Tongue::Chinese),
            ("en-US,en;q=0.9,zh;q=0.5", Tongue::English),
            ("zha", Tongue::English),
            ("", Tongue::English),
        ] {
            assert_eq!(Tongue::of(tags), tongue, "{tags}");
        }
    }
}
