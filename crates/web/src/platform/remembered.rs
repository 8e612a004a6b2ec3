//! What an instance remembers of a shared store, so that it does not read again for every request of a crowd.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long an instance goes by what it read, before it reads again.
const MEMORY: Duration = Duration::from_millis(250);

/// A value that this instance read. It is recent for a quarter of a second.
#[derive(Debug, Clone)]
pub(crate) struct Remembered<T> {
    /// The value, however old it is.
    pub(crate) value: T,
    read: Instant,
}

impl<T> Remembered<T> {
    /// A value that was read just now.
    pub(crate) fn new(value: T) -> Self {
        Self { value, read: Instant::now() }
    }

    /// The value, unless it is time to read again.
    pub(crate) fn recent(&self) -> Option<&T> {
        (self.read.elapsed() <= MEMORY).then_some(&self.value)
    }

    /// Makes the value recent again. A request does so before it reads, so that requests beside it go by this value
    /// meanwhile and do not read as well.
    pub(crate) fn extend(&mut self) {
        self.read = Instant::now();
    }
}

/// Remembered values by key, `MOST` at a time. One more, and it forgets the others: a caller who makes up keys must not
/// fill the memory.
#[derive(Debug)]
pub(crate) struct RememberedMap<K, T, const MOST: usize>(HashMap<K, Remembered<T>>);

impl<K, T, const MOST: usize> Default for RememberedMap<K, T, MOST> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, T, const MOST: usize> RememberedMap<K, T, MOST> {
    /// What was remembered under `key`, recent or not.
    pub(crate) fn get(&self, key: &K) -> Option<&Remembered<T>> {
        self.0.get(key)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut Remembered<T>> {
        self.0.get_mut(key)
    }

    /// Remembers what was read just now.
    pub(crate) fn insert(&mut self, key: K, value: T) {
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.clear();
        }
        self.0.insert(key, Remembered::new(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_recent_for_a_quarter_of_a_second_and_again_when_extended() {
        let mut remembered = Remembered::new("lamp");
        assert_eq!(remembered.recent(), Some(&"lamp"));
        remembered.read = Instant::now().checked_sub(Duration::from_millis(251)).unwrap();
        assert_eq!(remembered.recent(), None);
        assert_eq!(remembered.value, "lamp");
        remembered.extend();
        assert_eq!(remembered.recent(), Some(&"lamp"));
    }

    #[test]
    fn a_map_never_holds_more_than_its_bound() {
        let mut map = RememberedMap::<u32, (), 3>::default();
        for key in 0..100 {
            map.insert(key % 7, ());
            assert!(map.0.len() <= 3);
            assert!(map.get(&(key % 7)).is_some());
        }
        let mut full = RememberedMap::<u32, u32, 2>::default();
        full.insert(1, 1);
        full.insert(2, 1);
        full.insert(2, 2);
        assert_eq!(full.get(&1).map(|remembered| remembered.value), Some(1));
        assert_eq!(full.get(&2).map(|remembered| remembered.value), Some(2));
    }
}
