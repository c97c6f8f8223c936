//! Values in numbered places, with keys that go stale when their value is removed.

use std::fmt;

/// Names a value of a [`Slab`]. A key whose value was removed finds nothing, also when its place is used
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    place: u32,
    generation: u32,
}

impl Key {
    /// The place, which a later key may share.
    pub fn place(self) -> u32 {
        self.place
    }
}

/// The place and, behind a dot, how often it was used before.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.place, self.generation)
    }
}

impl From<Key> for u64 {
    fn from(key: Key) -> u64 {
        u64::from(key.generation) << 32 | u64::from(key.place)
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Key {
        Key { place: number as u32, generation: (number >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Places that there are, in use or free: the most values that there ever were at once.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let place = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, value: None });
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[place as usize];
        let key = Key { place, generation: entry.generation };
        entry.value = Some(make(key));
        key
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.place as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.place as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// The key of what is in a place now.
    pub fn key_in(&self, place: u32) -> Option<Key> {
        let entry = self.entries.get(place as usize)?;
        entry.value.as_ref().map(|_| Key { place, generation: entry.generation })
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = &mut self.entries[key.place as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.place);
        entry.value.take()
    }

    pub fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().enumerate().filter_map(|(place, entry)| {
            let key = Key { place: place as u32, generation: entry.generation };
            Some((key, entry.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Slab};

    #[test]
    fn a_key_finds_its_value_until_that_is_removed() {
        let mut slab = Slab::default();
        let first = slab.insert(|_| "first");
        let second = slab.insert(|_| "second");
        assert_eq!(slab.get(first), Some(&"first"));
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.remove(first), None);
        let third = slab.insert(|_| "third");
        assert_eq!(third.place(), first.place(), "places are used again");
        assert_eq!(slab.get(first), None, "and old keys do not find what is there now");
        assert_eq!(slab.get_mut(third), Some(&mut "third"));
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.keys(), [third, second]);
        assert_eq!(Key::from(u64::from(third)), third);
    }
}
