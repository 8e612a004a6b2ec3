//! Finds the component that handles a path, by Spin's rules.
//!
//! A route may be exact (`/a/b`), or contain parameters that match one segment each (`/a/:id`). It may end in `/...`,
//! which matches any rest of the path, and also an empty one.
//!
//! The most specific route wins. Routes are compared segment by segment: a word beats a parameter, and a parameter
//! beats a rest. An exact route matches with and without a slash at the end of the path.

use std::collections::HashMap;
use std::fmt;

use anyhow::{Result, bail, ensure};

/// The routes of an application; `T` is the target that a route leads to.
#[derive(Debug)]
pub struct Router<T> {
    /// Routes of words only. Most requests are for these, so one look-up finds them.
    exact: HashMap<String, Entry<T>>,
    /// All other routes, the most specific first.
    patterns: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    route: String,
    pattern: Pattern,
    target: T,
}

#[derive(Debug)]
struct Pattern {
    segments: Vec<Segment>,
    /// Whether the route ends in `/...`.
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Word(String),
    Parameter(String),
}

/// The route that matches a path.
#[derive(Debug)]
pub struct Match<'a, T> {
    /// The route as the manifest writes it.
    pub route: &'a str,
    /// The target of the route.
    pub target: &'a T,
    /// The part of the path that `/...` matched, with its leading slash; empty if it matched nothing.
    pub rest: String,
    /// The name and value of each parameter, in the order of the path.
    pub parameters: Vec<(&'a str, &'a str)>,
}

impl<T> Router<T> {
    /// Builds the table.
    ///
    /// # Errors
    /// Fails if no path can match a route, or if two routes match the same paths.
    pub fn new(routes: impl IntoIterator<Item = (String, T)>) -> Result<Self> {
        let mut exact: HashMap<String, Entry<T>> = HashMap::new();
        let mut patterns: Vec<Entry<T>> = Vec::new();
        for (route, target) in routes {
            let pattern = Pattern::parse(&route)?;
            let shape = pattern.to_string();
            let twin = exact.values().chain(&patterns).find(|entry| entry.pattern.to_string() == shape);
            if let Some(twin) = twin {
                bail!("the routes `{}` and `{route}` match the same paths", twin.route);
            }
            let entry = Entry { route, pattern, target };
            if entry.pattern.is_exact() {
                exact.insert(shape, entry);
            } else {
                patterns.push(entry);
            }
        }
        patterns.sort_by_key(|entry| entry.pattern.rank());
        Ok(Self { exact, patterns })
    }

    /// The most specific route for a path. The path must begin with a slash and have no query.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<Match<'a, T>> {
        if let Some(entry) = self.exact.get(trim(path)) {
            return Some(Match {
                route: &entry.route,
                target: &entry.target,
                rest: String::new(),
                parameters: Vec::new(),
            });
        }
        self.patterns.iter().find_map(|entry| {
            let (rest, parameters) = entry.pattern.matches(path)?;
            Some(Match { route: &entry.route, target: &entry.target, rest, parameters })
        })
    }
}

impl Pattern {
    fn parse(route: &str) -> Result<Self> {
        ensure!(route.starts_with('/'), "the route `{route}` must begin with a slash");
        let (words, rest) = match route.strip_suffix("/...").or_else(|| route.strip_suffix("/*")) {
            Some(words) => (words, true),
            None => (route, false),
        };
        let mut segments = Vec::new();
        for segment in trim(words).split('/').skip(1) {
            let parsed = match segment.strip_prefix(':') {
                Some(name) => {
                    let valid = !name.is_empty()
                        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    ensure!(valid, "the route `{route}`: `:{name}` is not a parameter");
                    Segment::Parameter(name.to_owned())
                }
                None => {
                    let valid = !segment.is_empty() && !segment.contains(['*', '?', '#']) && segment != "...";
                    ensure!(valid, "the route `{route}`: `{segment}` is not a segment");
                    Segment::Word(segment.to_owned())
                }
            };
            segments.push(parsed);
        }
        Ok(Self { segments, rest })
    }

    fn is_exact(&self) -> bool {
        !self.rest && self.segments.iter().all(|segment| matches!(segment, Segment::Word(_)))
    }

    /// A key for sorting: a more specific pattern has the smaller one.
    fn rank(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Word(_) => 1,
            Segment::Parameter(_) => 2,
        });
        // A pattern that ends here is more specific than one that continues or ends in `/...`.
        segments.chain([if self.rest { 3 } else { 0 }]).collect()
    }

    fn matches<'a>(&'a self, path: &'a str) -> Option<(String, Vec<(&'a str, &'a str)>)> {
        let trimmed = trim(path);
        let mut left = trimmed;
        let mut parameters = Vec::new();
        for segment in &self.segments {
            let after_slash = left.strip_prefix('/')?;
            let (found, _) = after_slash.split_once('/').unwrap_or((after_slash, ""));
            match segment {
                Segment::Word(word) if word == found => {}
                Segment::Parameter(name) if !found.is_empty() => parameters.push((name.as_str(), found)),
                _ => return None,
            }
            left = &after_slash[found.len()..];
        }
        match (self.rest, left.is_empty()) {
            (false, true) => Some((String::new(), parameters)),
            (false, false) => None,
            // As in Spin, a slash at the end of the path belongs to the rest.
            (true, _) => Some((path[trimmed.len() - left.len()..].to_owned(), parameters)),
        }
    }
}

/// Shows the pattern without the names of its parameters: patterns that match the same paths look the same.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Word(word) => write!(f, "/{word}")?,
                Segment::Parameter(_) => f.write_str("/:")?,
            }
        }
        f.write_str(if self.rest { "/..." } else { "" })
    }
}

/// Removes `/...` from the end of a route. Spin calls the result the component's route.
pub fn without_rest(route: &str) -> &str {
    route.strip_suffix("/...").unwrap_or(route)
}

fn trim(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[&str]) -> Router<String> {
        Router::new(routes.iter().map(|route| ((*route).to_owned(), (*route).to_owned()))).unwrap()
    }

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let mut routes =
            ["/...", "/api/...", "/api/items/:id", "/api/items/:id/challenges", "/api/items/new", "/"];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let router = router(&routes);
            for (path, expected) in [
                ("/", "/"),
                ("/x/y", "/..."),
                ("/api", "/api/..."),
                ("/api/items", "/api/..."),
                ("/api/items/", "/api/..."),
                ("/api/items/7", "/api/items/:id"),
                ("/api/items/7/", "/api/items/:id"),
                ("/api/items/new", "/api/items/new"),
                ("/api/items/7/challenges", "/api/items/:id/challenges"),
                ("/api/items/7/challenges/x", "/api/..."),
                ("/apis", "/..."),
            ] {
                assert_eq!(router.find(path).unwrap().target, expected, "{path}");
            }
        }
    }

    #[test]
    fn a_word_beats_a_parameter_even_when_a_later_segment_is_less_specific() {
        let router = router(&["/a/:x/c", "/a/b/:y"]);
        assert_eq!(router.find("/a/b/c").unwrap().route, "/a/b/:y");
        assert_eq!(router.find("/a/z/c").unwrap().route, "/a/:x/c");
        assert!(router.find("/a/z/d").is_none());
    }

    #[test]
    fn parameters_and_rest_are_captured() {
        let router = router(&["/u/:user/...", "/p/:one/:two"]);
        let found = router.find("/u/42/a/b/").unwrap();
        assert_eq!((found.rest.as_str(), found.parameters), ("/a/b/", vec![("user", "42")]));
        assert_eq!(router.find("/u/42").unwrap().rest, "");
        assert_eq!(router.find("/u/42/").unwrap().rest, "/");
        assert_eq!(router.find("/p/1/2").unwrap().parameters, vec![("one", "1"), ("two", "2")]);
        assert!(router.find("/u/").is_none());
        assert!(router.find("/p/1").is_none());
        assert!(router.find("/p//2").is_none());
    }

    #[test]
    fn routes_that_clash_or_mean_nothing_are_refused() {
        for routes in [
            ["/a/:x", "/a/:y"],
            ["/a", "/a/"],
            ["/...", "/..."],
            ["/ok", "no-slash"],
            ["/ok", "/a//b"],
            ["/ok", "/:"],
        ] {
            let routes = routes.map(|route| (route.to_owned(), ()));
            assert!(Router::new(routes.clone()).is_err(), "{routes:?}");
        }
    }
}
